"""Who is behind an account of a chat platform, and which account is somebody's, as far as the platforms tell.

`people.yaml` may name accounts; where it does not, the e-mail address or the phone number finds them.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from bot.app.parts import Parts
from bot.app.ports import Profiles
from bot.domain.access import LEVELS, Level
from bot.domain.chat import Account, Profile
from bot.domain.errors import SendFailed
from bot.domain.page import Person

log = logging.getLogger("warroom")

PATIENCE_S = 1.0
"""How long a platform may take to tell of an account: it waits for its acknowledgement meanwhile."""
MOST_MET = 20_000
KNOWN_S, UNKNOWN_S = 600.0, 60.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Caller:
    """Somebody who wants something: the name that is recorded, and what they may do."""

    name: str
    level: Level


class Accounts:
    """Remembers what the platforms told for a while."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._profiles: dict[tuple[str, str], tuple[float, Profile | None]] = {}

    async def caller(self, account: Account) -> Caller:
        """Whom to record, and what they may do. What the platform does not tell in time is left out."""
        person = self._by_id(account)
        profile = await self._profile(account) if person is None or self._parts.groups else None
        person = person or (self._by_profile(profile) if profile else None)
        caller = Caller(name=self._name(account, person, profile), level=self._level(account, person, profile))
        met = self._parts.met
        if len(met) > MOST_MET:
            met.clear()
        met[account.platform, caller.name] = account.id
        return caller

    def _by_id(self, account: Account) -> Person | None:
        return next(
            (p for p in self._parts.directory.people.values() if p.account(account.platform) == account.id), None
        )

    def _by_profile(self, profile: Profile) -> Person | None:
        mail, digits = profile.email.lower(), _digits(profile.mobile)
        for person in self._parts.directory.people.values():
            if mail and person.email.lower() == mail:
                return person
            if digits and _digits(person.phone).endswith(digits):
                return person
        return None

    def _name(self, account: Account, person: Person | None, profile: Profile | None) -> str:
        """A stranger does not get the name of somebody who is known."""
        if person is not None:
            return person.name
        name = account.name or (profile.name if profile else "") or account.id
        return f"{name} ({account.id})" if self._parts.directory.find(name) else name

    def _level(self, account: Account, person: Person | None, profile: Profile | None) -> Level:
        parts = self._parts
        if not parts.groups and not any(p.role for p in parts.directory.people.values()):
            return Level.ADMIN  # nobody has written down who may do what
        found = [LEVELS[person.role]] if person is not None and person.role else []
        for group in profile.groups if profile else ():
            if (level := parts.groups.get(f"{account.platform}:{group}")) is not None:
                found.append(level)
        return max(found, default=parts.default_level)

    async def _profile(self, account: Account) -> Profile | None:
        platform = self._parts.chat.get(account.platform)
        if platform is None or not isinstance(platform, Profiles):
            return None
        key, now = (account.platform, account.id), self._parts.clock.monotonic()
        known = self._profiles.get(key)
        if known is not None and now - known[0] < (KNOWN_S if known[1] else UNKNOWN_S):
            return known[1]
        try:
            async with asyncio.timeout(PATIENCE_S):
                profile = await platform.profile(account.id)
        except (SendFailed, TimeoutError) as exc:
            log.warning("%s does not tell who %s is: %s", account.platform, account.id, str(exc) or "no answer in time")
            return known[1] if known is not None else None
        self._profiles[key] = (now, profile)
        return profile


def _digits(phone: str) -> str:
    """The number without its signs; "" for what is too short to be told from others."""
    digits = "".join(c for c in phone if c.isdigit())
    return digits if len(digits) >= 8 else ""
