"""Which of several bots has something that only one may have: a connection a platform allows once."""

from __future__ import annotations

from datetime import datetime, timedelta

from bot.app.ports import Store
from bot.domain.errors import StoreUnavailable

LEASE = timedelta(seconds=15)


class Hold:
    """A lease on the database's clock, taken and kept by asking for it every few seconds."""

    def __init__(self, store: Store, name: str, owner: str, *, lease: timedelta = LEASE) -> None:
        self._store = store
        self._key = f"hold:{name}"
        self._owner = owner
        self._lease = lease
        self._had = False

    async def holds(self) -> bool:
        """Whether this bot has it from now until the lease ends.

        While the database is away whoever had it keeps it: nobody else can take it.
        """
        try:
            async with self._store.begin() as tx:
                now = await tx.now()
                mine = f"{self._owner} {(now + self._lease).isoformat()}"
                there = await tx.settings.keep(self._key, mine)
                owner, _, until = there.partition(" ")
                free = owner == self._owner or datetime.fromisoformat(until) < now
                self._had = there == mine or (free and await tx.settings.swap(self._key, there, mine))
        except StoreUnavailable:
            pass
        return self._had

    async def release(self) -> None:
        """Leave it to others at once."""
        async with self._store.begin() as tx:
            there = await tx.settings.get(self._key) or ""
            if there.partition(" ")[0] == self._owner:
                await tx.settings.swap(self._key, there, f"nobody {(await tx.now() - self._lease).isoformat()}")
        self._had = False
