"""Accounts: what Slack tells of them, and the channel that is theirs alone."""

from __future__ import annotations

import logging
from typing import Any

from bot.adapters.slack.api import Api
from bot.adapters.slack.read import NAME
from bot.adapters.slack.recent import Recent
from bot.adapters.slack.trouble import SlackRefused
from bot.app.ports import Clock
from bot.domain.chat import Profile
from bot.domain.page import Person
from bot.domain.text import lang_of

log = logging.getLogger(__name__)

FRESH_S = 600.0
MISSING = ("missing_scope", "unknown_method", "paid_teams_only", "not_allowed_token_type")
"""Answers of workspaces that do not let the bot ask."""


class People:
    """Asks Slack about accounts, and remembers the answers for ten minutes."""

    def __init__(self, api: Api, clock: Clock) -> None:
        self._api = api
        self._clock = clock
        self._profiles: Recent[tuple[float, Profile | None]] = Recent()
        self._directs: Recent[str] = Recent()
        self._groups: tuple[float, dict[str, tuple[str, ...]]] | None = None

    async def profile(self, account: str) -> Profile | None:
        """Name, e-mail, mobile, language and user groups; None for an unknown account. Raises SendFailed."""
        now = self._clock.monotonic()
        known = self._profiles.get(account)
        if known is not None and known[0] > now:
            return known[1]
        found = await self._asked(account)
        self._profiles.put(account, (now + FRESH_S, found))
        return found

    async def _asked(self, account: str) -> Profile | None:
        try:
            answer = await self._api.call(self._api.client.users_info, user=account, include_locale=True)
        except SlackRefused as exc:
            if exc.error in ("user_not_found", "user_not_visible"):
                return None
            raise
        user = _map(answer.get("user"))
        about = _map(user.get("profile"))
        name = about.get("display_name") or about.get("real_name") or user.get("real_name") or user.get("name") or ""
        locale = str(user.get("locale") or "")
        return Profile(
            name=str(name),
            email=str(about.get("email") or ""),
            mobile=str(about.get("phone") or ""),
            lang=lang_of(locale, "en") if locale else None,
            groups=(await self._all_groups()).get(account, ()),
        )

    async def _all_groups(self) -> dict[str, tuple[str, ...]]:
        """The user groups of every account; none where the bot may not ask."""
        now = self._clock.monotonic()
        if self._groups is not None and self._groups[0] > now:
            return self._groups[1]
        found: dict[str, tuple[str, ...]] = {}
        try:
            answer = await self._api.call(self._api.client.usergroups_list, include_users=True)
        except SlackRefused as exc:
            if exc.error not in MISSING:
                raise
            log.info("user groups are not read: %s", exc)
            answer = {}
        for group in answer.get("usergroups", []):
            for account in _map(group).get("users") or ():
                found[account] = (*found.get(account, ()), str(group.get("id", "")))
        self._groups = (now + FRESH_S, found)
        return found

    def direct_room(self, person: Person) -> str | None:
        """The room that is this person's alone, named by their account: its channel is asked for when it is used."""
        return f"{NAME}:{person.slack}" if person.slack else None

    async def channel(self, room: str) -> str:
        """The channel of a room: of "slack:U024..." the direct messages with that account. Raises SendFailed."""
        ident = room.partition(":")[2]
        if ident[:1] not in ("U", "W"):
            return ident
        known = self._directs.get(ident)
        if known is not None:
            return known
        try:
            answer = await self._api.call(self._api.client.conversations_open, users=ident)
        except SlackRefused as exc:
            if exc.error not in MISSING:
                raise
            # chat.postMessage takes an account for a channel, and says which channel it was.
            return ident
        channel = str(_map(answer.get("channel")).get("id") or ident)
        self._directs.put(ident, channel)
        return channel


def _map(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
