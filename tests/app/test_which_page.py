"""Reports that name a call by anything but our key, and calls that are asked about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bot.adapters.store import SqlStore
from bot.app.outgoing import page_row
from bot.app.poll_calls import CallPoller, InFlight, in_flight
from bot.app.ports import OutboxRow
from bot.app.which_page import by_phone, by_ref, key_of
from bot.domain.errors import SendFailed
from bot.domain.incident import Entry, EntryKind
from bot.domain.page import Callback, CallStatus, Person, short_key
from tests.store.fixtures import database, store, store_url  # noqa: F401 - fixtures
from tests.store.samples import page

NOW = datetime.now(UTC)
CHEN = Person(name="chen", phone="+86 139-0000-0000")


def row(key: str, *, ref: str | None = None, person: Person | None = None, ago_s: float = 5) -> OutboxRow:
    who = {"person": person} if person else {}
    made = page_row(page(key=key, **who), due_at=datetime.now(UTC) - timedelta(seconds=ago_s))
    return OutboxRow(key=key, kind="page", payload=made.payload, due_at=made.due_at, incident="INC-1", ref=ref)


def test_a_page_is_known_by_its_key_its_short_key_its_reference_and_the_first_word_of_it() -> None:
    rows = [row("INC-1:1:lin:1", ref="gl#70 INC-1:1:lin:1"), row("INC-1:1:lin:2", ref="CA2")]
    for name in ("INC-1:1:lin:1", short_key("INC-1:1:lin:1"), "gl#70", "gl#70 INC-1:1:lin:1"):
        assert by_ref(rows, (name,)) == "INC-1:1:lin:1"
    assert by_ref(rows, ("nobody's", "CA2")) == "INC-1:1:lin:2"
    assert by_ref(rows, ("70", "", "CA")) is None
    assert by_ref([row("INC-1:1:lin:1")], ("",)) is None


def test_the_newest_page_to_a_number_is_meant_however_the_number_is_written() -> None:
    rows = [row("new", person=CHEN), row("old", person=CHEN), row("other")]
    assert by_phone(rows, "+8613900000000") == "new"
    assert by_phone(rows, "+8613911111111") is None
    assert by_phone([OutboxRow(key="x", kind="page", payload={}, due_at=NOW)], "+86") is None


async def test_pages_are_looked_up_in_the_database_by_age_and_a_known_key_needs_none(store: SqlStore) -> None:  # noqa: F811
    async with store.begin() as tx:
        now = datetime.now(UTC)
        for key, ago in (("fresh", 1.0), ("older", 900.0), ("ancient", 90_000.0)):
            made = page_row(page(key=key), due_at=now - timedelta(seconds=ago))
            await tx.outbox.add(made)
        await tx.outbox.add(page_row(page(key="to come"), due_at=now + timedelta(hours=1)))
        assert [r.key for r in await tx.outbox.pages_since(timedelta(hours=1))] == ["fresh", "older"]
        (claimed,) = [r for r in await tx.outbox.claim(owner="me", limit=9, lease_s=10) if r.key == "fresh"]
        await tx.outbox.finish(claimed, state="pending", retry_at=now + timedelta(seconds=30))
        assert [r.key for r in await tx.outbox.pages_since(timedelta(hours=1))] == [
            "fresh",
            "older",
        ]  # it may have rung
    assert await key_of(store, Callback(key="k", status=CallStatus.BUSY)) == "k"
    assert await key_of(store, Callback(refs=("older",), status=CallStatus.BUSY)) == "older"
    assert await key_of(store, Callback(refs=("ancient",), status=CallStatus.BUSY)) is None
    assert await key_of(store, Callback(refs=("?",), phone="+8613800000000", status=CallStatus.BUSY)) == "fresh"
    assert await key_of(store, Callback(refs=("?",), status=CallStatus.BUSY)) is None


def entry(kind: EntryKind, **data: str) -> Entry:
    return Entry(kind=kind, at=NOW, actor="warroom", room="r", zh="", en="", incident="INC-1", data=data)


def sent(key: str) -> Entry:
    return entry(EntryKind.PAGE, key=key, state="sent", pager="tw", ref=f"CA-{key}")


def test_a_call_is_in_flight_from_the_providers_word_until_its_end() -> None:
    said = [
        sent("a"),
        sent("b"),
        sent("c"),
        entry(EntryKind.PAGE, key="d", state="cancelled"),
        entry(EntryKind.CALL, key="a", status="ringing"),
        entry(EntryKind.CALL, key="b", status="ringing"),
        entry(EntryKind.CALL, key="b", status="no_answer"),
        entry(EntryKind.CALL, key="z", status="busy"),
        entry(EntryKind.NOTE),
    ]
    assert in_flight(said) == [
        InFlight(key="a", pager="tw", ref="CA-a", known=CallStatus.RINGING),
        InFlight(key="c", pager="tw", ref="CA-c"),
    ]


class Told:
    """A provider that says of each call what it is told to."""

    def __init__(self, **by_ref: CallStatus | None) -> None:
        self.by_ref = by_ref

    async def status(self, ref: str) -> CallStatus | None:
        if ref not in self.by_ref:
            raise SendFailed("HTTP 404", permanent=True)
        return self.by_ref[ref]


async def test_only_what_is_new_is_passed_on_and_one_call_that_cannot_be_asked_about_spoils_no_other(
    store: SqlStore,  # noqa: F811
) -> None:
    async with store.begin() as tx:
        for key in ("a", "b", "c"):
            await tx.outbox.add(row(key))
        for claimed in await tx.outbox.claim(owner="me", limit=9, lease_s=10):
            await tx.outbox.finish(claimed, state="sent", ref=f"CA-{claimed.key}")
        for one in (sent("a"), sent("b"), sent("c"), entry(EntryKind.CALL, key="b", status="ringing")):
            await tx.timeline.append(one)
    heard: list[tuple[str, str, CallStatus]] = []

    async def reported(pager: str, said: Callback) -> bool:
        heard.append((pager, said.key, said.status))
        return True

    told = Told(**{"CA-b": CallStatus.RINGING, "CA-c": CallStatus.ANSWERED})
    assert await CallPoller(store, {"tw": told}, reported).round() == 3
    assert heard == [("tw", "c", CallStatus.ANSWERED)]
    assert await CallPoller(store, {}, reported).round() == 0
    assert await CallPoller(store, {"other": told}, reported).round() == 0
