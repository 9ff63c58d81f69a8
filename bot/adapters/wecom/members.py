"""What WeCom tells of members: names, addresses, departments and tags; remembered for a while."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from bot.adapters.wecom.api import Api
from bot.adapters.wecom.trouble import Refused
from bot.domain.chat import Profile
from bot.domain.errors import SendFailed

log = logging.getLogger("warroom.wecom")

KNOWN_S = 600.0
UNKNOWN = frozenset({40003, 60111})
MOST_TAGS = 50


class Members:
    """Groups are departments by their number ("2") and tags as "tag:5"."""

    def __init__(self, api: Api, now: Callable[[], float] = time.monotonic) -> None:
        self._api, self._now = api, now
        self._known: dict[str, tuple[float, Profile | None]] = {}
        self._tags: tuple[float, Mapping[str, tuple[str, ...]]] = (float("-inf"), {})

    async def profile(self, user: str) -> Profile | None:
        """None for nobody of this company. Raises SendFailed."""
        at, found = self._known.get(user, (float("-inf"), None))
        if self._now() - at < KNOWN_S:
            return found
        try:
            row = await self._api.call("user/get", userid=user)
        except Refused as exc:
            if exc.code not in UNKNOWN:
                raise
            profile = None
        else:
            profile = _profile(row, await self._tags_of(user))
        if len(self._known) > 20_000:
            self._known.clear()
        self._known[user] = (self._now(), profile)
        return profile

    async def _tags_of(self, user: str) -> tuple[str, ...]:
        at, tags = self._tags
        if self._now() - at >= KNOWN_S:
            tags = await self._read_tags()
            self._tags = (self._now(), tags)
        return tags.get(user, ())

    async def _read_tags(self) -> Mapping[str, tuple[str, ...]]:
        """By member; none where the application may not see them, for tags only add to what departments say."""
        found: dict[str, tuple[str, ...]] = {}
        try:
            listed = await self._api.call("tag/list")
            idents = [t.get("tagid") for t in listed.get("taglist") or [] if isinstance(t, dict)]
            for ident in idents[:MOST_TAGS]:
                row = await self._api.call("tag/get", tagid=ident)
                for member in row.get("userlist") or []:
                    user = str(member.get("userid", "")) if isinstance(member, dict) else ""
                    found[user] = (*found.get(user, ()), f"tag:{ident}")
        except SendFailed as exc:
            log.info("tags are not known: %s", exc)
        return found


def _profile(row: Mapping[str, Any], tags: tuple[str, ...]) -> Profile:
    departments = row.get("department")
    numbers = tuple(str(d) for d in departments if isinstance(d, int)) if isinstance(departments, list) else ()

    def word(*names: str) -> str:
        return next((str(row[n]) for n in names if isinstance(row.get(n), str) and row[n]), "")

    return Profile(name=word("name"), email=word("email", "biz_mail"), mobile=word("mobile"), groups=(*numbers, *tags))
