"""Looking things up in the record, and mending it without touching it: as people type it, on both databases."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from bot.adapters.postmortem import FileScribe
from bot.app.postmortem.build import build
from bot.app.postmortem.collect import collect
from bot.app.postmortem.command import export
from bot.domain.chain import BEGINNING, Content, hash_of
from bot.domain.incident import EntryKind
from bot.domain.message import Buttons
from bot.testing import FixedClock
from tests.store.fixtures import database, store_url
from tests.store.samples import after, incident, note
from tests.transcript import ROOM, Night, a_night

__all__ = ["database", "store_url"]


@pytest.fixture
async def night(store_url: str, tmp_path: Path) -> AsyncIterator[Night]:
    async with a_night(tmp_path, url=store_url, clock=FixedClock()) as night:
        yield night


async def shown(night: Night, text: str) -> list[str]:
    """The entries a command lists, without number and time."""
    assert await night.types(text) is None
    message = night.chat.shown(ROOM)[-1]
    lines = [item.en for block in message.blocks for item in getattr(block, "items", ())]
    return [re.sub(r"^#\d+ (\d\d-\d\d )?\d\d:\d\d:\d\d ", "", line) for line in lines]


def buttons(night: Night) -> dict[str, str]:
    blocks = night.chat.shown(ROOM)[-1].blocks
    return {b.label.en: b.command for block in blocks if isinstance(block, Buttons) for b in block.buttons}


async def test_a_long_timeline_is_read_page_by_page_and_nothing_is_shown_twice_or_missed(night: Night) -> None:
    await night.types("/incident declare SMS is down sev4")
    async with night.parts.store.begin() as tx:
        await tx.timeline.extend(
            [note(f"n{n}", incident="INC-1", room=ROOM, at=after(-100 + n // 3)) for n in range(100)]
        )
    seen = list(await shown(night, "/timeline INC-1 kind=note"))
    assert seen == [f"lin: n{n}" for n in range(60, 100)]
    assert "timeline of INC-1 (61-100 of 100)" in night.shows()
    while "Earlier" in buttons(night):
        seen = await shown(night, buttons(night)["Earlier"]) + seen
    assert seen == [f"lin: n{n}" for n in range(100)]
    assert await shown(night, buttons(night)["Later"]) == [f"lin: n{n}" for n in range(20, 60)]


async def test_it_is_searched_by_words_kind_person_and_time_in_both_languages(night: Night) -> None:
    clock = night.parts.clock
    assert isinstance(clock, FixedClock)
    await night.types("/note COS 桶 也不可用", user="chen")
    await night.types("/note the vendor says 100% fine_here")
    await night.types("/diag sms")
    assert await shown(night, "/timeline 也不可用 kind=note") == ["chen: COS 桶 也不可用"]
    assert await shown(night, "/timeline cos 桶 kind=备注") == ["chen: COS 桶 也不可用"]
    assert await shown(night, '/timeline "100% fine_here" kind=note') == ["lin: the vendor says 100% fine_here"]
    assert await shown(night, "/timeline 1_0% kind=note") == []
    assert await shown(night, "/timeline kind=note by=@CHEN") == ["chen: COS 桶 也不可用"]
    assert {line.partition(":")[0] for line in await shown(night, "/timeline kind=verdict,probes")} == {"warroom"}
    await clock.advance(3600)
    await night.types("/note later")
    assert await shown(night, "/timeline kind=note since=30m") == ["lin: later"]
    assert len(await shown(night, "/timeline kind=note until=30m")) == 2
    assert "All of it" in buttons(night)
    assert await shown(night, "/timeline no such words") == []
    assert "nothing fits" in night.shows()


async def test_the_times_of_a_night_that_is_over_are_those_of_that_night(night: Night) -> None:
    clock = night.parts.clock
    assert isinstance(clock, FixedClock)
    await night.types("/incident declare SMS is down sev4")
    at = f"{night.parts.local(clock.now()):%H:%M}"
    await clock.advance(600)
    await night.types("/incident resolve")
    await clock.advance(5 * 86400)
    assert "lin: declared INC-1: SMS is down" in await shown(night, f"/timeline INC-1 since={at}")


@pytest.mark.parametrize(
    ("typed", "code", "says"),
    [
        ("/timeline kind=nots", "unknown_kind", 'did you mean "note"'),
        ("/timeline since=later", "bad_time", "is no time"),
        ("/timeline colour=red", "unknown_option", "kind, by, since, until, before, after"),
        ("/timeline before=#999", "unknown_entry", "there is no #999"),
        ("/timeline before=x", "bad_number", "such as #17"),
        ("/timeline since=23:40 until=23:40", "bad_time", "swap"),
        ("/timeline INC-77", "unknown_incident", "not found"),
        ("/note correct #999 x", "unknown_entry", "/timeline shows the numbers"),
        ("/note correct", "empty_note", "/note correct #17"),
    ],
)
async def test_what_cannot_be_read_is_refused_with_what_can(night: Night, typed: str, code: str, says: str) -> None:
    await night.types("/note one")
    error = await night.types(typed)
    assert error is not None
    assert (error.code, says in error.text.en) == (code, True), error.text.en


async def test_a_correction_is_an_entry_of_its_own_and_what_it_corrects_stays(night: Night) -> None:
    await night.types("/incident declare SMS is down sev4")
    await night.types("/note COS is down")
    (wrong,) = [e for e in await night.timeline("INC-1") if e.kind is EntryKind.NOTE]
    assert f"COS is down (#{wrong.seq})" in night.shows()
    await night.types(f"/note correct #{wrong.seq} CLS is down", user="chen")
    assert f"#{wrong.seq} is corrected" in night.shows()
    found = await night.timeline("INC-1")
    assert [e for e in found if e.seq == wrong.seq] == [wrong]
    (mended,) = [e for e in found if e.kind is EntryKind.CORRECTION]
    assert (mended.actor, mended.data["corrects"], mended.data["says"]) == ("chen", wrong.seq, "CLS is down")
    (line,) = await shown(night, "/timeline kind=note")
    assert line == f"lin: CLS is down (corrected by #{mended.seq}; it said: COS is down)"
    # The correction is mended like anything else: the last word stands.
    await night.types(f"/note correct #{mended.seq} CLS and COS are down")
    assert (await shown(night, "/timeline kind=note"))[0].startswith("lin: CLS and COS are down (corrected")
    async with night.parts.store.begin() as tx:
        assert not await tx.timeline.verify("INC-1")


async def test_the_time_of_a_note_is_corrected_on_the_day_it_was(night: Night) -> None:
    await night.types("/incident declare SMS is down sev4")
    await night.types("/note 00:10 COS is down")
    (wrong,) = [e for e in await night.timeline("INC-1") if e.kind is EntryKind.NOTE]
    await night.types(f"/note correct #{wrong.seq} 23:55 COS is down")
    (mended,) = [e for e in await night.timeline("INC-1") if e.kind is EntryKind.CORRECTION]
    assert mended.data["happened_at"] == (night.parts.local(wrong.at) - timedelta(minutes=15)).isoformat()


async def test_only_what_people_wrote_can_be_corrected_and_only_where_it_stands(night: Night) -> None:
    await night.types("/incident declare SMS is down sev4")
    declared = next(e for e in await night.timeline("INC-1") if e.kind is EntryKind.INCIDENT)
    error = await night.types(f"/note correct #{declared.seq} it never happened")
    assert error is not None
    assert error.code == "not_correctable"
    await night.types("/note elsewhere", room="console:other")
    (other,) = [e for e in await _of(night, "console:other") if e.kind is EntryKind.NOTE]
    error = await night.types(f"/note correct #{other.seq} here")
    assert error is not None
    assert error.code == "unknown_entry"
    await night.types("/note correct 17 rows were deleted")
    assert (await shown(night, "/timeline kind=note"))[-1] == "lin: correct 17 rows were deleted"


async def _of(night: Night, room: str) -> list[object]:
    async with night.parts.store.begin() as tx:
        return list(await tx.timeline.read(room=room))


async def test_the_postmortem_tells_the_corrected_text_and_that_it_was_corrected(night: Night) -> None:
    await night.types("/incident declare SMS is down sev4")
    await night.types("/note COS is down")
    await night.types("/note cause: a deploy")
    first, second = [e for e in await night.timeline("INC-1") if e.kind is EntryKind.NOTE]
    await night.types(f"/note correct #{first.seq} CLS is down")
    await night.types(f"/note correct #{second.seq} cause: a load test")
    async with night.parts.store.begin() as tx:
        found = await tx.incidents.get("INC-1")
        assert found is not None
        report = build(await collect(night.parts, tx, found))
    text = (await FileScribe().write(report, form="md", lang="en")).content
    story, _, record = text.partition("## Appendix")
    assert "CLS is down (corrected; it said: COS is down)" in story
    assert "corrects #" not in story
    assert "- a load test (corrected)" in story
    assert "a deploy" not in story
    assert f"#{first.seq} note lin: COS is down (corrected later)" in record
    assert f"CLS is down (corrects #{first.seq})" in record
    html = (await FileScribe().write(report, form="html", lang="zh")).content
    assert "已更正，原文：<s>COS is down</s>" in html


async def test_the_record_as_json_lines_can_be_checked_without_us(night: Night) -> None:
    await night.types("/diag sms")
    await night.types("/incident declare 短信 sev4")
    await night.types("/note 23:40 COS 也不可用")
    async with night.parts.store.begin() as tx:
        found = await tx.incidents.get("INC-1")
        assert found is not None
        entries = await tx.timeline.read(incident="INC-1")
    file = await export(night.parts, found, form="jsonl", lang="en")
    assert file.name == "INC-1.jsonl"
    first, *lines = [json.loads(line) for line in file.content.splitlines()]
    assert [line["seq"] for line in lines] == [entry.seq for entry in entries]
    heads: dict[str, str] = {}
    for line in sorted(lines, key=lambda one: (one["chain"], one["link"])):
        moments = {key: type(entries[0].at).fromisoformat(line[key]) for key in ("at", "recorded_at")}
        text = json.dumps(line["data"], ensure_ascii=False, separators=(",", ":"))
        words = {key: line[key] for key in ("kind", "actor", "room", "incident", "run", "zh", "en")}
        content = Content(**words, **moments, data=text)
        before = heads.get(line["chain"], BEGINNING)
        heads[line["chain"]] = hash_of(before, line["chain"], line["link"], content)
        assert heads[line["chain"]] == line["hash"]
    assert {head["chain"]: head["hash"] for head in first["heads"]} == heads
    assert (await export(night.parts, found, form="jsonl", lang="zh")).content == file.content


async def test_a_secret_that_became_known_later_does_not_leave_with_the_record(night: Night) -> None:
    await night.types("/incident declare SMS is down sev4")
    await night.types('/note the key is canary-"42"-key and it was revoked')
    night.parts.store._redactor.add('canary-"42"-key')  # type: ignore[attr-defined]
    async with night.parts.store.begin() as tx:
        found = await tx.incidents.get("INC-1")
        assert found is not None
    content = (await export(night.parts, found, form="jsonl", lang="en")).content
    assert "canary" not in content
    masked = [json.loads(line) for line in content.splitlines() if "redacted" in line]
    assert {line["kind"] for line in masked} == {"note", "command"}
    assert all("the key is ••• and it was revoked" in line["en"] for line in masked)


async def test_a_record_too_long_for_a_chat_says_where_it_is_fetched(night: Night) -> None:
    await night.types("/incident declare SMS is down sev4")
    async with night.parts.store.begin() as tx:
        await tx.timeline.extend([note("x" * 900, incident="INC-1", room=ROOM) for _ in range(900)])
        assert (await tx.incidents.open(incident())).id == "INC-2"
    await night.types("/postmortem jsonl")
    await night.until("warroom export INC-1 --format jsonl")
