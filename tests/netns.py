"""Network namespaces in a row, client - r1 - r2 - server, with real routing, MTUs and packet filters; needs root."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Outcome
from bot.wire.details import believable
from tests.needs import missing, need_tool

ROOT = Path(__file__).parent.parent
NOBODY = 65534
_numbers = itertools.count()


@dataclass
class Namespace:
    """One namespace. `name` is unique on this machine."""

    name: str

    def command(self, *words: str) -> list[str]:
        """The command line that runs `words` inside."""
        return ["ip", "netns", "exec", self.name, *words]

    def run(self, *words: str, stdin: str = "") -> str:
        """Run a program inside; its output. Raises CalledProcessError."""
        done = subprocess.run(self.command(*words), input=stdin, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}{done.stdout}"
        return done.stdout

    def sysctl(self, **values: str) -> None:
        """Set kernel parameters; `__` in a name stands for the dot."""
        for key, value in values.items():
            self.run("sysctl", "-qw", f"{key.replace('__', '.')}={value}")

    def filter(self, rules: str, hook: str = "forward") -> None:
        """Replace the nftables rules of one hook."""
        table = f"table inet t_{hook}"
        chain = f"chain c {{ type filter hook {hook} priority 0; policy accept; {rules}\n}}"
        self.run("nft", "-f", "-", stdin=f"{table} {{}}\ndelete {table}\n{table} {{ {chain}\n}}\n")


@dataclass
class Chain:
    """client - r1 - r2 - server. Link i joins node i and node i + 1: 10.77.i.1 and .2, fd77:0:0:i+1::1 and ::2."""

    client: Namespace
    r1: Namespace
    r2: Namespace
    server: Namespace
    background: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def nodes(self) -> list[Namespace]:
        """From left to right."""
        return [self.client, self.r1, self.r2, self.server]

    def address(self, link: int, side: int = 2, *, v6: bool = False) -> str:
        """The address of the left (1) or right (2) end of a link."""
        return f"fd77:0:0:{link + 1}::{side}" if v6 else f"10.77.{link}.{side}"

    def mtu(self, link: int, size: int) -> None:
        """Set a link's MTU at both ends."""
        self.nodes[link].run("ip", "link", "set", f"r{link}", "mtu", str(size))
        self.nodes[link + 1].run("ip", "link", "set", f"l{link}", "mtu", str(size))

    def reset(self) -> None:
        """The state of a new chain: all links 1500, no filters, no learned path MTUs, nothing listening."""
        self.stop()
        for node in self.nodes:
            node.run("nft", "flush", "ruleset")
            node.run("ip", "route", "flush", "cache")
            node.run("ip", "-6", "route", "flush", "cache")
            node.sysctl(net__ipv4__ip_forward="1", net__ipv4__icmp_ratelimit="0", net__ipv6__icmp__ratelimit="0")
        self.client.sysctl(net__ipv4__ping_group_range="1 0")
        for link in range(3):
            self.mtu(link, 1500)

    def serve(self, code: str, *args: str) -> None:
        """Run Python code on the server until `reset`; returns when it has printed a line."""
        words = self.server.command(sys.executable, "-c", code, *args)
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        self.background.append(process)
        assert process.stdout is not None
        assert process.stdout.readline(), "the server did not start"

    def stop(self) -> None:
        """End what `serve` started."""
        while self.background:
            process = self.background.pop()
            process.kill()
            process.communicate(timeout=10)

    def probe(self, kind: str, params: Mapping[str, Any], *, uid: int = 0, policy: str = "") -> Outcome:
        """Run one probe on the client, as another user if asked."""
        asked = json.dumps({"kind": kind, "params": params, "uid": uid, "policy": policy})
        words = self.client.command(sys.executable, "-m", "tests.run_probe", asked)
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            timeout=60,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )
        assert done.returncode == 0, done.stderr
        row = json.loads(done.stdout)
        assert "malformed" not in believable(row["detail"]), "the hub would drop what the probe says"
        row["failure"] = Failure(row["failure"]) if row["failure"] else None
        row["fault_of"] = FaultOf(row["fault_of"]) if row["fault_of"] else None
        return Outcome(**row)


@contextlib.contextmanager
def chain() -> Iterator[Chain]:
    """Four namespaces in a row, gone afterwards whatever happened."""
    if os.geteuid() != 0:
        missing("not root, so no network namespaces")
    need_tool("ip")
    need_tool("nft")
    need_tool("sysctl")
    stem = f"wr{os.getpid()}n{next(_numbers)}"
    nodes = [Namespace(f"{stem}{part}") for part in ("client", "r1", "r2", "server")]
    built = Chain(*nodes)
    try:
        for node in nodes:
            _ip("netns", "add", node.name)
            node.run("ip", "link", "set", "lo", "up")
            node.sysctl(net__ipv6__conf__all__forwarding="1", net__ipv6__conf__default__accept_dad="0")
        for link in range(3):
            _join(built, link)
        _route(built)
        built.reset()
        yield built
    finally:
        built.stop()
        for node in nodes:
            subprocess.run(["ip", "netns", "delete", node.name], capture_output=True, check=False)


def _join(built: Chain, link: int) -> None:
    left, right = built.nodes[link], built.nodes[link + 1]
    near, far = f"r{link}", f"l{link}"
    _ip("link", "add", near, "netns", left.name, "type", "veth", "peer", "name", far, "netns", right.name)
    for node, device, side in ((left, near, 1), (right, far, 2)):
        node.run("ip", "address", "add", f"{built.address(link, side)}/24", "dev", device)
        node.run("ip", "address", "add", f"{built.address(link, side, v6=True)}/64", "dev", device, "nodad")
        node.run("ip", "link", "set", device, "up")


def _route(built: Chain) -> None:
    for v6 in (False, True):
        for index, node in enumerate(built.nodes):
            for link in range(3):
                network = f"{built.address(link, 0, v6=v6)}/{64 if v6 else 24}"
                if link > index:
                    node.run("ip", "route", "add", network, "via", built.address(index, 2, v6=v6))
                elif link < index - 1:
                    node.run("ip", "route", "add", network, "via", built.address(index - 1, 1, v6=v6))


def _ip(*words: str) -> None:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
