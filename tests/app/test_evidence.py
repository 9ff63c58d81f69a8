"""The evidence pack, made of recorded runs."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from bot.app.evidence import evidence_pack
from bot.app.plain import plain
from bot.domain.incident import Run

GOLDEN = Path(__file__).parents[1] / "golden"
AT = datetime(2026, 11, 24, 15, 41, 15, tzinfo=UTC)
RUN = Run(id="run-1", playbook="sms", room="console:main", user="lin", started_at=AT)


def pack(name: str, **more: Any) -> str:
    kept = json.loads(gzip.decompress((GOLDEN / f"{name}.json.gz").read_bytes()))
    found = {"observations": kept["observations"], **more}
    return plain(evidence_pack(RUN, found, zone=ZoneInfo("Asia/Shanghai"), case="INC-1 · T-123"), "en")


def test_it_names_our_incident_their_ticket_and_the_moment_on_both_clocks() -> None:
    said = pack("throttled-key")
    assert "INC-1 · T-123" in said
    assert "2026-11-24 23:41:15 UTC+8 (15:41:15 UTC)" in said


def test_it_carries_the_ids_of_the_vendors_own_answers_those_of_failures_first() -> None:
    rows = pack("throttled-key").split("REQUEST IDS\n")[1].splitlines()
    assert "RequestLimitExceeded" in rows[0]
    assert all(len(row.split()[0]) >= 8 for row in rows if row.strip())


def test_each_failing_cell_tells_where_when_how_often_and_which_address() -> None:
    said = pack("throttled-key")
    failing = said.split("FAILS\n")[1].splitlines()[0]
    assert "203.0.113.10" in failing
    assert " of " in failing
    assert failing.strip()[2] == ":"


def test_our_own_names_and_the_address_behind_the_cause_stay_here() -> None:
    why = [
        {"zh": "10.20.0.7 每秒 2140 次", "en": "10.20.0.7 asks 2140 times a second"},
        {"zh": "公共 DNS 正常", "en": "public DNS is fine"},
    ]
    said = pack("crawler-eats-the-limit", texts={"why": why}, culprit={"address": "10.20.0.7"})
    assert "public DNS is fine" in said
    assert "10.20.0.7" not in said
    assert "dns_internal" not in said


def test_onset_is_told_as_what_is_known_of_it() -> None:
    early, late = "2026-11-24T14:29:00+00:00", "2026-11-24T14:31:00+00:00"
    assert "between 2026-11-24 22:29:00 UTC+8" in pack("throttled-key", onset={"from": early, "to": late})
    assert "no later than 2026-11-24 22:31:00 UTC+8" in pack("throttled-key", onset={"from": None, "to": late})
