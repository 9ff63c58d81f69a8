"""How many probes one agent makes per second, beside blackbox_exporter on the same machine and the same servers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from tests.bench.servers import LOOPBACK, Exporter, blackbox, folder, nginx, tool, unbound
from tests.bench.table import Effort, Row, faster

TIMES = 2.5
TRIES = 20
AT_ONCE = 5
"""Runs at once of `TRIES` tries each, all sent without a pause: 100 tries in flight."""
SCRAPES = 32


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Tries per second, and the processor time of one in microseconds: what a busy machine changes least."""

    rate: float
    cpu_us: float


def dns(effort: Effort) -> Iterable[Row]:
    """One try is one datagram with an id and a source port of its own, for both."""
    with unbound() as port, blackbox() as exporter:
        ceiling: list[float] = []
        params = {"name": "bench.test", "server": f"{LOOPBACK}:{port}"}
        query = f"module=dns&target={LOOPBACK}:{port}"
        yield _beside(
            "dns", params, query, exporter, effort, after=lambda: ceiling.append(_dnsperf(port, effort)), beside=ceiling
        )


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


def _beside(
    kind: str,
    params: dict[str, Any],
    query: str,
    exporter: Exporter,
    effort: Effort,
    *,
    after: Callable[[], None] = lambda: None,
    beside: Sequence[float] = (),
) -> Row:
    ours, theirs, single = [], [], []
    for _ in range(effort.rounds):
        ours.append(_ours(kind, params, effort))
        theirs.append(_theirs(exporter, query, effort))
        single.append(_ours(kind, params, effort, tries=1).rate)
        after()
    note = (
        f"processor time of one: {_median_cpu(ours):.0f} us, peer {_median_cpu(theirs):.0f} us; "
        f"runs of {TRIES} tries, in runs of one try {median(single):,.0f}"
    )
    if beside:
        note += f"; dnsperf, one socket and no probe, {median(beside):,.0f}"
    rounds = [(mine.rate, other.rate) for mine, other in zip(ours, theirs, strict=True)]
    return faster(f"{kind} probes", rounds, peer_name="blackbox_exporter", times=TIMES, note=note)


def _median_cpu(speeds: Sequence[Speed]) -> float:
    return median(one.cpu_us for one in speeds)


def _ours(kind: str, params: dict[str, Any], effort: Effort, *, tries: int = TRIES) -> Speed:
    how = {
        "kind": kind,
        "params": {**params, "tries": tries, "spacing_ms": 0},
        "at_once": AT_ONCE * TRIES // tries,
        "seconds": effort.seconds,
    }
    said = _said([sys.executable, "-m", "tests.bench.load", json.dumps(how)])
    return Speed(rate=said["tries"] / said["seconds"], cpu_us=said["cpu_s"] / said["tries"] * 1e6)


def _theirs(exporter: Exporter, query: str, effort: Effort) -> Speed:
    words = [str(exporter.port), query, str(effort.seconds), str(SCRAPES)]
    before = exporter.cpu_s()
    said = _said([sys.executable, "-m", "tests.bench.scrape", *words])
    return Speed(rate=said["tries"] / said["seconds"], cpu_us=(exporter.cpu_s() - before) / said["tries"] * 1e6)


def _said(command: list[str]) -> dict[str, float]:
    """What the program counted. Raises RuntimeError when tries did not work: a rate of failures is no rate."""
    said: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    if said["ok"] < 0.99 * said["tries"] or not said["tries"]:
        raise RuntimeError(f"{command[1:]}: only {said['ok']} of {said['tries']} worked")
    return said


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
