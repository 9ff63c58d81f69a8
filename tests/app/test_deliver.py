"""Pages reach a phone or say why not; chat never holds them up; a dead process loses nothing."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text

from bot.adapters.store import SqlStore
from bot.app.deliver import Deliverer
from bot.app.outgoing import chat_row, page_row
from bot.app.ports import Store
from bot.domain.errors import SendFailed, StoreUnavailable
from bot.domain.incident import Entry, EntryKind, IncidentState, Room
from bot.testing import FakeChat, FakePager, FixedClock
from tests.adapters.phone_server import PhoneServer, Request, phone_server
from tests.app.sender import RealClock
from tests.store.databases import no_way_out_of_a_deadlock
from tests.store.fixtures import database, store_url
from tests.store.samples import ONSET, after, incident, message, page

__all__ = ["database", "store_url"]


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(ONSET)


@pytest.fixture
async def store(store_url: str, clock: FixedClock) -> AsyncIterator[SqlStore]:
    store = SqlStore(store_url, clock=clock)
    await store.upgrade()
    async with store.begin() as tx:
        await tx.incidents.open(incident())
        await tx.rooms.save(Room(key="fake:ops", title="运维群", lang="en"))
    yield store
    await store.close()


@asynccontextmanager
async def delivering(deliverer: Deliverer) -> AsyncIterator[Deliverer]:
    stop = asyncio.Event()
    running = asyncio.create_task(deliverer.run(stop))
    try:
        yield deliverer
    finally:
        stop.set()
        await asyncio.wait_for(running, 15)


async def until(true: Callable[[], bool], *, seconds: float = 30) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.01)


async def queue(store: Store, *keys: str, **changes: Any) -> None:
    async with store.begin() as tx:
        for key in keys or ("INC-1:1:lin:1",):
            await tx.outbox.add(page_row(page(key=key, **changes), due_at=ONSET))


async def say(store: Store, words: str, *, key: str = "verdict", room: str = "fake:ops") -> None:
    async with store.begin() as tx:
        await tx.outbox.add(chat_row(message(words, key=key, room=room), due_at=ONSET))


async def entries(store: Store) -> Sequence[Entry]:
    async with store.begin() as tx:
        return await tx.timeline.read(incident="INC-1")


async def row(store: SqlStore, key: str = "INC-1:1:lin:1") -> Any:
    async with store.begin() as tx:
        found = await tx.timeline._session.connection.execute(
            text("SELECT * FROM outbox WHERE key = :key"), {"key": key}
        )
        return found.one()


async def until_state(store: SqlStore, state: str, *, attempts: int = 1, key: str = "INC-1:1:lin:1") -> None:
    async with asyncio.timeout(30):
        while (now := await row(store, key)).state != state or now.attempts < attempts or now.owner is not None:
            await asyncio.sleep(0.01)


async def wait_out(clock: FixedClock, seconds: float) -> None:
    """Let time pass in small steps, each long enough for the database to answer."""
    for _ in range(int(seconds * 2)):
        await clock.advance(0.5)
        await asyncio.sleep(0.03)


async def test_a_page_is_handed_to_the_provider_and_the_timeline_says_so_in_both_languages(
    store: SqlStore, clock: FixedClock
) -> None:
    phone = FakePager("twilio")
    await queue(store)
    async with delivering(Deliverer(store, {}, [phone], clock)):
        await until_state(store, "sent")
    assert phone.calls == [page()]
    (entry,) = await entries(store)
    assert (entry.kind, entry.room) == (EntryKind.PAGE, "console:war-1")
    assert (entry.zh, entry.en) == ("已通过 twilio 呼叫 lin", "called lin through twilio")
    assert entry.data["state"] == "sent"
    assert (await row(store)).ref == "twilio-INC-1:1:lin:1"


async def test_after_a_failure_the_page_is_tried_again_one_two_and_four_seconds_later(
    store: SqlStore, clock: FixedClock
) -> None:
    phone = FakePager()
    phone.fail_next(*(SendFailed("HTTP 503") for _ in range(3)))
    await queue(store)
    async with delivering(Deliverer(store, {}, [phone], clock)):
        for attempt, wait in enumerate((1, 2, 4), start=1):
            await until_state(store, "pending", attempts=attempt)
            assert (await row(store)).error == "HTTP 503"
            await clock.advance(wait - 0.1)
            await asyncio.sleep(0.1)
            assert len(phone.calls) == attempt
            await clock.advance(1.2)
            await until(lambda n=attempt: len(phone.calls) == n + 1)  # type: ignore[misc]
        await until_state(store, "sent")
    assert {call.key for call in phone.calls} == {"INC-1:1:lin:1"}
    assert len(await entries(store)) == 1


async def test_a_provider_that_refuses_for_good_is_followed_by_the_next_one_at_once(
    store: SqlStore, clock: FixedClock
) -> None:
    first, second = FakePager("first"), FakePager("second")
    first.down = SendFailed("HTTP 401", permanent=True)
    await queue(store)
    async with delivering(Deliverer(store, {}, [first, second], clock)):
        await until_state(store, "sent")
    assert [e.data["pager"] for e in await entries(store)] == ["second"]


async def test_a_provider_that_asks_for_a_long_pause_is_followed_by_the_next_one_at_once(
    store: SqlStore, clock: FixedClock
) -> None:
    first, second = FakePager("first"), FakePager("second")
    first.down = SendFailed("HTTP 429", retry_after_s=120)
    await queue(store)
    async with delivering(Deliverer(store, {}, [first, second], clock)):
        await until_state(store, "sent")
    assert list(second.rung) == ["INC-1:1:lin:1"]


async def test_a_provider_that_stays_down_is_left_for_the_next_one_after_two_tries(
    store: SqlStore, clock: FixedClock
) -> None:
    first, second = FakePager("first"), FakePager("second")
    first.down = SendFailed("cannot be reached")
    await queue(store)
    async with delivering(Deliverer(store, {}, [first, second], clock)):
        await until_state(store, "pending")
        while not second.calls:
            await wait_out(clock, 0.5)
        await until_state(store, "sent")
    assert (len(first.calls), len(second.calls)) == (2, 1)


async def test_a_page_nobody_takes_is_failed_and_the_timeline_says_why(store: SqlStore, clock: FixedClock) -> None:
    phone = FakePager()
    phone.down = SendFailed("HTTP 403", permanent=True)
    await queue(store)
    async with delivering(Deliverer(store, {}, [phone], clock)):
        await until_state(store, "failed")
    (entry,) = await entries(store)
    assert entry.en == "lin cannot be called: phone: HTTP 403"


async def test_without_a_provider_the_page_says_so_instead_of_waiting_for_ever(
    store: SqlStore, clock: FixedClock
) -> None:
    await queue(store)
    async with delivering(Deliverer(store, {}, [], clock)):
        await until_state(store, "failed")
    assert "no phone provider is configured" in (await entries(store))[0].en


@pytest.mark.parametrize(
    "changes",
    [
        {"acked_at": after(1), "acked_by": "wang", "epoch": 1},
        {"epoch": 1},
        {"acked_at": after(1)},
        {"state": IncidentState.RESOLVED},
    ],
)
async def test_an_acknowledged_or_resolved_incident_calls_nobody(
    store: SqlStore, clock: FixedClock, changes: dict[str, Any]
) -> None:
    phone = FakePager()
    await queue(store)
    async with store.begin() as tx:
        read = await tx.incidents.get("INC-1")
        assert read is not None
        await tx.incidents.save(dataclasses.replace(read, **changes))
    async with delivering(Deliverer(store, {}, [phone], clock)):
        await until_state(store, "cancelled")
    assert phone.calls == []
    (entry,) = await entries(store)
    assert entry.data["state"] == "cancelled"


async def test_somebody_called_in_after_the_acknowledgement_is_called(store: SqlStore, clock: FixedClock) -> None:
    phone = FakePager()
    async with store.begin() as tx:
        read = await tx.incidents.get("INC-1")
        assert read is not None
        await tx.incidents.save(dataclasses.replace(read, acked_at=after(1), acked_by="wang", epoch=1))
    await queue(store, epoch=1)
    async with delivering(Deliverer(store, {}, [phone], clock)):
        await until_state(store, "sent")


async def test_a_call_on_its_way_when_somebody_acknowledges_is_recorded_as_late(
    store: SqlStore, clock: FixedClock
) -> None:
    phone = FakePager()
    phone.gate.clear()
    await queue(store)
    async with delivering(Deliverer(store, {}, [phone], clock)):
        await until(lambda: bool(phone.calls))
        async with store.begin() as tx:
            read = await tx.incidents.get("INC-1")
            assert read is not None
            await tx.incidents.save(dataclasses.replace(read, acked_at=after(1), epoch=1))
            assert await tx.outbox.cancel(incident="INC-1") == 1
        phone.gate.set()
        await until_state(store, "sent")
    (entry,) = await entries(store)
    assert entry.data["late"] is True
    assert entry.en.endswith("(already dialled when the acknowledgement came)")


async def test_an_acknowledgement_in_the_midst_of_twenty_calls_waits_for_nobody(
    store_url: str, store: SqlStore, clock: FixedClock
) -> None:
    phone = FakePager()
    phone.gate.clear()
    await queue(store, *(f"INC-1:1:lin:{n}" for n in range(20)))
    with no_way_out_of_a_deadlock(store_url):
        store = SqlStore(store_url, clock=clock)
        async with delivering(Deliverer(store, {}, [phone], clock)):
            await until(lambda: len(phone.calls) == 20)
            phone.gate.set()
            # Those who hold each other up would give up together, after the store's 10 s.
            async with asyncio.timeout(7), store.begin() as tx:
                read = await tx.incidents.get("INC-1")
                assert read is not None
                await asyncio.sleep(0.2)
                await tx.incidents.save(dataclasses.replace(read, acked_at=after(1), epoch=1))
                await tx.outbox.cancel(incident="INC-1")
        assert len(await entries(store)) == 20
        await store.close()


async def test_a_chat_platform_that_hangs_and_one_that_fails_hold_up_neither_pages_nor_other_rooms(
    store: SqlStore, clock: FixedClock
) -> None:
    hung, failing, fine, phone = FakeChat("hung"), FakeChat("failing"), FakeChat("fake"), FakePager()
    hung.gate.clear()
    failing.down = SendFailed("HTTP 500")
    chat = {"hung": hung, "failing": failing, "fake": fine}
    for n in range(20):
        await say(store, "one", key=str(n), room=f"hung:{n}")
        await say(store, "two", key=str(n), room=f"failing:{n}")
    await say(store, "three")
    await queue(store)
    async with delivering(Deliverer(store, chat, [phone], clock, lease_s=1)):
        await until(lambda: bool(phone.calls) and bool(fine.puts))
        assert hung.puts == failing.puts == []
    assert [put.room for put in fine.puts] == [Room(key="fake:ops", title="运维群", lang="en")]


async def test_an_edit_goes_to_the_message_it_edits(store: SqlStore, clock: FixedClock) -> None:
    chat = FakeChat()
    async with delivering(Deliverer(store, {"fake": chat}, [], clock)) as deliverer:
        for words in ("7/18", "18/18"):
            await say(store, words)
            deliverer.wake()
            await until_state(store, "sent", key="chat:fake:ops:verdict")
    assert [put.edited for put in chat.puts] == [None, "fake-1"]
    assert chat.shown("fake:ops") == [message("18/18", room="fake:ops")]


async def test_twenty_edits_while_the_platform_is_down_arrive_as_one(store: SqlStore, clock: FixedClock) -> None:
    chat = FakeChat()
    chat.down = SendFailed("HTTP 502")
    key = "chat:fake:ops:verdict"
    async with delivering(Deliverer(store, {"fake": chat}, [], clock)):
        await say(store, "0")
        await until_state(store, "pending", key=key)
        for n in range(1, 21):
            await say(store, str(n))
        chat.down = None
        await wait_out(clock, 4)
        await until_state(store, "sent", key=key)
    assert [put.message for put in chat.puts] == [message("20", room="fake:ops")]


async def test_messages_of_a_room_arrive_in_the_order_they_were_said(store: SqlStore, clock: FixedClock) -> None:
    chat = FakeChat()
    for n in range(12):
        await say(store, str(n), key=str(n))
    async with delivering(Deliverer(store, {"fake": chat}, [], clock)):
        await until(lambda: len(chat.puts) == 12)
    assert [put.message.key for put in chat.puts] == [str(n) for n in range(12)]


async def test_a_message_for_a_platform_that_is_not_configured_is_failed(store: SqlStore, clock: FixedClock) -> None:
    await say(store, "hello", room="slack:C1")
    async with delivering(Deliverer(store, {}, [], clock)):
        await until_state(store, "failed", key="chat:slack:C1:verdict")
    assert '"slack"' in (await row(store, "chat:slack:C1:verdict")).error


async def test_an_adapter_that_breaks_in_an_unforeseen_way_is_tried_again(store: SqlStore, clock: FixedClock) -> None:
    class Broken(FakePager):
        async def call(self, page: Any) -> str:
            if not self.calls:
                self.calls.append(page)
                raise KeyError("sid")
            return await super().call(page)

    await queue(store)
    async with delivering(Deliverer(store, {}, [Broken()], clock)):
        await until_state(store, "pending")
        await wait_out(clock, 3)
        await until_state(store, "sent")


async def test_a_payload_nobody_can_read_is_failed_and_stops_nothing(store: SqlStore, clock: FixedClock) -> None:
    phone = FakePager()
    async with store.begin() as tx:
        broken = page_row(page(key="INC-1:1:broken:1"), due_at=after(-1))
        await tx.outbox.add(dataclasses.replace(broken, payload={"page": {"key": "x"}}))
    await queue(store)
    async with delivering(Deliverer(store, {}, [phone], clock)):
        await until_state(store, "failed", key="INC-1:1:broken:1")
        await until_state(store, "sent")


class AwayStore:
    """A store that can be taken away; everything else is the real one's."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self.away = False

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Any]:
        if self.away:
            raise StoreUnavailable("away")
        async with self._store.begin() as tx:
            yield tx


