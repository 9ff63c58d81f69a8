"""The kinds of phone providers: what each needs to be told, and what each can. One table; the makers follow it."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from bot.domain.page import CallLimit

TIMEOUT_S = 5.0
MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400


@dataclass(frozen=True, kw_only=True, slots=True)
class PagerConfig:
    """One provider of `[[pagers]]`; they are tried in the order of the file.

    `secret` is the secret "SECRET", `secrets` are the others by name, `options` the kind's own keys.
    """

    name: str
    kind: str
    url: str = ""
    secret: str = field(default="", repr=False)
    timeout_s: float = TIMEOUT_S
    options: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)

    def all_secrets(self) -> tuple[str, ...]:
        """Every secret value, for redaction."""
        return tuple(filter(None, (self.secret, *self.secrets.values())))


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """What a kind needs and can.

    `keys` are needed in `[[pagers]]`, `more_keys` may be there; `secrets` and `more_secrets` likewise, each the end of
    `WARROOM_PAGER_<NAME>_...`. Callbacks are verified by the secret `listens_by`: none arrive without it.
    """

    keys: tuple[str, ...] = ()
    more_keys: tuple[str, ...] = ()
    secrets: tuple[str, ...]
    more_secrets: tuple[str, ...] = ()
    listens_by: str
    presses_by: tuple[str, ...] = ()
    """Keys without which a call cannot take what somebody presses."""
    by_path: bool = False
    """Whether callbacks are known by the secret in their address, because the provider signs nothing we can check."""
    honours_keys: bool = False
    """Whether the same page sent twice makes one call."""
    finds: bool = False
    hangs_up: bool = False
    tells: bool = False
    """Whether it can be asked how a call stands."""
    names_people: bool = True
    """False: it does not call the person of the page, but whoever is on call there."""
    local: bool = False
    """Whether it may stand in the same network, so that callbacks arrive without a public address."""
    limits: tuple[CallLimit, ...] = ()


KINDS: Mapping[str, Kind] = {
    "webhook": Kind(
        keys=("url",),
        secrets=("SECRET",),
        more_secrets=("OLD_SECRET",),
        listens_by="SECRET",
        honours_keys=True,
        local=True,
    ),
    "twilio": Kind(
        keys=("account_sid", "from"),
        more_keys=("url", "voice_zh", "voice_en"),
        secrets=("AUTH_TOKEN",),
        more_secrets=("OLD_AUTH_TOKEN",),
        listens_by="AUTH_TOKEN",
        finds=True,
        hangs_up=True,
        tells=True,
    ),
    "tencent_vms": Kind(
        keys=("app_id", "template"),
        more_keys=("url", "template_en", "params", "region"),
        secrets=("SECRET_ID", "SECRET_KEY"),
        more_secrets=("CALLBACK_SECRET",),
        listens_by="CALLBACK_SECRET",
        by_path=True,
    ),
    "aliyun_vms": Kind(
        keys=("template",),
        more_keys=("url", "template_en", "params", "show_number", "key_template"),
        secrets=("ACCESS_KEY_ID", "ACCESS_KEY_SECRET"),
        more_secrets=("CALLBACK_SECRET",),
        listens_by="CALLBACK_SECRET",
        presses_by=("show_number", "key_template"),
        by_path=True,
        tells=True,
        limits=(
            CallLimit(calls=1, window_s=MINUTE_S),
            CallLimit(calls=5, window_s=HOUR_S),
            CallLimit(calls=20, window_s=DAY_S),
        ),
    ),
    "pagerduty": Kind(
        more_keys=("url",),
        secrets=("ROUTING_KEY",),
        more_secrets=("WEBHOOK_SECRET", "OLD_WEBHOOK_SECRET"),
        listens_by="WEBHOOK_SECRET",
        honours_keys=True,
        hangs_up=True,
        names_people=False,
    ),
    "goalert": Kind(
        keys=("url",),
        secrets=("TOKEN",),
        more_secrets=("CALLBACK_SECRET",),
        listens_by="CALLBACK_SECRET",
        by_path=True,
        honours_keys=True,
        hangs_up=True,
        names_people=False,
        local=True,
    ),
    "flashduty": Kind(
        more_keys=("url",),
        secrets=("INTEGRATION_KEY",),
        more_secrets=("CALLBACK_SECRET",),
        listens_by="CALLBACK_SECRET",
        by_path=True,
        honours_keys=True,
        hangs_up=True,
        names_people=False,
    ),
}


def variable(pager: str, secret: str) -> str:
    """The variable of a pager's secret, without WARROOM_ in front."""
    return f"PAGER_{pager.upper().replace('-', '_')}_{secret}"


def reachable(public_url: str) -> bool:
    """Whether a provider on the Internet can call this address back, as far as the address itself tells."""
    host = (urlsplit(public_url).hostname or "").rstrip(".").lower()
    if not host or host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return False
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return True


def hears(config: PagerConfig, public_url: str) -> bool:
    """Whether what this provider reports can come back to us."""
    kind = KINDS[config.kind]
    keyed = config.secret if kind.listens_by == "SECRET" else config.secrets.get(kind.listens_by, "")
    return bool(keyed) and finds_us(config, public_url)


def finds_us(config: PagerConfig, public_url: str) -> bool:
    """Whether the provider can reach this address: one on the Internet, one in our network, one on this machine."""
    if reachable(public_url):
        return True
    return KINDS[config.kind].local and (not _is_loopback(public_url) or _is_loopback(config.url))


def _is_loopback(url: str) -> bool:
    host = (urlsplit(url).hostname or "").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return not host or host == "localhost" or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def takes_keys(config: PagerConfig, public_url: str) -> bool:
    """Whether a call takes a key and we come to know of it; else the call says to acknowledge in the chat."""
    return hears(config, public_url) and all(config.options.get(key) for key in KINDS[config.kind].presses_by)
