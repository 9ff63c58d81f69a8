"""What was said stays in its place when it is edited."""

from __future__ import annotations

from bot.app.ports import Store
from tests.store.samples import after, message


async def test_a_message_said_again_is_edited_in_place(store: Store) -> None:
    async with store.begin() as tx:
        assert await tx.messages.put(message("7/18"), at=after(0)) == 1
        assert await tx.messages.put(message("hello", key="hello"), at=after(1)) == 1
        assert await tx.messages.put(message("18/18"), at=after(2)) == 2
        assert await tx.messages.list("console:ops") == [
            (message("18/18"), 2, after(0)),
            (message("hello", key="hello"), 1, after(1)),
        ]


async def test_the_same_key_in_another_room_is_another_message(store: Store) -> None:
    async with store.begin() as tx:
        assert await tx.messages.put(message("here"), at=after(0)) == 1
        assert await tx.messages.put(message("there", room="slack:C1"), at=after(0)) == 1


async def test_a_short_list_holds_the_newest_messages_oldest_first(store: Store) -> None:
    async with store.begin() as tx:
        for n in range(5):
            await tx.messages.put(message(str(n), key=str(n)), at=after(n))
        assert [m.key for m, _, _ in await tx.messages.list("console:ops", limit=2)] == ["3", "4"]
