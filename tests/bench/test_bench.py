"""Only that every benchmark runs to its end; its figures are judged by `make bench`, never here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.__main__ import ROWS
from tests.needs import missing, need_tool

pytestmark = pytest.mark.alone
EXPORTER = "prometheus-blackbox-exporter"
TOOLS = {
    "dns": ["unbound", "dnsperf", EXPORTER],
    "tcp": ["nginx", EXPORTER],
    "http": ["nginx", EXPORTER],
    "tcp-time": ["nginx", "tcpdump"],
    "dns-time": ["unbound", "tcpdump"],
    "icmp-time": ["tcpdump"],
}


@pytest.mark.parametrize("name", ROWS)
def test_a_benchmark_runs_to_its_end_and_says_what_it_found(name: str, tmp_path: Path) -> None:
    for tool in TOOLS.get(name, []):
        need_tool(tool)
    if "tcpdump" in TOOLS.get(name, []) and os.geteuid() != 0:
        missing("not root")
    out = tmp_path / "bench.json"
    command = [sys.executable, "-m", "tests.bench", name, "--quick", "--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(out.read_text())
    assert all(row["ours"] > 0 and row["goal"] for row in said["rows"])
    assert [line.count("|") for line in done.stdout.splitlines()] == [8] * (len(said["rows"]) + 2)
    assert said["machine"]["cores"] >= 1


def test_a_benchmark_nobody_knows_is_refused_by_name() -> None:
    done = subprocess.run([sys.executable, "-m", "tests.bench", "speed"], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no row speed" in done.stderr