async def test_when_the_database_returns_after_the_send_the_page_is_recorded_not_sent_again(
    store: SqlStore, clock: FixedClock
) -> None:
    phone, away = FakePager(), AwayStore(store)
    phone.gate.clear()
    await queue(store)
    async with delivering(Deliverer(away, {}, [phone], clock)):
        await until(lambda: bool(phone.calls))
        away.away = True
        phone.gate.set()
        await clock.advance(3)
        away.away = False
        await wait_out(clock, 3)
        await until_state(store, "sent")
    assert len(phone.calls) == 1
    assert len(await entries(store)) == 1


async def test_a_process_killed_between_send_and_record_calls_again_with_the_same_key(store_url: str) -> None:
    store = SqlStore(store_url)
    await store.upgrade()
    async with store.begin() as tx:
        await tx.incidents.open(incident())
    await queue(store)
    senders: list[asyncio.subprocess.Process] = []

    async def call_and_kill(phone: PhoneServer, request: Request, writer: asyncio.StreamWriter) -> None:
        # The provider has placed the call; the bot dies before it can learn or record that.
        phone.place_call(request)
        os.kill(senders[-1].pid, signal.SIGKILL)

    async with phone_server(call_and_kill) as phone:
        for _ in range(2):
            command = (sys.executable, "-m", "tests.app.sender", store_url, phone.url)
            senders.append(await asyncio.create_subprocess_exec(*command))
            if len(senders) == 1:
                assert await asyncio.wait_for(senders[0].wait(), 60) == -signal.SIGKILL
                assert (await row(store)).state == "pending"
        try:
            await until_state(store, "sent", attempts=2)
        finally:
            senders[1].kill()
            await senders[1].wait()
    assert [r.headers["idempotency-key"] for r in phone.requests] == ["INC-1:1:lin:1"] * 2
    assert phone.effects == {"INC-1:1:lin:1": 1}
    assert [e.data["state"] for e in await entries(store)] == ["sent"]
    await store.close()


