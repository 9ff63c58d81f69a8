"""Making a wiring real: the thin part that runs ip, tc and nft.

Each takes milliseconds and is waited for on the spot: an interrupted run must know what there is to remove.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from bot.domain.errors import WarroomError
from bot.lab.netns.effects import Tweak, table
from bot.lab.netns.enter import NAMESPACES, inside
from bot.lab.netns.topology import Wiring

BASE = "base"
"""The table of rules that are there from the start."""


class LabFailed(WarroomError):
    """The lab could not be built, or one of its parts ended; the message says which and why."""


class Kernel:
    """The namespaces of one run, whose name is put in front of theirs."""

    def __init__(self, run: str) -> None:
        self._run = run
        self._made: list[str] = []

    def path(self, ns: str) -> Path:
        """Where a namespace can be opened."""
        return NAMESPACES / self.name(ns)

    def name(self, ns: str) -> str:
        """Its full name."""
        return f"{self._run}-{ns}"

    def build(self, wiring: Wiring) -> None:
        """Make everything. Raises LabFailed; `destroy` removes what was made by then."""
        self._made = list(wiring.namespaces)
        lines = [f"netns add {self.name(ns)}" for ns in wiring.namespaces]
        lines += [
            f"link add name {c.a_name} netns {self.name(c.a)} type veth peer name {c.b_name} netns {self.name(c.b)}"
            for c in wiring.cables
        ]
        _run(["ip", "-batch", "-"], "\n".join(lines))
        for ns in wiring.namespaces:
            inside(self.path(ns), lambda values=wiring.sysctls[ns]: _sysctl(values))  # type: ignore[misc]
            _run(["ip", "-n", self.name(ns), "-batch", "-"], "\n".join(wiring.lines[ns]))
        self.add_table(table(BASE, wiring.rules))

    def add_table(self, texts: Mapping[str, str]) -> None:
        """Load nft texts, one per namespace. Raises LabFailed."""
        for ns, text in texts.items():
            _run(["ip", "netns", "exec", self.name(ns), "nft", "-f", "-"], text)

    def drop_table(self, name: str, namespaces: Sequence[str]) -> None:
        """Remove a table again. Raises LabFailed."""
        self.add_table(dict.fromkeys(namespaces, f"delete table inet {name}\n"))

    def tweak(self, tweaks: Sequence[Tweak], *, undo: bool = False) -> None:
        """Change links and queues, or change them back. Raises LabFailed."""
        for one in tweaks:
            _run([one.tool, "-n", self.name(one.ns), *(one.undo if undo else one.do).split()], "")

    def ip(self, ns: str, line: str) -> None:
        """Change one thing of a namespace by ip-route(8) and its kin. Raises LabFailed."""
        _run(["ip", "-n", self.name(ns), *line.split()], "")

    def counted(self, ns: str) -> int:
        """Packets counted by the base table of a namespace. Raises LabFailed."""
        listing = ["nft", "-j", "list", "table", "inet", BASE]
        said = json.loads(_run(["ip", "netns", "exec", self.name(ns), *listing], ""))
        rules = [item["rule"]["expr"] for item in said["nftables"] if "rule" in item]
        return sum(int(part["counter"]["packets"]) for expr in rules for part in expr if "counter" in part)

    def destroy(self) -> None:
        """Remove every namespace, and with it its links, routes and rules."""
        for ns in self._made:
            with suppress(LabFailed):
                _run(["ip", "netns", "del", self.name(ns)], "")
        self._made = []


def _sysctl(values: Mapping[str, str]) -> bool:
    for key, value in values.items():
        (Path("/proc/sys") / key.replace(".", "/")).write_text(value)
    return True


def _run(command: Sequence[str], text: str) -> str:
    done = subprocess.run(  # noqa: S603 commands of ours, no shell
        command, input=text, capture_output=True, text=True, check=False, start_new_session=True
    )
    if done.returncode != 0:
        raise LabFailed(f"{' '.join(command)} failed: {done.stderr.strip()[-400:] or done.returncode}")
    return done.stdout
