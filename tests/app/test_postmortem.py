"""The postmortem of a night: read as its manager would read it, on both databases."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.adapters.postmortem import FileScribe
from bot.app.postmortem.build import build
from bot.app.postmortem.facts import Facts
from bot.domain.errors import UserError
from bot.domain.incident import EntryKind, Impact, IncidentState, VendorCase
from bot.domain.message import File, Matrix, MatrixCell, to_json
from bot.domain.page import CallMade, CallState
from bot.domain.text import Lang, same
from bot.testing import FixedClock
from tests.app.test_document import of
from tests.diagnosis import nights
from tests.store.fixtures import database, store_url
from tests.store.samples import after, incident, note, run
from tests.transcript import ROOM, Night, a_night

__all__ = ["database", "store_url"]


@pytest.fixture
async def night(store_url: str, tmp_path: Path) -> AsyncIterator[Night]:
    async with a_night(tmp_path, url=store_url, clock=FixedClock()) as night:
        yield night


def of_the_night() -> Facts:
    """The story: the verdict of one run, a vendor, notes, and a second run that finds all well."""
    found = of(nights.vpc_dns_rate_limited, top=nights.CRAWLER)
    well = {**of(nights.healthy), "run": "run-2"}
    runs = [
        run("run-1", started_at=after(-1), finished_at=after(-0.9), document=found, incident="INC-1"),
        run("run-2", started_at=after(100), finished_at=after(100.1), document=well, incident="INC-1"),
    ]
    told = [
        ("declared INC-1: SMS is down", EntryKind.INCIDENT, 0),
        ("the key was checked first", EntryKind.NOTE, 1),
        ("chen has INC-1", EntryKind.ACK, 3),
        ("hurt: the vendor looked at the region only", EntryKind.NOTE, 4),
        ("cause: a load test in the VPC of production", EntryKind.NOTE, 5),
        ("tencent replied: it is our limit", EntryKind.VENDOR, 60),
        ("[a](http://evil.example) <script>alert(1)</script> | end", EntryKind.NOTE, 61),
        ("12 green", EntryKind.RECOVERY, 111),
    ]
    entries = [
        note(words, kind=kind, at=after(minute), seq=n, recorded_at=after(minute), data=DATA.get(kind, {}))
        for n, (words, kind, minute) in enumerate(told, start=1)
    ]
    return Facts(
        incident=incident(
            id="INC-1",
            title="SMS is down",
            state=IncidentState.RESOLVED,
            resolved_at=after(112),
            environments=("prod",),
            impact=Impact(text="codes do not arrive", customers=("acme", "globex"), amount="3000/h"),
            vendors=(VendorCase(name="tencent", asked_at=after(20), ticket="T-1", replied_at=after(60)),),
        ),
        entries=entries,
        runs=runs,
    )


DATA: dict[EntryKind, dict[str, Any]] = {
    EntryKind.VENDOR: {"vendor": "tencent"},
    EntryKind.RECOVERY: {
        "matrix": to_json((Matrix(columns=(same("vm"),), rows=((same("TCP"), (MatrixCell(state="up"),)),)),))[0]
    },
}
REPORT = build(of_the_night())


async def written(form: str = "md", lang: Lang = "en") -> str:
    return (await FileScribe().write(REPORT, form=form, lang=lang)).content


async def test_its_parts_stand_in_the_order_in_which_they_are_read() -> None:
    text = await written()
    heads = [line for line in text.splitlines() if line.startswith("## ")]
    assert heads == [
        "## Summary",
        "## Impact",
        "## What happened",
        "## How we knew",
        "## Cause",
        "## What went well",
        "## What hurt",
        "## Action items",
        "## Vendor",
        "## Appendix",
    ]
    summary = text.partition("## Summary")[2].partition("## Impact")[0].strip().splitlines()
    assert len(summary) == 5
    assert "SMS is down (prod), sev1: from 2026-01-15 22:59 to 00:51, 1 h 52 min" in summary[0].replace("01-16 ", "")
    assert "**Cause**: DNS of VPC blue is rate-limited by the provider" in summary[2]
    assert "10.3.7.21, 2,140 queries per second" in summary[2]
    assert "| Customers | acme, globex |" in text
    assert "- a load test in the VPC of production" in text.partition("## Cause")[2].partition("## What went well")[0]
    assert "ticket T-1, first reply after 40 min" in text.partition("## Vendor")[2]


async def test_what_people_marked_stands_under_what_hurt_and_not_in_the_story() -> None:
    text = await written()
    hurt = text.partition("## What hurt")[2].partition("## Action")[0]
    assert "- the vendor looked at the region only" in hurt
    assert "- the first reply of tencent took 40 min 0 s" in hurt
    assert "hurt:" not in text.partition("## Appendix")[0]


async def test_it_shows_what_was_seen_and_by_what_others_were_rejected() -> None:
    text = await written()
    knew = text.partition("## How we knew")[2].partition("## Cause")[0]
    assert "### At onset and at the verdict" in knew
    assert "### At recovery" in knew
    assert "| | east pod | east vm | east vm2 | west vm | office outside |" in knew
    assert "| DNS · VPC | ◐ 10% | ◐ 10% | ✓ | ✓ | · |" in knew
    assert "| CoreDNS of cluster k1 is overloaded | 0% |" in knew
    assert "accounts for 3 of the 7 cells that failed" in knew


async def test_in_chinese_nothing_of_it_is_english_but_what_people_typed() -> None:
    text = await written(lang="zh")
    assert "## 我们是怎么知道的" in text
    assert "VPC blue 的 DNS 被云厂商限频" in text
    assert "VPC blue 经 VPC DNS 解析" in text
    assert "rate-limited" not in text
    assert "vantage point" not in text


@pytest.mark.parametrize("form", ["md", "json", "html"])
async def test_the_same_record_gives_the_same_bytes(form: str) -> None:
    again = build(of_the_night())
    assert await written(form) == (await FileScribe().write(again, form=form, lang="en")).content


async def test_json_has_both_languages_and_the_figures() -> None:
    found = json.loads(await written("json"))
    assert (found["version"], found["incident"], found["severity"]) == (1, "INC-1", "sev1")
    assert {m["id"]: m["seconds"] for m in found["measures"]} == {
        "time_to_acknowledge": 180.0,
        "time_to_first_look": 0.0,
        "time_to_diagnosis": 6.0,
        "time_to_recovery": 6720.0,
        "duration": 6720.0,
    }
    assert found["cause"]["titles"] == [
        {"zh": "VPC blue 的 DNS 被云厂商限频", "en": "DNS of VPC blue is rate-limited by the provider"}
    ]
    assert found["snapshots"][0]["matrix"]["type"] == "matrix"


async def test_what_people_typed_is_shown_and_never_markup() -> None:
    assert "\\[a\\](http://evil.example) \\<script>alert(1)\\</script> \\| end" in await written()
    html = await written("html")
    assert "<script" not in html
    assert 'href="http://evil' not in html


async def test_a_night_ends_with_its_postmortem_as_a_file(store_url: str, tmp_path: Path) -> None:
    async with a_night(tmp_path, url=store_url) as night:
        await _a_whole_night(night)


async def _a_whole_night(night: Night) -> None:
    night.rule = nights.vpc_dns_rate_limited
    await night.types("/diag sms")
    await night.types("/incident declare SMS is down sev1 env=prod")
    await night.types("/ack", user="chen")
    night.rule = nights.healthy
    await night.types("/watch")
    await night.until("green 5 times in a row")
    await night.types("/incident resolve")
    assert await night.types("/postmortem") is None
    await night.until("INC-1-postmortem.md")
    (file,) = [b for m in night.chat.shown(ROOM) for b in m.blocks if isinstance(b, File)]
    assert file.content.startswith("# Postmortem: INC-1 SMS is down")
    assert "### At onset and at the verdict" in file.content
    assert "### At recovery" in file.content
    assert "chen has INC-1" in file.content
    exported = await night.service.export("inc-1", form="json", lang="zh")
    assert exported is not None
    assert exported.name == "INC-1-postmortem.json"
    assert json.loads(exported.content)["cause"]["titles"][0]["zh"] == "VPC blue 的 DNS 被云厂商限频"
    assert await night.service.export("INC-9", form="md") is None


@pytest.mark.parametrize(
    ("typed", "code", "says"),
    [
        ("/postmortem docx", "unknown_format", "md, html, pdf, json, jsonl, zh, en"),
        ("/postmortem INC-9", "unknown_incident", "INC-9"),
        ("/postmortem", "no_incident", "/incident declare"),
    ],
)
async def test_what_cannot_be_written_is_said(night: Night, typed: str, code: str, says: str) -> None:
    error = await night.types(typed)
    assert error is not None
    assert error.code == code
    assert says in night.shows()


async def test_a_form_that_does_not_exist_is_named() -> None:
    with pytest.raises(UserError, match="docx"):
        await written("docx")


def test_an_incident_of_which_little_is_known_is_said_to_be_so() -> None:
    report = build(Facts(incident=incident(id="INC-5")))
    assert report.cause is None
    assert [fact.text.en for fact in report.summary][1:3] == ["not recorded", "not settled yet"]
    assert "not over yet" in report.summary[0].text.en
    hurt = [text.en for text in report.hurt]
    assert "nothing was diagnosed: there is no measured evidence of the cause" in hurt
    assert "who was hit was not written down (/incident impact)" in hurt


def test_calls_that_reached_nobody_hurt_and_no_person_is_named_for_it() -> None:
    call = CallMade(
        key="INC-5:1:chen:1",
        incident="INC-5",
        step=1,
        person="chen",
        ways=("phone",),
        state=CallState.NO_ANSWER,
        queued_at=after(1),
    )
    report = build(Facts(incident=incident(id="INC-5"), calls=[call, replace(call, key="k2")]))
    said = " ".join(text.en for text in (*report.well, *report.hurt))
    assert "2 calls reached nobody" in said
    assert "chen" not in said
    assert [one.person for one in report.calls] == ["chen", "chen"]


def test_a_note_of_the_past_stands_at_its_time_and_says_that_it_came_later() -> None:
    late = note("COS is down too", kind=EntryKind.NOTE, at=after(-20), recorded_at=after(60), seq=9, incident="INC-5")
    report = build(Facts(incident=incident(id="INC-5"), entries=[late]))
    (phase,) = report.phases
    assert (phase.id, phase.lines[0].late) == ("before", True)


def test_of_ten_thousand_entries_the_story_shows_some_and_the_record_all() -> None:
    entries = [note(f"line {n}", at=after(n / 100), seq=n, incident="INC-5") for n in range(1, 10_001)]
    report = build(Facts(incident=incident(id="INC-5"), entries=entries))
    assert sum(len(phase.lines) + phase.more for phase in report.phases) == 10_000
    assert all(len(phase.lines) <= 40 for phase in report.phases)
    assert len(report.record) == 10_000
