"""What the probe tests share: a certificate authority, an agent's context by policy, a resolver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.agent.policy import load_policy
from bot.lab.pki import Authority
from bot.probes.base import ProbeContext
from tests.needs import need_tool
from tests.netns import NOBODY, Chain, chain
from tests.probes.servers import HOST, unbound

LOOPBACK = "allow: [{network: 127.0.0.0/8, ports: any, kinds: any}, {network: '::1/128', ports: any, kinds: any}]\n"
MakeContext = Callable[..., ProbeContext]


@dataclass
class Resolver:
    """The unbound the tests ask."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@pytest.fixture(scope="session")
def authority() -> Authority:
    """The CA that the agents of these tests trust."""
    return Authority()


@pytest.fixture
def context(tmp_path: Path, authority: Authority) -> MakeContext:
    """Make a context from a real policy file; loopback is allowed unless `policy` says otherwise."""

    def make(more: str = "", *, policy: str = LOOPBACK, **environ: str) -> ProbeContext:
        (tmp_path / "ca.pem").write_bytes(authority.certificate)
        path = tmp_path / "policy.yaml"
        path.write_text(f"{policy}tls: {{ca_file: ca.pem}}\n{more}")
        return load_policy(path).context(environ)

    return make


@pytest.fixture(scope="session")
def resolver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Resolver]:
    """One unbound for the session."""
    need_tool("unbound")
    with unbound(HOST, tmp_path_factory.mktemp("unbound")) as port:
        yield Resolver(HOST, port)


@pytest.fixture(scope="session")
def built_path() -> Iterator[Chain]:
    """Four namespaces in a row, made once."""
    with chain() as built:
        yield built


@pytest.fixture
def path(built_path: Chain) -> Iterator[Chain]:
    """The namespaces as new, where the unprivileged may send echoes."""
    built_path.reset()
    built_path.client.sysctl(net__ipv4__ping_group_range=f"0 {NOBODY}")
    yield built_path
    built_path.stop()
