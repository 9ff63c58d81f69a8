"""What every probe gets and gives: a context of what it may use, and an Outcome.

A kind of probe is a function `prepare(params) -> Probe`: it reads the parameters, without I/O, so that the hub
can refuse what an agent would refuse. The Probe it returns does the work. It raises only when it could not run at
all (BadParams, Denied); everything it learned about the target, good or bad, is an Outcome. Observations are kept
raw here and judged in `bot.diagnosis`.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bot.domain.errors import WarroomError
from bot.domain.failure import Failure, FaultOf, fault_of
from bot.domain.probe import Json, Outcome


class BadParams(WarroomError):
    """A parameter is missing, of the wrong type or out of range; the message names it."""


class Denied(WarroomError):
    """The agent's own policy forbids this; the message says which rule and what would allow it."""


class Guard(Protocol):
    """The agent's policy as probes see it."""

    def check(self, kind: str, address: str, port: int) -> None:
        """Raise Denied unless `kind` may touch `address`:`port`; `address` is an IP literal about to be dialled."""
        ...


class Pace(Protocol):
    """The agent's own rate budget."""

    async def __call__(self, what: str) -> bool:
        """Wait for leave to do one more "probe" or "dns" query; False when that would take too long."""
        ...

    async def ask(self, server: str) -> bool:
        """Wait for leave to send this DNS server one more query; False for none, else call `asked` at its end."""
        ...

    def asked(self, server: str) -> None:
        """A query that had leave is no longer out."""
        ...

    def admits(self, opened: socket.socket) -> bool:
        """Whether one more socket may be used now; nobody waits, for a wait would look like the target's."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class QueryLog:
    """A resolver's query log this agent may read. `format` is "coredns", "unbound" or "dnsmasq"."""

    path: Path
    format: str = "coredns"


@dataclass(frozen=True, kw_only=True, slots=True)
class Credential:
    """A vendor key of this agent's own; it never leaves the process.

    What it signs goes to the vendor and nobody else: `hosts` are names, each with everything below it.
    """

    id: str
    secret: str = field(repr=False)
    hosts: tuple[str, ...] = ()

    def check(self, host: str) -> None:
        """Raise Denied unless what this key signs may be sent to `host`: a signature shows the key's id."""
        name = host.lower().rstrip(".")
        if not any(name == own or name.endswith(f".{own}") for own in self.hosts):
            where = " and ".join(self.hosts) or "no host"
            raise Denied(f"this key signs for {where} only, not for {host[:200]}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Login:
    """A name and password or token of the policy file, for one kind of probe and for nobody but `endpoints`.

    An endpoint is "host:port" for a database and "https://host[:port]" for an HTTP service, where the host is
    spelled as the probe's own parameter spells it; the hub can choose among logins, and never redirect one.
    """

    kind: str
    endpoints: frozenset[str]
    user: str = ""
    secret: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceAccount:
    """The pod's own account at its cluster's API server. `folder` holds token, ca.crt and namespace.

    The token is read anew for each use, for it changes hourly, and goes to this host and port only.
    """

    host: str
    port: int
    folder: Path


@dataclass(frozen=True, kw_only=True, slots=True)
class ProbeContext:
    """What a probe may use.

    `resolvers` maps "host", "vpc", "public" and "coredns" to `address:port`s. `host_engine` says how names are resolved
    the way the machine's own programs do it: "getaddrinfo", or "direct" when the policy names the host's
    resolvers itself. `source` is the local address to dial from ("" for the system's choice). `kinds` are the
    only kinds the policy permits at all (None for every kind); kinds that dial nothing have no other check.
    `pace` is the agent's rate budget (None for none). `service_account` is there where the agent runs in a cluster.
    """

    guard: Guard
    resolvers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    host_engine: str = "getaddrinfo"
    source: str = ""
    ca_file: Path | None = None
    credentials: Mapping[str, Credential] = field(default_factory=dict)
    query_log: QueryLog | None = None
    capture: bool = False
    kinds: frozenset[str] | None = None
    pace: Pace | None = None
    logins: Mapping[str, Login] = field(default_factory=dict)
    service_account: ServiceAccount | None = None

    def login(self, name: str, kind: str, endpoint: str) -> Login:
        """The login of that name, if it is meant for this kind and endpoint. Raises Denied."""
        login = self.logins.get(name)
        if login is None:
            raise Denied(
                f"login {name[:40]!r} is not in the agent's policy; known are {', '.join(self.logins) or 'none'}"
            )
        if login.kind != kind or endpoint not in login.endpoints:
            where = ", ".join(sorted(login.endpoints))
            raise Denied(f"login {name[:40]!r} is for {login.kind} at {where}, not for {kind} at {endpoint[:200]}")
        return login


Probe = Callable[[ProbeContext], Awaitable[Outcome]]
Prepare = Callable[[Mapping[str, Json]], Probe]
"""Reads the parameters of one kind. Raises BadParams."""


def failed(
    failure: Failure,
    *,
    fault: FaultOf | None = None,
    timings_ms: Mapping[str, float] | None = None,
    **detail: Any,
) -> Outcome:
    """An Outcome of one failed try."""
    return Outcome(
        ok=False,
        failure=failure,
        fault_of=fault or fault_of(failure),
        success_rate=0.0,
        timings_ms=dict(timings_ms or {}),
        detail=detail,
    )
