"""`warroom demo --play`: every night of the lab gets its right name, from real agents on real sockets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.alone, pytest.mark.demo, pytest.mark.timeout(120)]

NIGHTS = [
    "vpc_dns_rate_limited",
    "permission_revoked",
    "firewall_block",
    "vendor_outage_global",
    "certificate_expired",
    "healthy",
    "resolver_down",
    "dns_wrong_answer",
    "vendor_throttled",
    "credential_invalid",
    "coredns_overload",
]


def play(*options: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "bot.cli", "demo", "--play", *options],
        capture_output=True,
        text=True,
        timeout=100,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def night(name: str) -> dict[str, Any]:
    status, out, err = play("--format", "json", "--fault", name)
    assert status == 0, f"{out[-2000:]}\n{err[-2000:]}"
    return json.loads(out)


@pytest.mark.parametrize("name", NIGHTS)
def test_the_night_gets_its_right_name_within_15_seconds(name: str) -> None:
    found = night(name)
    assert found["verdict"] == [name]
    assert found["took_s"] <= 15
    assert found["missing"] == []
    assert len(found["agents"]) == 5
    if name == "vpc_dns_rate_limited":
        assert found["culprit"]["kind"] == "dns_client"
        assert found["culprit"]["address"] == "127.10.7.21"
        assert found["culprit"]["qps"] == pytest.approx(1500, rel=0.3)
    else:
        assert found["culprit"] is None


def test_a_fault_that_does_not_exist_is_wrong_use_and_lists_those_that_do() -> None:
    status, out, err = play("--fault", "gremlins")
    assert status == 2
    assert not out
    assert "firewall_block" in err
    assert "Traceback" not in err
