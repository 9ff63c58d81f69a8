"""Phone providers: one module for each kind, and the table of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from bot.adapters.pagers.aliyun_vms import AliyunPager
from bot.adapters.pagers.flashduty import FlashDutyPager
from bot.adapters.pagers.goalert import GoAlertPager
from bot.adapters.pagers.pagerduty import PagerDutyPager
from bot.adapters.pagers.tencent_vms import TencentPager
from bot.adapters.pagers.twilio import TwilioPager
from bot.adapters.pagers.webhook import WebhookPager
from bot.app.ports import Listens, Pager
from bot.domain.pager_kinds import PagerConfig, takes_keys


class Provider(Pager, Listens, Protocol):
    """What every maker makes; `HangsUp`, `Finds` and `Tells` besides, where the provider can."""

    async def close(self) -> None:
        """Close the connections."""
        ...


class Maker(Protocol):
    """Makes a provider; `keys` tells whether calls take keys and we come to know of them."""

    def __call__(self, config: PagerConfig, *, keys: bool) -> Provider:
        """The provider of this configuration."""
        ...


MAKERS: Mapping[str, Maker] = {
    "webhook": WebhookPager.make,
    "twilio": TwilioPager,
    "tencent_vms": TencentPager,
    "aliyun_vms": AliyunPager,
    "pagerduty": PagerDutyPager,
    "goalert": GoAlertPager,
    "flashduty": FlashDutyPager,
}
"""The same kinds as `bot.domain.pager_kinds.KINDS`."""


def make(config: PagerConfig, *, public_url: str) -> Provider:
    """The provider of this configuration; `public_url` decides whether callbacks can arrive."""
    return MAKERS[config.kind](config, keys=takes_keys(config, public_url))


__all__ = ["MAKERS", "Maker", "Provider", "make"]
