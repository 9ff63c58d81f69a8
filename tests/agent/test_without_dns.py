"""The night Warroom is for: names do not resolve any more, and the agent's way to its hub is a name."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.domain.failure import Failure
from bot.lab.pki import Authority
from bot.testing import TokenDoor
from bot.wire.nats import Subjects, server
from bot.wire.signing import Signer
from tests.needs import missing, need_tool
from tests.wire import on_nats
from tests.wire.peers import HOST, TOKEN, answers, hub, port_of, ready, request, served, state_of, until
from tests.wire.real_agents import agent_process

pytestmark = [pytest.mark.root, pytest.mark.timeout(90)]

RESOLVER = "127.41.0.54"
NAMES = {"hub.test": HOST, "nats.test": on_nats.HOST}


@dataclass
class Names:
    """A resolver, and the words under which a program has no other one."""

    before: tuple[str, ...]
    process: subprocess.Popen[bytes]

    def breaks(self, how: str) -> None:
        """From now on it is silent, or gone."""
        if how == "silent":
            self.process.send_signal(signal.SIGSTOP)
        else:
            self.process.kill()
            self.process.wait(10)


@pytest.fixture
def names(tmp_path: Path) -> Iterator[Names]:
    with resolving(tmp_path, NAMES) as found:
        yield found


@contextmanager
def resolving(folder: Path, names: dict[str, str]) -> Iterator[Names]:
    """A dnsmasq that knows these names, and nothing else does."""
    if os.geteuid() != 0:
        missing("not root: a resolv.conf of a process's own cannot be mounted")
    need_tool("dnsmasq")
    need_tool("unshare")
    dnsmasq = shutil.which("dnsmasq") or ""
    known = [f"--address=/{name}/{address}" for name, address in names.items()]
    listening = ["--port=53", f"--listen-address={RESOLVER}", "--bind-interfaces"]
    (folder / "resolv.conf").write_text(f"nameserver {RESOLVER}\n")
    (folder / "hosts").write_text("127.0.0.1 localhost\n")
    words = [dnsmasq, "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file="]
    process = subprocess.Popen([*words, "--user=root", *listening, *known])
    script = f"mount --bind {folder}/resolv.conf /etc/resolv.conf && mount --bind {folder}/hosts /etc/hosts && "
    try:
        yield Names(("unshare", "--mount", "sh", "-c", script + 'exec "$@"', "sh"), process)
    finally:
        process.kill()
        process.wait(10)


@dataclass
class Certificates:
    """Files a hub is served with, by name, and the CA that made them."""

    folder: Path
    authority: Authority

    @property
    def ca(self) -> str:
        (self.folder / "ca.pem").write_bytes(self.authority.certificate)
        return str(self.folder / "ca.pem")

    def of(self, name: str) -> tuple[Path, Path]:
        leaf = self.authority.issue([name])
        files = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        files[0].write_bytes(leaf.certificate)
        files[1].write_bytes(leaf.key)
        return files


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path, Authority())


@pytest.mark.parametrize("how", ["silent", "gone"])
@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
async def test_an_agent_that_reached_its_hub_by_name_comes_back_to_it_while_the_name_does_not_resolve(
    tmp_path: Path, names: Names, certificates: Certificates, how: str, secure: bool
) -> None:
    signer, door = Signer(), TokenDoor(TOKEN)
    tls = certificates.of("hub.test") if secure else None
    trust = {"WARROOM_HUB_CA_FILE": certificates.ca}
    first, second, third = (hub(signer=signer, door=door) for _ in range(3))
    async with served(first, host="hub.test", tls=tls) as url:
        running = agent_process(url, tmp_path, before=names.before, **trust)
        agent = await running.__aenter__()
        await until(lambda: ready(first), 60)
    try:
        names.breaks(how)
        async with served(second, host="hub.test", port=port_of(url), tls=tls):
            await until(lambda: ready(second), 60)
            assert [o.failure for o in await answers(second, request())] == [Failure.TCP_REFUSED]
            await agent.says("hub.test does not resolve")
    finally:
        await running.__aexit__(None, None, None)
    async with (
        served(third, host="hub.test", port=port_of(url), tls=tls),
        agent_process(url, tmp_path, before=names.before, **trust),
    ):
        await until(lambda: ready(third), 60)
        assert [o.failure for o in await answers(third, request())] == [Failure.TCP_REFUSED]


async def test_the_certificate_is_checked_against_the_name_also_at_the_address_that_was_kept(
    tmp_path: Path, names: Names, certificates: Certificates
) -> None:
    signer, door = Signer(), TokenDoor(TOKEN)
    honest, false = hub(signer=signer, door=door), hub(signer=signer, door=door)
    trust = {"WARROOM_HUB_CA_FILE": certificates.ca}
    async with (
        served(honest, host="hub.test", tls=certificates.of("hub.test")) as url,
        agent_process(url, tmp_path, before=names.before, **trust),
    ):
        await until(lambda: ready(honest), 60)
    names.breaks("gone")
    async with (
        served(false, host="hub.test", port=port_of(url), tls=certificates.of("other.test")),
        agent_process(url, tmp_path, before=names.before, **trust) as agent,
    ):
        await agent.says("certificate verify failed: Hostname mismatch", 60)
        assert state_of(false) == "unknown"


async def test_a_name_that_leads_nowhere_is_no_worse_than_one_that_does_not_resolve(tmp_path: Path) -> None:
    signer, door = Signer(), TokenDoor(TOKEN)
    first, second = hub(signer=signer, door=door), hub(signer=signer, door=door)
    with resolving(tmp_path, NAMES) as true_names:
        async with served(first, host="hub.test") as url, agent_process(url, tmp_path, before=true_names.before):
            await until(lambda: ready(first), 60)
    with resolving(tmp_path, {"hub.test": "127.41.0.77"}) as false_names:
        async with (
            served(second, host="hub.test", port=port_of(url)),
            agent_process(url, tmp_path, before=false_names.before),
        ):
            await until(lambda: ready(second), 60)


async def test_an_agent_that_never_reached_its_hub_says_so_and_goes_on_trying(tmp_path: Path, names: Names) -> None:
    names.breaks("gone")
    async with agent_process("ws://hub.test:9", tmp_path, before=names.before) as agent:
        for _ in range(2):
            await agent.says(
                "hub.test does not resolve (EAI_AGAIN), and the hub was never reached from here before", 20
            )


async def test_on_nats_too_the_server_is_found_while_its_name_does_not_resolve(tmp_path: Path, names: Names) -> None:
    the_hub = hub()
    with on_nats.own_server(tmp_path) as nats:
        place = on_nats.NatsAddress(server=server(nats.url, "url"), subjects=Subjects("own"))
        url = nats.url.replace(on_nats.HOST, "nats.test")
        async with (
            on_nats.on_nats(the_hub, place),
            agent_process(url, tmp_path, before=names.before, WARROOM_NATS_PREFIX="own") as agent,
        ):
            await until(lambda: ready(the_hub), 60)
            names.breaks("silent")
            nats.stop()
            await until(lambda: state_of(the_hub) == "lost", 60)
            await asyncio.sleep(0.5)
            nats.start()
            await until(lambda: ready(the_hub), 40)
            assert [o.failure for o in await answers(the_hub, request())] == [Failure.TCP_REFUSED]
            await agent.says("nats.test does not resolve")
