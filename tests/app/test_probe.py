"""`/probe` in a room: what is typed, what the room shows, what is on record."""

from __future__ import annotations

import asyncio
import contextlib
import re
import sqlite3
from pathlib import Path

import pytest

from bot.app.dispatch import handle
from bot.app.probe_card import MAX_ROWS
from bot.domain.failure import Failure, fault_of
from bot.domain.incident import EntryKind
from bot.domain.probe import Agent, Outcome, ProbeRequest
from bot.domain.text import Lang
from bot.probes.base import failed
from bot.probes.table import KINDS
from tests.diagnosis import nights
from tests.transcript import ROOM, Night, a_night


def answers(night: Night, script: object) -> None:
    """From now on the agents answer `script(request)`."""
    night.agents._script = script  # type: ignore[assignment]


def blue_loses_dns(request: ProbeRequest, agent: Agent) -> tuple[int, Failure] | None:
    """One try in ten gets through, at least one of every part of a series."""
    lost = agent.vpc == "blue" and request.params.get("server") == "@vpc"
    return (1, Failure.DNS_TIMEOUT) if lost else None


async def test_one_probe_from_two_places_is_one_table_and_two_lines_on_record(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        night.rule = blue_loses_dns
        assert await night.types("/probe dns sms.tencentcloudapi.com from east via vpc count=20") is None
        shown = night.shows()
        assert "dns sms.tencentcloudapi.com: fails from east pod, east vm, works from 1 other" in shown
        assert "/probe dns sms.tencentcloudapi.com from east via vpc count=20 · took" in shown
        assert rows(shown, "east vm ") == ["east vm        3/20   5.0  DNS timeout ×17 (resolver); 203.0.113.7"]
        assert rows(shown, "east vm2") == ["east vm2       20/20  5.0  203.0.113.7"]
        assert "probing:" not in shown
        command, probes = await night.timeline()
        assert (command.kind, command.actor) == (EntryKind.COMMAND, "lin")
        assert probes.kind is EntryKind.PROBES
        assert probes.en.endswith("count=20: works from 1 of 3 vantage points, fails from 2, no data from 0")
        assert probes.data["rates"] == {"east-pod": 0.15, "east-vm": 0.15, "east-vm2": 1.0}
        assert probes.data["failures"] == {"east-pod": "dns_timeout", "east-vm": "dns_timeout"}
        assert {r.params["server"] for r in night.agents.asked} == {"@vpc"}


async def test_the_same_in_chinese(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        await night.service.set_language(ROOM, "zh")
        night.rule = blue_loses_dns
        await night.types("/probe dns a.test from east vm via vpc")
        shown = night.shows(lang="zh")
        assert "dns a.test：从 east vm 看异常，没有一处正常" in shown
        assert "解析超时 ×17（解析器）" in shown
        await night.types("/help probe")
        assert "单独测一项" in night.shows(lang="zh")


async def test_a_refusal_of_the_agents_policy_is_no_failure_of_the_target(tmp_path: Path) -> None:
    def script(request: ProbeRequest) -> Outcome:
        if request.agent == "east-pod":
            return failed(Failure.POLICY_DENIED, reason="10.0.0.1 is private; an allow rule is needed")
        return nights.outcome(request, nights.agents()[0], nights.healthy)

    async with a_night(tmp_path) as night:
        answers(night, script)
        await night.types("/probe ping 10.0.0.1 from east")
        shown = night.shows()
        assert "ping 10.0.0.1: works from east vm, east vm2" in shown
        assert rows(shown, "east pod")[0].startswith("east pod       –")
        assert "refused by the agent's policy: 10.0.0.1 is private; an allow rule is needed" in shown
        (_, probes) = await night.timeline()
        assert probes.en.endswith("works from 2 of 3 vantage points, fails from 0, no data from 1")


async def test_silence_is_said_and_never_looks_green(tmp_path: Path) -> None:
    async with a_night(tmp_path, who=nights.lost("east-vm")) as night:
        healthy = night.agents._script
        answers(night, lambda request: None if request.agent == "west-vm" else healthy(request))
        await night.types("/probe http a.test")
        shown = night.shows()
        assert rows(shown, "east vm ") == ["east vm         ?        not connected"]
        assert "no answer (no answer within" in rows(shown, "west vm")[0]
        (_, probes) = await night.timeline()
        assert probes.data["missing"] == ["east-vm", "west-vm"]


async def test_nobody_who_could_measure_is_not_called_healthy(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        answers(night, lambda _: failed(Failure.NOT_PERMITTED, reason="no raw socket"))
        await night.types("/probe ping 203.0.113.7 from east vm")
        assert "🟡 ping 203.0.113.7: no vantage point could measure it" in night.shows()
        assert "agent lacks a permission: no raw socket" in night.shows()


async def test_each_kind_shows_its_own_facts(tmp_path: Path) -> None:
    details = {
        "tls": {"version": "TLSv1.3", "certificate": {"not_after": "2026-12-01T00:00:00+00:00", "days_left": 8}},
        "http": {"status": 302, "address": "203.0.113.7", "location": "https://b.test/"},
        "ping": {"method": "icmp", "tries": 5, "ok": 5, "min_ms": 1.2, "max_ms": 30.4, "loss": 0},
        "api": {"status": 200, "code": "AuthFailure.TokenFailure", "message": "bad token"},
    }
    times = {"dns": 2.0, "tcp": 3.14, "tls": 12.0, "first_byte": 20.0, "total": 40.0}

    def script(request: ProbeRequest) -> Outcome:
        return Outcome(ok=True, timings_ms=times, detail=details[request.kind])

    async with a_night(tmp_path) as night:
        answers(night, script)
        for line in ("tls 203.0.113.7", "http a.test", "ping 203.0.113.7", "api sms.DescribeSmsSignList"):
            await night.types(f"/probe {line} from office")
        shown = night.shows()
        assert (
            "✓   dns 2.0 · tcp 3.1 · tls 12 · first 20 · total 40  TLSv1.3; certificate until 2026-12-01 00:00 UTC "
            "(8 days)" in shown
        )
        assert "HTTP 302; @ 203.0.113.7; → https://b.test/" in shown
        assert "5/5" in shown
        assert "icmp; 1.2–30 ms" in shown
        assert "HTTP 200; AuthFailure.TokenFailure; bad token" in shown


async def told(folder: Path, line: str, *outcomes: Outcome) -> str:
    """What a /probe shows whose agents, in turn, see these outcomes."""
    left = list(outcomes)
    async with a_night(folder) as night:
        answers(night, lambda _: left.pop(0) if len(left) > 1 else left[0])
        await night.types(line)
        return night.shows()


async def test_a_bad_status_is_told_by_its_number_and_only_once(tmp_path: Path) -> None:
    seen = failed(Failure.HTTP_STATUS, status=404, address="203.0.113.7")
    shown = await told(tmp_path, "/probe http https://a.test from office", seen)
    assert "HTTP 404 (target); @ 203.0.113.7" in shown
    assert shown.count("HTTP 404") == 1


async def test_what_does_not_fit_ends_in_an_ellipsis_and_the_agents_own_reasons_have_more_room(tmp_path: Path) -> None:
    own = failed(Failure.POLICY_DENIED, reason="because " * 20 + "add an allow rule")
    shown = await told(tmp_path, "/probe ping 203.0.113.7 from office", own)
    assert "because add an allow rule" in shown
    theirs = failed(Failure.TLS_FAILED, reason="x" * 200)
    (tmp_path / "again").mkdir()
    shown = await told(tmp_path / "again", "/probe tls 203.0.113.7 from office", theirs)
    assert "TLS failure (target): " + "x" * 119 + "…" in shown


@pytest.mark.parametrize(("code", "says"), [("28000", "asks for a login (28000)"), ("25006", "25006")])
async def test_a_database_that_asks_for_a_login_says_so_in_words(tmp_path: Path, code: str, says: str) -> None:
    seen = Outcome(ok=True, detail={"code": code})
    shown = await told(tmp_path, "/probe postgres 203.0.113.7 from office", seen)
    assert shown.splitlines()[3].endswith(says)
    assert ("login" in shown) == (code == "28000")


async def test_what_there_is_one_of_has_no_plural(tmp_path: Path) -> None:
    certificate = {"not_after": "2026-12-01T23:59:00+00:00", "days_left": 1}
    seen = Outcome(ok=True, detail={"certificate": certificate})
    shown = await told(tmp_path, "/probe tls 203.0.113.7 from office", seen)
    assert "certificate until 2026-12-01 23:59 UTC (1 day)" in shown


async def test_of_two_agents_in_one_place_the_headline_names_the_agents(tmp_path: Path) -> None:
    twins = [Agent(name=name, region="lab", vantage="vm") for name in ("vm-a", "vm-b")]
    async with a_night(tmp_path, who=twins) as night:
        answers(night, lambda _: Outcome(ok=True))
        await night.types("/probe tcp 203.0.113.7:443")
        assert "works from lab vm (vm-a), lab vm (vm-b)" in night.shows()


async def test_mtu_says_by_which_method_and_what_was_lacking(tmp_path: Path) -> None:
    seen = Outcome(ok=True, detail={"method": "tcp", "path_mtu": 1500, "lacking": ["CAP_NET_RAW is missing"]})
    shown = await told(tmp_path, "/probe mtu 203.0.113.7 from office", seen)
    assert "tcp; path MTU 1500 bytes; CAP_NET_RAW is missing" in shown


async def test_progress_is_one_message_that_becomes_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.app.probe.REDRAW_S", 0.01)
    async with a_night(tmp_path) as night:
        whole = night.agents.ask
        gate = asyncio.Event()

        async def slow(requests, *, deadline_s):  # type: ignore[no-untyped-def]
            async for seen in whole(requests, deadline_s=deadline_s):
                yield seen
                if seen.agent == "east-vm":
                    await gate.wait()

        night.agents.ask = slow  # type: ignore[method-assign]
        typing = asyncio.create_task(night.types("/probe http a.test from east"))
        await night.until("2/3 · asking 3 vantage points")
        assert rows(night.shows(), "east vm2") == ["east vm2       …"]
        gate.set()
        await typing
        assert "works from east pod, east vm, east vm2" in night.shows()
        assert night.shows().count("/probe http a.test") == 2  # the card, and its button


async def test_the_probe_belongs_to_the_rooms_incident_also_when_it_was_opened_meanwhile(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        await night.types("/incident declare SMS is down")
        await night.types("/probe http a.test from east vm")
        entries = await night.timeline("INC-1")
        assert [e.kind for e in entries][-2:] == [EntryKind.COMMAND, EntryKind.PROBES]
        assert "· INC-1 · took" in night.shows()


async def test_a_hundred_agents_are_a_table_a_phone_can_show(tmp_path: Path) -> None:
    many = [Agent(name=f"p{n}", region="east", vantage="pod", vpc=f"v{n % 20}", cluster="k1") for n in range(100)]

    def script(request: ProbeRequest) -> Outcome:
        agent = next(a for a in many if a.name == request.agent)
        rule = nights.healthy if agent.name != "p99" else lambda *_: (0, Failure.TCP_TIMEOUT)
        return nights.outcome(request, agent, rule)

    async with a_night(tmp_path, who=many) as night:
        answers(night, script)
        await night.types("/probe http a.test from all")
        shown = night.shows()
        assert "fails from east pod, works from 99 others" in shown
        assert len(rows(shown, "east pod (p")) == MAX_ROWS
        assert rows(shown, "east pod (p99)")
        assert "70 more vantage points not shown; it works from 70" in shown
        await night.types("/probe http a.test")
        assert "one of each place was asked; from all asks the other 80 too" in night.shows()


async def test_a_trace_shows_the_hops_of_those_who_did_not_arrive_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(KINDS, "trace", KINDS["ping"])
    hops = [
        {"ttl": 1, "address": "10.0.0.1", "loss": 0.0, "avg_ms": 0.4},
        {"ttl": 2, "address": None, "loss": 1.0, "avg_ms": None},
        {"ttl": 3, "address": "203.0.113.1", "loss": 0.3333, "avg_ms": 14.2, "said": "admin prohibited"},
    ]

    def script(request: ProbeRequest) -> Outcome:
        failure = Failure.TRACE_UNREACHED if request.agent == "east-vm" else None
        return Outcome(
            ok=failure is None,
            failure=failure,
            fault_of=fault_of(failure) if failure else None,
            detail={"hops": hops[: 3 if failure else 1]},
        )

    async with a_night(tmp_path) as night:
        answers(night, script)
        await night.types("/probe trace 203.0.113.7")
        shown = night.shows()
        assert "the path ends before the target (target); 3 hops" in shown
        assert shown.index("east vm: east-vm") < shown.index("east pod: east-pod")
        assert "2    *                             100%" in shown
        assert "3    203.0.113.1 admin prohibited  33%   14" in shown
        assert "paths not shown: 2;" in shown


@pytest.mark.parametrize(
    ("typed", "code", "says"),
    [
        ("/probe", "missing_kind", "/probe dns sms.tencentcloudapi.com"),
        ("/probe dnss a.test", "unknown_kind_of_probe", 'did you mean "dns"?'),
        ("/probe dns", "missing_target", "dns of what?"),
        ("/probe dns_top x", "bad_target", "dns_top takes no target"),
        ("/probe tcp http:///x", "bad_target", '"http:///x" is no target of tcp (HOST:PORT)'),
        ("/probe tcp 203.0.113.7", "bad_parameter", "port is missing; for example /probe tcp"),
        ("/probe tcp 203.0.113.7:99999", "bad_parameter", "port must be a whole number"),
        ("/probe api DescribeSms", "bad_target", "(SERVICE.ACTION)"),
        ("/probe api sms.SendSms signed=true", "bad_parameter", "SendSms is not known to be read-only"),
        ("/probe http https://u:p@a.test", "bad_parameter", "must not carry credentials"),
        ("/probe dns a.test cuont=3", "unknown_parameter", 'did you mean "count"? dns takes: count, nonce, proto'),
        ("/probe dns a.test region=east", "unknown_parameter", "as in: from shanghai"),
        ("/probe dns a.test count=300", "bad_parameter", "count must be a whole number from 1 to 200"),
        ("/probe dns a.test via vcp", "unknown_resolver", 'did you mean "vpc"?'),
        ("/probe dns a.test via tcp://9.9.9.9", "unknown_resolver", "or an address"),
        ("/probe dns a.test via vpc server=9.9.9.9", "bad_parameter", "server is given twice"),
        ("/probe http a.test via vpc", "bad_via", "to=ADDRESS"),
        ("/probe tls 203.0.113.7:443 port=8443", "bad_parameter", "the target says it already"),
        ("/probe http a.test from eats", "unknown_place", 'did you mean "east"?'),
        ("/probe http a.test from west pod", "no_such_place", "commas separate"),
        ("/help probe tpc", "unknown_kind_of_probe", 'did you mean "tcp"?'),
    ],
)
async def test_a_mistake_gets_a_clear_word_in_both_languages_and_nobody_is_asked(
    tmp_path: Path, typed: str, code: str, says: str
) -> None:
    async with a_night(tmp_path) as night:
        error = await night.types(typed)
        assert error is not None
        assert error.code == code
        assert says in error.text.en
        assert error.text.zh != error.text.en
        assert not night.agents.asked
        (entry,) = await night.timeline()
        assert entry.data == {"error": code}


@pytest.mark.parametrize("lang", ["zh", "en"])
async def test_help_teaches_the_kinds_and_the_parameters_of_each(tmp_path: Path, lang: Lang) -> None:
    async with a_night(tmp_path) as night:
        await night.types("/help")
        assert "/help probe" in night.shows(lang=lang)
        await night.types("/help probe")
        assert "/probe tcp 119.29.29.29:443 count=5" in night.shows(lang=lang)
        await night.types("/help /probe http")
        shown = night.shows(lang=lang)
        for row in (
            "count +1 \\(1–50\\)",
            "method +GET \\(GET, HEAD\\)",
            "timeout +4s \\(1ms–30s\\)",
            "expect_status +",
        ):
            assert re.search(f"^{row}", shown, re.MULTILINE)


@pytest.mark.parametrize("kind", KINDS)
async def test_help_of_a_kind_is_found_without_the_word_probe(tmp_path: Path, kind: str) -> None:
    async with a_night(tmp_path) as night:
        assert await night.types(f"/help {kind}") is None
        assert night.shows().splitlines()[0].startswith(f"🔵 /probe {kind}")


async def test_a_probe_that_a_restart_cut_off_says_so_once(tmp_path: Path) -> None:
    async with a_night(tmp_path, alone=True) as night:

        async def silent(requests, *, deadline_s):  # type: ignore[no-untyped-def]
            await asyncio.Event().wait()
            yield

        night.agents.ask = silent  # type: ignore[method-assign]
        await handle(night.parts, "/probe http a.test from east vm", user="lin", room=ROOM)
        await night.until("probing: http a.test")
    async with a_night(tmp_path, alone=True) as night:
        await night.until("/probe http a.test from east vm was interrupted by a restart; ask again")
        assert [e.data for e in await night.timeline() if e.kind is EntryKind.PROBES] == [{"interrupted": True}]
        await night.types("/probe http a.test from east vm")
    async with a_night(tmp_path, alone=True) as night:
        assert await night.parts.jobs.wait("close-probes", 10)
        assert len([e for e in await night.timeline() if e.kind is EntryKind.PROBES]) == 2


async def test_a_transport_that_breaks_leaves_an_answer_that_says_who_is_missing(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:

        async def broken(requests, *, deadline_s):  # type: ignore[no-untyped-def]
            raise OSError("no route to the agents")
            yield

        night.agents.ask = broken  # type: ignore[method-assign]
        await night.types("/probe http a.test from east vm")
        assert "no vantage point could measure it" in night.shows()
        assert rows(night.shows(), "east vm") == ["east vm        ?       no answer"]
        (_, probes) = await night.timeline()
        assert probes.data["missing"] == ["east-vm"]


async def test_a_database_that_goes_away_meanwhile_does_not_keep_the_answer(tmp_path: Path) -> None:
    async with a_night(tmp_path) as night:
        whole = night.agents.ask
        other = sqlite3.connect(tmp_path / "night.db", isolation_level=None, timeout=0)

        async def lock(requests, *, deadline_s):  # type: ignore[no-untyped-def]
            async for seen in whole(requests, deadline_s=deadline_s):
                yield seen
            while not other.in_transaction:
                with contextlib.suppress(sqlite3.OperationalError):
                    other.execute("BEGIN EXCLUSIVE")
                await asyncio.sleep(0.01)

        night.agents.ask = lock  # type: ignore[method-assign]
        await handle(night.parts, "/probe http a.test from east vm", user="lin", room=ROOM)
        while any(
            key.startswith("probe-") for key in night.parts.jobs._keyed
        ):  # SQLite waits for the lock before it gives up
            await asyncio.sleep(0.05)
        assert "the database cannot be written: this is not recorded yet" in night.shows()
        assert "http a.test: works from east vm" in night.shows()
        other.execute("ROLLBACK")
        other.close()


DOC = (Path(__file__).parents[2] / "docs" / "probe-command.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "line", [line for line in DOC.splitlines() if line.startswith("/probe ") and "KIND" not in line]
)
async def test_the_page_shows_commands_that_are_carried_out(tmp_path: Path, line: str) -> None:
    who = [Agent(name=f"sh-{v}", region="shanghai", vantage=v, vpc="blue") for v in ("pod", "vm")]
    who.append(Agent(name="office", region="office", vantage="outside"))
    async with a_night(tmp_path, who=who) as night:
        assert await night.types(line) is None
        assert "works from" in night.shows()


def rows(shown: str, start: str) -> list[str]:
    return [line for line in shown.splitlines() if line.startswith(start)]
