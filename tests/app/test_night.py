"""The commands of a night, as transcripts: what is typed, what the room shows, what is on record."""

from __future__ import annotations

import asyncio
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from bot.app.page import phone_reported
from bot.domain.incident import EntryKind, Run
from bot.domain.page import CallStatus
from tests.diagnosis import nights
from tests.transcript import ROOM, a_night


async def test_diag_answers_with_cause_evidence_culprit_and_what_to_do(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        night.rule = nights.vpc_dns_rate_limited
        assert await night.types("/diag sms") is None
        shown = night.shows()
        assert "most likely: DNS of VPC blue is rate-limited by the provider" in shown
        assert "10.3.7.21" in shown
        assert "Do now: stop or move the top client 10.3.7.21" in shown
        assert "Missing: nothing" in shown
        assert "diagnosing" not in shown
        kinds = [e.kind for e in await night.timeline()]
        assert kinds == [EntryKind.COMMAND, EntryKind.PROBES, EntryKind.VERDICT]


async def test_the_same_answer_in_chinese(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        night.rule = nights.vpc_dns_rate_limited
        await night.types("／diag　sms")
        shown = night.shows(lang="zh")
        assert "最可能：VPC blue 的 DNS 被云厂商限频" in shown
        assert "现在做" in shown


@pytest.mark.parametrize(
    ("typed", "code", "says"),
    [
        ("/diag smss", "unknown_playbook", 'playbook "smss" not found; did you mean "sms"? /playbooks lists them'),
        ("/diag", "missing_playbook", "which service?"),
        ("/diag sms region=eats", "unknown_region", 'region "eats" not found; did you mean "east"?'),
        ("/diag sms regoin=east", "unknown_option", 'did you mean "region"?'),
        ("/daig sms", "unknown_command", 'did you mean "diag"?'),
        ('/diag "sms', "bad_quotes", "a quote is not closed"),
        ("/", "empty_command", "/help lists them all"),
        ("/note", "empty_note", "for example /note"),
        ("/note " + "x" * 5000, "too_long", "at most 4000"),
        ("/page bob", "unknown_person", "there are: lin, chen"),
        ("/ack", "no_incident", "nothing to acknowledge"),
        ("/incident status", "no_incident", "/incident declare TITLE"),
        ("/incident frobnicate", "unknown_action", "declare, status, sev, role, impact, merge, mitigate, resolve"),
        ("/warroom bind INC-9", "unknown_open_incident", "open: none"),
        ("/timeline INC-9", "unknown_incident", "INC-9"),
        ("/vendor acme", "unknown_vendor", "tencent"),
        ("/vendor tencent", "no_evidence", "/diag first"),
        ("/watch", "nothing_to_watch", "/watch sms"),
    ],
)
async def test_a_mistake_gets_a_clear_word_and_is_on_record(tmp_path: Path, typed: str, code: str, says: str) -> None:
    async with a_night(tmp_path) as night:
        error = await night.types(typed)
        assert error is not None
        assert error.code == code
        assert says in night.shows()
        assert "Traceback" not in night.shows()
        (entry,) = await night.timeline()
        assert entry.data == {"error": code}


async def test_the_same_message_delivered_twice_is_one_command(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        await night.types("/note COS is down too", key="m1")
        await night.types("/note COS is down too", key="m1")
        assert [e.kind for e in await night.timeline()].count(EntryKind.NOTE) == 1


async def test_runs_before_the_incident_belong_to_it(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        night.rule = nights.permission_revoked
        await night.types("/diag sms")
        await night.types("/incident declare sev3")
        entries = await night.timeline("INC-1")
        assert [e.kind for e in entries if e.kind not in (EntryKind.ESCALATION, EntryKind.PAGE)] == [
            EntryKind.COMMAND,
            EntryKind.PROBES,
            EntryKind.VERDICT,
            EntryKind.COMMAND,
            EntryKind.INCIDENT,
        ]
        assert "INC-1 SMS cannot be sent: our key's permission was revoked" in night.shows()


async def test_page_rings_once_and_key_1_acknowledges_and_stops_the_rest(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        night.rule = nights.vpc_dns_rate_limited
        await night.types("/diag sms")
        await night.types("/page chen")
        (call,) = await night.rings()
        assert (call.key, call.person.name, call.incident) == ("INC-1:0:chen:1", "chen", "INC-1")
        await night.until("call to chen: dialled")
        assert await night.phone(call.key, CallStatus.RINGING)
        assert "call to chen: the phone is ringing" in night.shows()
        assert await night.phone(call.key, CallStatus.ANSWERED, "1")
        assert await night.phone(call.key, CallStatus.ANSWERED, "1")  # providers repeat themselves
        shown = night.shows()
        assert "chen has INC-1 (by key press)" in shown
        assert "call to chen: acknowledged" in shown
        assert [e.kind for e in await night.timeline("INC-1")].count(EntryKind.ACK) == 1
        await night.types("/ack")
        assert "chen has it already" in night.shows()


async def test_whoever_acknowledged_at_the_provider_has_it_and_not_the_one_called(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        await night.types("/warroom open")
        await night.types("/page lin")
        (call,) = await night.rings()
        told = {"pager": "pagerduty", "status": CallStatus.ANSWERED, "digits": "1", "by": "@Chen"}
        assert await phone_reported(night.parts, key=call.key, **told)  # type: ignore[arg-type]
        assert [i.acked_by for i in await night.service.incidents()] == ["chen"]


async def test_key_2_calls_the_next_person(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        await night.types("/page")
        await night.phone("INC-1:1:lin:1", CallStatus.ANSWERED, "2")
        assert [c.person.name for c in await night.rings(2)] == ["lin", "chen"]


async def test_a_call_nobody_placed_is_not_believed(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        assert not await night.phone("INC-7:1:eve:1", CallStatus.ANSWERED, "1")


async def test_the_war_room_gets_the_verdict_and_resolving_frees_both_rooms(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        night.rule = nights.firewall_block
        await night.types("/diag sms")
        await night.types("/warroom open")
        ((room, title, _),) = night.chat.rooms
        assert title.startswith("INC-1 ")
        await night.settle()
        there = night.shows(room)
        assert "a security group or firewall of VPC blue blocks the target" in there
        assert "nobody has acknowledged yet" in there
        await night.types("/ack", user="chen", room=room)
        assert "chen has INC-1" in night.shows()
        await night.types("/incident resolve", room=room)
        assert "INC-1 resolved" in night.shows()
        error = await night.types("/incident status")
        assert error is not None
        assert error.code == "no_incident"


async def test_the_vendor_gets_what_its_engineers_will_ask_for(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        night.rule = nights.vpc_dns_rate_limited
        await night.types("/diag sms")
        await night.types("/vendor tencent")
        pack = night.shows("console:vendor-tencent")
        assert "please help: most likely: DNS of VPC blue is rate-limited" in pack
        assert "east/vm" in pack
        assert "dns_timeout" in pack


async def test_watch_says_when_it_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.app.watch.PAUSE_S", 0.01)
    async with a_night(tmp_path) as night:
        night.rule = nights.vpc_dns_rate_limited
        await night.types("/diag sms")
        await night.types("/incident declare")
        await night.types("/watch")
        night.rule = nights.healthy
        await night.until("recovered: green 5 times in a row")
        assert EntryKind.RECOVERY in [e.kind for e in await night.timeline("INC-1")]


async def test_watch_can_be_stopped(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        night.rule = nights.vpc_dns_rate_limited
        await night.types("/watch sms")
        await night.types("/watch stop")
        assert "stopped watching" in night.shows()
        await night.types("/watch stop")
        assert "nothing is being watched" in night.shows()


async def test_a_note_is_recorded_at_its_true_time(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        await night.types('/note 23:40 COS "is" down too')
        note = next(e for e in await night.timeline() if e.kind is EntryKind.NOTE)
        assert f"{night.parts.local(note.at):%H:%M}" == "23:40"
        assert note.en == 'COS "is" down too'
        assert note.at <= night.parts.clock.now()


@pytest.mark.parametrize("typed", ["/help", "/agents", "/playbooks", "/timeline"])
async def test_the_views_answer_in_both_languages(tmp_path: Path, typed: str) -> None:
    async with a_night(tmp_path) as night:
        await night.types(typed)
        assert night.shows(lang="zh").strip()
        assert night.shows(lang="en").strip()


async def test_what_an_agent_cannot_do_is_said_below_the_others(tmp_path: Path) -> None:
    one, *others = nights.agents()
    lacking = replace(one, lacks=("ping: CAP_NET_RAW is missing", "only 256 files may be open at once"))
    async with a_night(tmp_path, who=[lacking, *others]) as night:
        await night.types("/agents")
        for lang in ("zh", "en"):
            for sentence in lacking.lacks:
                assert night.shows(lang=lang).count(f" · {one.name}: {sentence}") == 1
    (tmp_path / "crowd").mkdir()
    async with a_night(tmp_path / "crowd", who=[replace(lacking, name=f"vm-{n}") for n in range(30)]) as night:
        await night.types("/agents")
        assert "and 40 more" in night.shows(lang="en")


async def test_without_agents_diag_says_how_to_start_one(tmp_path: Path) -> None:
    async with a_night(tmp_path, who=nights.lost("east-pod", "east-vm", "east-vm2", "west-vm", "office")) as night:
        error = await night.types("/diag sms")
        assert error is not None
        assert error.code == "no_agents"


async def test_where_agents_may_have_dialled_another_bot_that_is_said(tmp_path: Path) -> None:
    async with a_night(tmp_path, who=nights.lost("east-pod", "east-vm", "east-vm2", "west-vm", "office")) as night:
        night.parts.agents_meet_one_bot = True
        error = await night.types("/diag sms")
        assert error is not None
        assert "have them come by NATS (agents.nats_url)" in error.text.en
        await night.types("/agents")
        assert "have them come by NATS (agents.nats_url)" in night.shows(lang="en")
        assert "请让观测点走 NATS" in night.shows(lang="zh")


async def test_a_run_that_a_restart_cut_off_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.app.diag.LOST_AFTER_S", 0.2)
    async with a_night(tmp_path) as night, night.parts.store.begin() as tx:
        at = night.parts.clock.now()
        await tx.runs.save(Run(id="run-cut", playbook="sms", room=ROOM, user="lin", started_at=at))
    async with a_night(tmp_path) as night:
        await night.until("/diag sms was interrupted by a restart; ask again")
        await asyncio.sleep(0.4)  # the second look finds nothing to say
        (entry,) = await night.timeline()
        assert entry.data == {"interrupted": True}


async def test_the_only_bot_on_a_database_need_not_wait_to_know_that_a_run_was_cut_off(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night, night.parts.store.begin() as tx:
        at = night.parts.clock.now()
        await tx.runs.save(Run(id="run-cut", playbook="sms", room=ROOM, user="lin", started_at=at))
    async with a_night(tmp_path, alone=True) as night:
        await night.until("/diag sms was interrupted by a restart; ask again")
        night.rule = nights.firewall_block
        await night.types("/diag sms")
        assert night.shows().count("interrupted") == 1


async def test_a_read_only_database_is_said_in_the_room_and_nothing_is_lost(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        await night.types("/note before")
        with sqlite3.connect(tmp_path / "night.db") as other:
            # Another writer that does not let go looks the same to us as a read-only file.
            other.isolation_level = None
            other.execute("BEGIN EXCLUSIVE")
            error = await asyncio.wait_for(
                asyncio.shield(asyncio.ensure_future(_type(night, "/note during"))), timeout=30
            )
            other.execute("ROLLBACK")
        assert error is not None
        assert error.code == "store_unavailable"
        assert any("cannot be written just now" in str(put.message.blocks) for put in night.chat.puts)
        await night.types("/note after")
        assert [e.en for e in await night.timeline() if e.kind is EntryKind.NOTE] == ["before", "after"]


async def _type(night: object, text: str) -> object:
    from bot.app.dispatch import handle

    return await handle(night.parts, text, user="lin", room=ROOM)  # type: ignore[attr-defined]


async def test_an_answer_that_comes_after_the_verdict_is_put_into_the_card_and_can_change_it(tmp_path: Path) -> None:
    far = next(a.name for a in nights.agents() if a.region == "west")
    async with a_night(tmp_path, slow=[far]) as night:
        await night.types("/diag sms")
        for _ in range(1500):
            entries = await night.timeline()
            if any("late" in e.data for e in entries):
                break
            await asyncio.sleep(0.02)
        assert [e.data["verdict"] for e in entries if e.kind is EntryKind.VERDICT] == [["inconclusive"], ["healthy"]]
        assert entries[-1].en.endswith(f"late answers ({far}) filled in")
        await night.settle()
        async with night.parts.store.begin() as tx:
            kept = await tx.runs.get(entries[-1].run or "")
        assert kept is not None
        assert kept.document is not None
        assert (kept.document["verdict"], kept.document["missing"]) == (["healthy"], [])
        assert "no data" not in night.shows()
