"""There is one door to the network, and the policy stands in it."""

from __future__ import annotations

import re
from pathlib import Path

import bot.probes

OPENS = re.compile(
    r"socket\.socket\(|\bSocket\(|create_(?:connection|datagram_endpoint|server)|open_connection|start_server"
    r"|\bhttpx\b|\brequests\b|urllib\.request|http\.client|subprocess|os\.(?:system|popen|exec\w+|spawn\w+)"
    r"|\.(?:read|write)_(?:text|bytes)\(|(?<![\w.])open\(|\.open\("
)
LEAVE = {
    "dial.py": {"Socket("},
    "capture.py": {"socket.socket("},
    "query_log.py": {".open("},
    "kubernetes.py": {".read_text("},
    "stamps.py": {"socket.socket("},
}
"""Who may open what: sockets in `dial`, packets of this machine by leave of `capture:`, the log of `query_log:`, the
token that Kubernetes mounted for this pod, and one socket that is never used, which keeps the kernel stamping."""


def test_no_probe_opens_a_socket_a_file_or_a_process_of_its_own() -> None:
    found: dict[str, set[str]] = {}
    for path in sorted(Path(bot.probes.__path__[0]).rglob("*.py")):
        code = re.sub(r'""".*?"""|#[^\n]*', "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        opened = {match[0] for match in OPENS.finditer(code)}
        if path.name == "ready.py":
            opened -= {"Socket("}  # where the class is written
        if opened:
            found[path.name] = opened
    assert found == LEAVE


def test_whoever_takes_a_socket_from_the_door_asks_the_policy_first() -> None:
    """`open_socket` alone does not ask; those who call it do, in the same function."""
    for path in sorted(Path(bot.probes.__path__[0]).rglob("*.py")):
        code = path.read_text(encoding="utf-8")
        for body in re.split(r"\n(?=(?:async )?def |class )", code):
            asks = "guard.check(" in body
            only_a_try = "pace=None" in body  # whether the system would let us; closed at once, nothing is sent
            if "open_socket(" in body and "def open_socket(" not in body:
                assert asks or only_a_try, f"{path.name}: {body[:80]}"
