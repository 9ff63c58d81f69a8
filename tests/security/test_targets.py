"""No hostile target is reached by any kind of probe, and each is refused with a reason that names the rule."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from typing import Any

import pytest

from bot.domain.failure import Failure
from tests.needs import missing, need_tool
from tests.security.corpus import CASES, REDIRECTS, Case
from tests.security.shapes import shapes

pytestmark = pytest.mark.root
Rows = dict[str, list[dict[str, Any]]]
OWN_RULES = r"|url must have no path|url must be https"
"""What a kind may say of a URL before it looks at the host."""
REFUSED = {Failure.POLICY_DENIED.value, Failure.UNSUPPORTED.value}


@pytest.fixture(scope="session")
def rows() -> Rows:
    """What came of every case, by case."""
    if os.geteuid() != 0:
        missing("a network namespace needs root")
    need_tool("unshare")
    need_tool("ip")
    command = ["unshare", "--net", sys.executable, "-m", "tests.security.trap"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=100)
    found: Rows = defaultdict(list)
    for line in done.stdout.splitlines():
        row = json.loads(line)
        found[row["case"]].append(row)
    return found


def test_the_corpus_has_more_than_200_targets() -> None:
    assert len({case.id for case in CASES}) == len(CASES) >= 200


def test_the_trap_notices_whoever_is_allowed_in(rows: Rows) -> None:
    assert {(row["kind"], row["slot"]) for row in rows["springs"]} == {(s.kind, s.slot) for s in shapes()}
    for row in rows["springs"]:
        assert any(target.startswith("10.0.0.1") for target in row["touched"]), row
    (canary,) = rows["canary"]
    assert canary["touched"] == ["169.254.169.254:80"]
    assert canary["reached"] == ["169.254.169.254"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: ascii(case.id))
def test_a_hostile_target_is_refused_by_the_rule_and_never_touched(rows: Rows, case: Case) -> None:
    assert {row["kind"] for row in rows[case.id]} == {s.kind for s in shapes() if s.slot == case.slot}
    for row in rows[case.id]:
        assert row["touched"] == [], row
        assert row["failure"] in REFUSED, row
        assert re.search(case.says + OWN_RULES, row["reason"]), row


@pytest.mark.parametrize("answer", REDIRECTS)
def test_no_redirect_is_followed_to_the_inside(rows: Rows, answer: str) -> None:
    assert rows[answer]
    for row in rows[answer]:
        assert row["touched"] == [], row
