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
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from ruamel.yaml import YAML

from bot.adapters.agents import AgentDesk
from bot.adapters.agents.nats import NatsAddress, NatsHub
from bot.adapters.agents.nats_dial import trouble
from bot.agent.conversation import Party
from bot.agent.known_hub import HubMemory
from bot.agent.main import NOT_LET_IN, SENT_AWAY
from bot.agent.nats import NatsCarrier
from bot.agent.policy import load_policy
from bot.agent.runner import Runner
from bot.cli import WRONG_USE, _parser
from bot.domain.failure import Failure
from bot.domain.probe import Agent, ProbeRequest
from bot.probes.base import Denied
from bot.wire.frames import Hello
from bot.wire.nats import NatsLogin, Server
from bot.wire.signing import Signer
from tests.needs import need_tool
from tests.ports import free_port
from tests.wire.peers import until

DEPLOY = Path(__file__).parents[2] / "docs" / "deploy"
USERS = ("hub", "sh-vm-1", "bj-vm-1")
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


def test_the_pods_account_may_list_what_the_probes_read_and_nothing_else() -> None:
    """As the table in docs/probes.md says."""

    def may(kind: str) -> set[tuple[str, str]]:
        rules = manifest(kind)["rules"]
        assert {verb for rule in rules for verb in rule["verbs"]} == {"list"}
        return {(group, one) for rule in rules for group in rule["apiGroups"] for one in rule["resources"]}

    assert may("Role") == {("", "pods"), ("", "services"), ("apps", "deployments")}
    assert may("ClusterRole") == {("", "nodes"), ("apps", "deployments"), ("apps", "replicasets")}
    assert manifest("Role")["metadata"]["namespace"] == "kube-system"
    for kind in ("Role", "ClusterRole"):
        bound = manifest(f"{kind}Binding")
        assert bound["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": "warroom-agent"}
        assert bound["subjects"] == [{"kind": "ServiceAccount", "name": "warroom-agent", "namespace": "warroom"}]


