"""Which page a provider speaks of, where it gives back neither our key nor anything else that is only ours."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from bot.app.outgoing import read_page
from bot.app.ports import OutboxRow, Store
from bot.domain.page import Callback, short_key

BY_REF = timedelta(hours=6)
"""A report of a call comes at its end; FlashDuty and PagerDuty report when somebody gets round to it."""
BY_PHONE = timedelta(minutes=10)
"""A call of which only the number is known is the latest one to it, if it was so long ago at most."""


async def key_of(store: Store, said: Callback) -> str | None:
    """The key of the page the callback is about; None where there is none. Raises StoreUnavailable."""
    if said.key:
        return said.key
    async with store.begin() as tx:
        rows = await tx.outbox.pages_since(BY_REF)
        found = by_ref(rows, said.refs)
        if found is None and said.phone:
            found = by_phone(await tx.outbox.pages_since(BY_PHONE), said.phone)
    return found


def by_ref(rows: Sequence[OutboxRow], refs: Sequence[str]) -> str | None:
    """The newest page that the provider knows, or may have been told, by one of these names."""
    for row in rows:
        ref = row.ref or ""
        if {row.key, short_key(row.key), ref, ref.partition(" ")[0]} & set(filter(None, refs)):
            return row.key
    return None


def by_phone(rows: Sequence[OutboxRow], phone: str) -> str | None:
    """The newest page to this number: the call may be one whose reference was lost with an uncertain answer."""
    for row in rows:
        try:
            person = read_page(row.payload).person
        except (KeyError, TypeError):
            continue
        if person.phone.replace(" ", "").replace("-", "") == phone:
            return row.key
    return None