async def test_three_bots_send_a_hundred_pages_once_each(store_url: str, store: SqlStore, clock: FixedClock) -> None:
    phone = FakePager()
    keys = [f"INC-1:1:lin:{n}" for n in range(100)]
    await queue(store, *keys)
    replicas = [SqlStore(store_url, clock=clock) for _ in range(3)]
    async with (
        delivering(Deliverer(replicas[0], {}, [phone], clock)),
        delivering(Deliverer(replicas[1], {}, [phone], clock)),
        delivering(Deliverer(replicas[2], {}, [phone], clock)),
    ):
        await until(lambda: len(phone.calls) >= 100, seconds=90)
        await asyncio.sleep(0.1)
    assert sorted(call.key for call in phone.calls) == sorted(keys)
    assert len(await entries(store)) == 100
    await asyncio.gather(*(replica.close() for replica in replicas))


async def test_a_due_page_goes_out_without_waiting_for_the_next_poll_when_the_bot_is_woken(store: SqlStore) -> None:
    phone = FakePager()
    async with delivering(Deliverer(store, {}, [phone], RealClock(), poll_s=60)) as deliverer:
        await asyncio.sleep(0.2)
        await queue(store)
        deliverer.wake()
        await until(lambda: bool(phone.calls), seconds=30)
