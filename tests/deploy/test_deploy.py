"""What docs/deploy ships is known to work: the unit is sound, the manifest fits Kubernetes, NATS lets agents in."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import kubernetes_validate
import nats
import pytest
from nats.errors import Error as NatsError
from ruamel.yaml import YAML

from bot.adapters.agents import AgentDesk
from bot.adapters.agents.nats import NatsAddress, NatsHub
from bot.agent.conversation import Party
from bot.agent.known_hub import HubMemory
from bot.agent.main import NOT_LET_IN, SENT_AWAY
from bot.agent.nats import NatsCarrier
from bot.agent.policy import load_policy
from bot.agent.runner import Runner
from bot.cli import WRONG_USE, _parser
from bot.domain.probe import Agent
from bot.wire.frames import Hello
from bot.wire.nats import NatsLogin, Server
from bot.wire.signing import Signer
from tests.needs import need_tool

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
MOST_EXPOSED = 20
"""Tenths of what `systemd-analyze security` calls exposure: 0 is a sealed service, 100 an open one."""


def manifests() -> list[dict[str, Any]]:
    with (DEPLOY / "kubernetes.yaml").open(encoding="utf-8") as file:
        return list(YAML(typ="safe", pure=True).load_all(file))


def manifest(kind: str) -> dict[str, Any]:
    (found,) = [m for m in manifests() if m["kind"] == kind]
    return found


@pytest.mark.parametrize("name", ["warroom-agent.service", "warroom.service"])
def test_the_unit_is_sound_and_leaves_the_service_little_to_break(tmp_path: Path, name: str) -> None:
    need_tool("systemd-analyze")
    unit = (DEPLOY / name).read_text()
    sound = tmp_path / name
    sound.write_text(unit.replace("/opt/warroom/bin/warroom", shutil.which("true") or "/bin/true"))
    said = subprocess.run(["systemd-analyze", "verify", sound], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stdout + said.stderr) == (0, "")
    command = ["systemd-analyze", "security", "--offline=yes", f"--threshold={MOST_EXPOSED}", "--no-pager", sound]
    judged = subprocess.run(command, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout[-500:]


def test_an_agent_that_ended_for_good_is_not_started_anew() -> None:
    unit = (DEPLOY / "warroom-agent.service").read_text()
    assert f"RestartPreventExitStatus={WRONG_USE} {NOT_LET_IN} {SENT_AWAY}\n" in unit


def test_every_manifest_is_one_that_kubernetes_takes() -> None:
    for one in manifests():
        kubernetes_validate.validate(one, "1.37", strict=True)


def test_the_pod_runs_as_nobody_with_nothing_and_may_only_read() -> None:
    template = manifest("Deployment")["spec"]["template"]["spec"]
    (container,) = template["containers"]
    assert template["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {verb for rule in manifest("ClusterRole")["rules"] for verb in rule["verbs"]} == {"get", "list"}


def test_the_pods_command_line_and_policy_are_ones_the_agent_reads(tmp_path: Path) -> None:
    (container,) = manifest("Deployment")["spec"]["template"]["spec"]["containers"]
    args = _parser().parse_args(["agent", *container["args"]])
    assert (args.vantage, args.cluster) == ("pod", "tke-prod")
    path = tmp_path / "policy.yaml"
    path.write_text(manifest("ConfigMap")["data"]["policy.yaml"])
    load_policy(path)


# --- nats.conf ---------------------------------------------------------------------------------------------------


@asynccontextmanager
async def nats_server(folder: Path) -> AsyncIterator[Server]:
    """The shipped configuration, on a free port."""
    need_tool("nats-server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    path = folder / "nats.conf"
    path.write_text((DEPLOY / "nats.conf").read_text().replace("127.0.0.1:4222", f"127.0.0.1:{port}"))
    process = await asyncio.create_subprocess_exec(
        "nats-server",
        "-c",
        str(path),
        env={**os.environ, "HUB_PASSWORD": "of-the-hub", "AGENT_PASSWORD": "of-agents"},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        for _ in range(100):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            await asyncio.sleep(0.05)
        yield Server(scheme="nats", host="127.0.0.1", port=port)
    finally:
        process.terminate()
        await process.wait()


class Open:
    async def admit(self, _hello: Hello, proven: Callable[[str], bool]) -> str:
        return "token" if proven("token") else ""


async def test_with_the_shipped_permissions_hub_and_agent_find_each_other(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("public: deny\n")
    context = load_policy(path).context({})
    async with nats_server(tmp_path) as server:
        desk = AgentDesk(signer=Signer(), door=Open())
        hub = NatsHub(desk, NatsAddress(server=server, login=NatsLogin(user="hub", password="of-the-hub")))
        party = Party(
            agent=Agent(name="sh-vm", region="shanghai", vantage="vm"),
            signer=Signer(),
            runner=Runner(name="sh-vm", context=context),
            memory=HubMemory(None, agent="sh-vm", url=server.url),
            token="token",
        )
        party.tested.set()
        carrier = NatsCarrier(server=server, login=NatsLogin(user="agent", password="of-agents"))
        work = [asyncio.create_task(hub.run()), asyncio.create_task(carrier.run(party))]
        for _ in range(200):
            if [a.state for a in desk.agents()] == ["ready"]:
                break
            await asyncio.sleep(0.05)
        assert [a.state for a in desk.agents()] == ["ready"]
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)


@pytest.mark.parametrize("subject", ["warroom.hubs", "warroom.agent.other.1.2", "orders"])
async def test_an_agent_may_not_speak_where_only_hubs_do(tmp_path: Path, subject: str) -> None:
    async with nats_server(tmp_path) as server:
        problems: list[str] = []

        async def note(exc: Exception) -> None:
            problems.append(str(exc))

        client = await nats.connect(server.url, user="agent", password="of-agents", error_cb=note)
        with contextlib.suppress(NatsError):
            await client.publish(subject, b"x")
            await client.flush()
        for _ in range(100):
            if problems:
                break
            await asyncio.sleep(0.02)
        assert "permissions violation" in problems[0].lower()
        await client.close()
