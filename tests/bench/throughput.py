"""How many probes one agent makes per second, beside blackbox_exporter on the same machine and the same servers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from statistics import median
from typing import Any

from tests.bench.servers import LOOPBACK, blackbox, folder, nginx, tool, unbound
from tests.bench.table import Effort, Row, faster

TIMES = 2.5
TRIES = 20
AT_ONCE = 5
"""Runs at once of `TRIES` tries each, all sent without a pause: 100 tries in flight."""
SCRAPES = 32


def dns(effort: Effort) -> Iterable[Row]:
    """One try is one datagram with an id and a source port of its own, for both."""
    with unbound() as port, blackbox() as exporter:
        params = {"name": "bench.test", "server": f"{LOOPBACK}:{port}"}
        rounds, single, ceiling = [], [], []
        for _ in range(effort.rounds):
            ours = _ours("dns", params, effort)
            rounds.append((ours, _theirs(exporter, f"module=dns&target={LOOPBACK}:{port}", effort)))
            single.append(_ours("dns", params, effort, tries=1))
            ceiling.append(_dnsperf(port, effort))
        note = f"{_note(single)}; dnsperf, one socket and no probe: {median(ceiling):,.0f}"
        yield faster("dns probes", rounds, peer_name="blackbox_exporter", times=TIMES, note=note)


def tcp(effort: Effort) -> Iterable[Row]:
    """One try is one connection, opened and closed."""
    with nginx() as port, blackbox() as exporter:
        params = {"address": "{target}", "port": port}
        yield _beside("tcp", params, f"module=tcp&target={{target}}:{port}", exporter, effort)


def http(effort: Effort) -> Iterable[Row]:
    """One try is one connection and one GET."""
    with nginx() as port, blackbox() as exporter:
        params = {"url": f"http://{{target}}:{port}/"}
        yield _beside("http", params, f"module=http&target=http://{{target}}:{port}/", exporter, effort)


def _beside(kind: str, params: dict[str, Any], query: str, exporter: int, effort: Effort) -> Row:
    rounds, single = [], []
    for _ in range(effort.rounds):
        rounds.append((_ours(kind, params, effort), _theirs(exporter, query, effort)))
        single.append(_ours(kind, params, effort, tries=1))
    return faster(f"{kind} probes", rounds, peer_name="blackbox_exporter", times=TIMES, note=_note(single))


def _note(single: list[float]) -> str:
    return f"runs of {TRIES} tries; in runs of one try: {median(single):,.0f}"


def _ours(kind: str, params: dict[str, Any], effort: Effort, *, tries: int = TRIES) -> float:
    how = {
        "kind": kind,
        "params": {**params, "tries": tries, "spacing_ms": 0},
        "at_once": AT_ONCE * TRIES // tries,
        "seconds": effort.seconds,
    }
    return _rate([sys.executable, "-m", "tests.bench.load", json.dumps(how)])


def _theirs(port: int, query: str, effort: Effort) -> float:
    return _rate([sys.executable, "-m", "tests.bench.scrape", str(port), query, str(effort.seconds), str(SCRAPES)])


def _rate(command: list[str]) -> float:
    """Tries per second. Raises RuntimeError when they did not work: a rate of failures is no rate."""
    said = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    if said["ok"] < 0.99 * said["tries"] or not said["tries"]:
        raise RuntimeError(f"{command[1:]}: only {said['ok']} of {said['tries']} worked")
    return float(said["tries"] / said["seconds"])


def _dnsperf(port: int, effort: Effort) -> float:
    with folder() as here:
        (here / "names").write_text("bench.test A\n")
        length = str(max(1, round(effort.seconds)))
        command = [tool("dnsperf"), "-s", LOOPBACK, "-p", str(port), "-d", str(here / "names"), "-l", length]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = re.search(r"Queries per second:\s+([\d.]+)", said)
    if found is None:
        raise RuntimeError(f"dnsperf said nothing of its rate: {said[-300:]}")
    return float(found[1])