def test_the_agents_key_outlives_the_pod() -> None:
    template = manifest("Deployment")["spec"]["template"]["spec"]
    (container,) = template["containers"]
    (state,) = [v for v in template["volumes"] if v["name"] == "state"]
    claim = manifest("PersistentVolumeClaim")
    assert state["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    (mount,) = [m["mountPath"] for m in container["volumeMounts"] if m["name"] == "state"]
    assert f"--state={mount}" in container["args"]
    # A volume for one node at a time: the old pod must be gone before the new one comes.
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert manifest("Deployment")["spec"]["strategy"] == {"type": "Recreate"}


def test_the_pods_command_line_and_policy_are_ones_the_agent_reads(tmp_path: Path) -> None:
    (container,) = manifest("Deployment")["spec"]["template"]["spec"]["containers"]
    args = _parser().parse_args(["agent", *container["args"]])
    assert (args.vantage, args.cluster) == ("pod", "tke-prod")
    path = tmp_path / "policy.yaml"
    path.write_text(manifest("ConfigMap")["data"]["policy.yaml"])
    policy = load_policy(path)
    for kind, port in (("coredns", 9153), ("dns_top", 9153), ("dns", 53)):
        policy.check(kind, "10.244.3.7", port)
    for kind in ("coredns", "changes"):
        policy.check(kind, "10.96.0.1", 443)
    with pytest.raises(Denied):
        policy.check("tcp", "10.244.3.7", 9153)


# --- nats.conf ---------------------------------------------------------------------------------------------------


def listens(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    return False


@asynccontextmanager
async def nats_server(folder: Path) -> AsyncIterator[Server]:
    """The shipped configuration, on a free port."""
    need_tool("nats-server")
    port = free_port()
    path = folder / "nats.conf"
    path.write_text((DEPLOY / "nats.conf").read_text().replace("127.0.0.1:4222", f"127.0.0.1:{port}"))
    process = await asyncio.create_subprocess_exec(
        "nats-server",
        "-c",
        str(path),
        env={**os.environ, **{f"{u.upper().replace('-', '_')}_PASSWORD": f"of-{u}" for u in USERS}},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await until(lambda: listens(port))
        yield Server(scheme="nats", host="127.0.0.1", port=port)
    finally:
        process.terminate()
        await process.wait()


class Open:
    async def admit(self, _hello: Hello, proven: Callable[[str], bool]) -> str:
        return "token" if proven("token") else ""


def login(user: str) -> NatsLogin:
    return NatsLogin(user=user, password=f"of-{user}")


@asynccontextmanager
async def hub_and_agent(server: Server, folder: Path, *, name: str, user: str) -> AsyncIterator[AgentDesk]:
    """A hub with its own login, and an agent of this name with the login of this NATS user."""
    path = folder / "policy.yaml"
    path.write_text("public: deny\n")
    desk = AgentDesk(signer=Signer(), door=Open())
    party = Party(
        agent=Agent(name=name, region="shanghai", vantage="vm"),
        signer=Signer(),
        runner=Runner(name=name, context=load_policy(path).context({})),
        memory=HubMemory(None, agent=name, url=server.url),
        token="token",
    )
    party.tested.set()
    hub = NatsHub(desk, NatsAddress(server=server, login=login("hub")))
    work = [asyncio.create_task(hub.run())]
    await asyncio.wait_for(hub.connected.wait(), 30)
    work.append(asyncio.create_task(NatsCarrier(server=server, login=login(user)).run(party)))
    try:
        yield desk
    finally:
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)


async def ready(desk: AgentDesk) -> None:
    await until(lambda: [a.state for a in desk.agents()] == ["ready"])


@asynccontextmanager
async def taken_over(server: Server, user: str) -> AsyncIterator[tuple[Client, list[str]]]:
    """Somebody with an agent's login, and what the server says to him."""
    said: list[str] = []

    async def note(exc: Exception) -> None:
        said.append(str(exc).lower())

    client = await nats.connect(server.url, user=user, password=f"of-{user}", error_cb=note)
    try:
        yield client, said
    finally:
        await client.close()


async def refused(client: Client, said: list[str]) -> bool:
    """Whether the server has forbidden what was just done; it says so just before it answers a ping, or just after."""
    with contextlib.suppress(NatsError):
        await client.flush()
    for _ in range(500):
        if said:
            break
        await asyncio.sleep(0.02)
    return any("permissions violation" in one for one in said)


async def test_with_the_shipped_permissions_an_agent_does_its_work_and_another_user_hears_nothing_of_it(
    tmp_path: Path,
) -> None:
    async with nats_server(tmp_path) as server, taken_over(server, "bj-vm-1") as (spy, _):
        heard: list[str] = []

        async def note(message: Msg) -> None:
            heard.append(message.subject)

        for subject in ("warroom.hubs", "warroom.agent.bj-vm-1.*.*", "warroom.agent.>", "warroom.hub.>", ">"):
            await spy.subscribe(subject, cb=note)
        async with hub_and_agent(server, tmp_path, name="sh-vm-1", user="sh-vm-1") as desk:
            await ready(desk)
            asked = ProbeRequest(
                id="1", probe="tcp/x", kind="tcp", layer="tcp", target="x", agent="sh-vm-1",
                params={"address": "127.0.0.1", "port": 9}, timeout_s=5.0,
            )  # fmt: skip
            (seen,) = [one async for one in desk.ask([asked], deadline_s=10)]
            assert seen.failure is Failure.POLICY_DENIED
        assert set(heard) <= {"warroom.hubs"}


@pytest.mark.parametrize(
    "subject", ["warroom.hubs", "warroom.agent.sh-vm-1.1.2", "warroom.agent.bj-vm-1.1.2", "orders"]
)
async def test_an_agents_user_may_not_speak_where_only_hubs_do(tmp_path: Path, subject: str) -> None:
    async with nats_server(tmp_path) as server, taken_over(server, "bj-vm-1") as (client, said):
        await client.publish(subject, b"x")
        assert await refused(client, said)


@pytest.mark.parametrize(
    "subject", ["warroom.agent.sh-vm-1.>", "warroom.agent.*.*.*", "warroom.hub.>", "warroom.knock", ">"]
)
async def test_an_agents_user_may_not_listen_to_another_agent_or_a_hub(tmp_path: Path, subject: str) -> None:
    async with nats_server(tmp_path) as server, taken_over(server, "bj-vm-1") as (client, said):
        await client.subscribe(subject)
        assert await refused(client, said)


async def test_an_agent_with_another_ones_user_says_that_its_permissions_do_not_fit(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        nats_server(tmp_path) as server,
        hub_and_agent(server, tmp_path, name="bj-vm-1", user="sh-vm-1") as desk,
    ):
        await until(lambda: "its permissions must fit --name" in caplog.text)
        assert desk.agents() == []


async def test_the_bot_finds_the_shipped_permissions_of_a_hub_enough_and_an_agents_too_small(tmp_path: Path) -> None:
    async with nats_server(tmp_path) as server:
        assert await trouble(NatsAddress(server=server, login=login("hub"))) == ""
        assert "permissions violation" in (await trouble(NatsAddress(server=server, login=login("sh-vm-1")))).lower()
