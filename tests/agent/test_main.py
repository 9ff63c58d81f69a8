from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bot.adapters.agents import AgentDesk
from bot.agent.credentials import secret_of
from bot.agent.main import carrier_of, default_vpc, secrets_of
from bot.agent.nats import NatsCarrier
from bot.agent.websocket import WebSocketCarrier
from bot.domain.errors import ConfigError
from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Observation, ProbeRequest
from bot.lab.pki import Authority
from bot.testing import TokenDoor
from bot.wire.signing import Signer
from tests.wire.false_hub import false_hub
from tests.wire.peers import HOST, TOKEN, answers, begun, hub, port_of, request, served, slow, until
from tests.wire.real_agents import agent_process

HEAVY = ("httpx", "pydantic", "sqlalchemy", "fastapi", "starlette", "uvicorn", "cel")
OTHER_LAYERS = ("bot.app", "bot.adapters", "bot.diagnosis", "bot.testing", "bot.lab", "bot.bootstrap")


def state_of(of: AgentDesk) -> str:
    return next((a.state for a in of.agents()), "unknown")


async def ready(of: AgentDesk) -> None:
    await until(lambda: state_of(of) == "ready", 60)


def asking(of: AgentDesk, asked: ProbeRequest, deadline_s: float = 30.0) -> asyncio.Task[list[Observation]]:
    return asyncio.create_task(answers(of, asked, deadline_s=deadline_s))


# --- what the process is made of ---------------------------------------------------------------------------------


def test_the_agent_loads_nothing_of_the_bot_and_none_of_its_heavy_libraries() -> None:
    code = (
        "import sys, bot.cli, bot.agent.main, bot.probes.table\n"
        f"print(*[m for m in {HEAVY + OTHER_LAYERS!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=90)
    assert done.stdout.split() == []


async def test_a_working_agent_process_has_loaded_none_of_them_either(tmp_path: Path) -> None:
    """A late import would map the library's compiled parts."""
    the_hub = hub()
    async with served(the_hub) as url, agent_process(url, tmp_path) as agent:
        await ready(the_hub)
        await answers(the_hub, request(), request(kind="http", params={"url": f"http://{HOST}:9/"}))
        mapped = Path(f"/proc/{agent.process.pid}/maps").read_text()
    assert re.findall(r"site-packages/(pydantic|sqlalchemy|cel)\w*/", mapped) == []


# --- options -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("region", "vantage", "vpc"),
    [
        ("shanghai", "vm", "shanghai"),
        ("shanghai", "pod", "shanghai"),
        ("shanghai", "vm2", "shanghai-2"),
        ("hq", "outside", ""),
    ],
)
def test_a_vpc_that_is_not_named_is_one_per_region_with_a_second_for_vm2(region: str, vantage: str, vpc: str) -> None:
    assert default_vpc(region, vantage) == vpc


def test_the_token_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert secret_of({"WARROOM_AGENT_TOKEN": f" {TOKEN} "}, "WARROOM_AGENT_TOKEN") == TOKEN
    assert secret_of({"WARROOM_AGENT_TOKEN_FILE": str(tmp_path / "token")}, "WARROOM_AGENT_TOKEN") == TOKEN


def test_an_agent_may_have_no_token_and_a_token_file_that_is_not_there_is_a_mistake() -> None:
    assert secret_of({}, "WARROOM_AGENT_TOKEN") == secret_of({"WARROOM_AGENT_TOKEN": "  "}, "WARROOM_AGENT_TOKEN") == ""
    with pytest.raises(ConfigError, match="WARROOM_AGENT_TOKEN_FILE missing: No such file"):
        secret_of({"WARROOM_AGENT_TOKEN_FILE": "missing"}, "WARROOM_AGENT_TOKEN")


@pytest.mark.parametrize(
    ("hub_option", "carrier"),
    [("ws://b", WebSocketCarrier), ("wss://b", WebSocketCarrier), ("nats://b", NatsCarrier), ("tls://b", NatsCarrier)],
)
def test_the_hubs_url_says_which_way_leads_there(hub_option: str, carrier: type) -> None:
    way = carrier_of(hub_option, {"WARROOM_NATS_USER": "u", "WARROOM_NATS_PASSWORD": "p", "WARROOM_NATS_PREFIX": "w2"})
    assert isinstance(way, WebSocketCarrier | NatsCarrier)
    assert isinstance(way, carrier)
    assert (way.tls is not None) is hub_option.startswith(("wss:", "tls:"))
    if isinstance(way, NatsCarrier):
        assert (way.login.user, way.subjects.prefix) == ("u", "w2")


def test_a_login_at_nats_may_come_from_files_and_stays_out_of_the_log(tmp_path: Path) -> None:
    for name in ("user", "password"):
        (tmp_path / name).write_text(f"canary-{name}\n")
    environ = {f"WARROOM_NATS_{name.upper()}_FILE": str(tmp_path / name) for name in ("user", "password")}
    way = carrier_of("nats://b", environ)
    assert isinstance(way, NatsCarrier)
    assert (way.login.user, way.login.password) == ("canary-user", "canary-password")
    assert secrets_of(environ) == ("canary-password",)
    with pytest.raises(ConfigError, match="WARROOM_NATS_TOKEN_FILE missing: No such file"):
        carrier_of("nats://b", {"WARROOM_NATS_TOKEN_FILE": "missing"})


@pytest.mark.parametrize(
    ("hub_option", "environ", "reason"),
    [
        ("ws://127.41.0.10:1", {"WARROOM_AGENT_TOKEN": ""}, "WARROOM_AGENT_TOKEN is not set"),
        ("http://127.41.0.10:1", {}, "must read wss://host"),
        ("nats://u:hush@127.41.0.10:1", {}, "must not carry a login"),
        ("nats://127.41.0.10:1", {"WARROOM_NATS_USER": "u"}, "belong together"),
        ("tls://127.41.0.10:1", {"WARROOM_HUB_CA_FILE": "missing.pem"}, "WARROOM_HUB_CA_FILE missing.pem"),
        ("wss://127.41.0.10:1", {"WARROOM_HUB_CA_FILE": "missing.pem"}, "WARROOM_HUB_CA_FILE missing.pem"),
        ("ws://127.41.0.10:1", {"WARROOM_TENCENT_SECRET_ID": "half"}, "WARROOM_TENCENT_SECRET_KEY is missing"),
    ],
)
async def test_wrong_use_ends_the_process_with_status_2_and_one_line(
    tmp_path: Path, hub_option: str, environ: dict[str, str], reason: str
) -> None:
    async with agent_process(hub_option, tmp_path, **environ) as agent:
        status, said = await agent.ends()
    assert status == 2
    assert reason in said
    assert len(said.splitlines()) == 1


async def test_a_name_no_agent_may_have_is_wrong_use(tmp_path: Path) -> None:
    async with agent_process("ws://127.41.0.10:1", tmp_path, name="上海 1") as agent:
        status, said = await agent.ends()
    assert status == 2
    assert "--name: no agent can be called '上海 1': use letters" in said
    assert len(said.splitlines()) == 1


async def test_a_single_use_token_is_not_used_up_where_the_key_cannot_be_kept(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    the_hub = hub()
    async with (
        served(the_hub) as url,
        agent_process(url, tmp_path, WARROOM_AGENT_TOKEN="wre2.0123456789ab.canary-secret") as agent,
    ):
        status, said = await agent.ends()
    assert status == 2
    assert "Give --state a folder that this user may write" in said
    assert "canary" not in said
    assert the_hub.agents() == []


# --- a life ------------------------------------------------------------------------------------------------------


async def test_an_agent_connects_works_and_is_told_to_stop(tmp_path: Path) -> None:
    the_hub = hub()
    options = ["--env", "prod", "--cluster", "tke", "--vpc", "vpc-1"]
    async with served(the_hub) as url, agent_process(url, tmp_path, options=options) as agent:
        await ready(the_hub)
        (known,) = the_hub.agents()
        assert (known.name, known.region, known.vantage, known.env) == ("sh-vm", "shanghai", "vm", "prod")
        assert (known.vpc, known.cluster) == ("vpc-1", "tke")
        assert {"dns", "tcp", "tls", "http", "ping"} <= set(known.kinds)
        assert known.resolvers == {"host": ("127.41.0.53:5353",)}
        barred = request(params={"address": "169.254.169.254", "port": 80}, probe="barred")
        seen = {o.probe: o for o in await answers(the_hub, request(probe="down"), barred)}
        assert (seen["down"].failure, seen["down"].fault_of) == (Failure.TCP_REFUSED, FaultOf.TARGET)
        assert (seen["barred"].failure, seen["barred"].fault_of) == (Failure.POLICY_DENIED, FaultOf.POLICY)
        agent.process.send_signal(signal.SIGINT)
        status, said = await agent.ends()
        assert status == 0
        assert "agent sh-vm stopped" in said
        assert "Traceback" not in said


async def test_a_wrong_token_ends_the_process_with_status_3_and_what_to_check(tmp_path: Path) -> None:
    async with served(hub(token="another")) as url, agent_process(url, tmp_path) as agent:
        status, said = await agent.ends()
    assert status == 3
    assert "not let in by the hub: wrong token; check that WARROOM_AGENT_TOKEN is the one the bot runs with" in said
    assert "Traceback" not in said
    assert TOKEN not in said


async def test_a_name_that_another_key_holds_ends_the_process_with_status_3(tmp_path: Path) -> None:
    the_hub = hub()
    first, second = tmp_path / "one", tmp_path / "two"
    first.mkdir()
    second.mkdir()
    async with served(the_hub) as url, agent_process(url, first):
        await ready(the_hub)
        async with agent_process(url, second) as thief:
            status, said = await thief.ends()
        assert status == 3
        assert "choose another --name" in said
        assert state_of(the_hub) == "ready"


async def test_an_agent_that_is_forgotten_ends_with_status_4_and_what_it_needs(tmp_path: Path) -> None:
    the_hub = hub()
    async with served(the_hub) as url, agent_process(url, tmp_path) as agent:
        await ready(the_hub)
        the_hub.forget("sh-vm")
        status, said = await agent.ends()
    assert status == 4
    assert "agent sh-vm was sent away by the hub: this agent was forgotten here; it needs a new token" in said
    assert "Traceback" not in said


async def test_an_agent_whose_name_and_key_another_process_uses_ends_with_status_4(tmp_path: Path) -> None:
    the_hub = hub()
    async with served(the_hub) as url, agent_process(url, tmp_path) as first:
        await ready(the_hub)
        async with agent_process(url, tmp_path):
            status, said = await first.ends()
    assert status == 4
    assert "give each agent its own --name" in said


async def test_told_to_stop_an_agent_delivers_what_it_is_at(tmp_path: Path) -> None:
    the_hub = hub()
    async with served(the_hub) as url, agent_process(url, tmp_path) as agent:
        await ready(the_hub)
        async with begun() as (port, begins):
            out = asking(the_hub, slow(seconds=4, port=port))
            await begins.wait()
            agent.process.send_signal(signal.SIGTERM)
            await until(lambda: state_of(the_hub) == "draining")
            assert not out.done()
            (seen,) = await out
        assert (seen.ok, seen.detail["tries"]) == (True, 2)
        status, _ = await agent.ends()
        assert status == 0


async def test_an_agent_killed_at_work_is_lost_at_once_and_comes_back_with_its_key(tmp_path: Path) -> None:
    the_hub = hub()
    async with served(the_hub) as url:
        async with agent_process(url, tmp_path) as agent:
            await ready(the_hub)
            async with begun() as (port, begins):
                out = asking(the_hub, slow(seconds=20, port=port), deadline_s=60)
                await begins.wait()
            agent.process.send_signal(signal.SIGKILL)
            began = time.monotonic()
            (seen,) = await out
            assert time.monotonic() - began < 15
            assert (seen.failure, seen.fault_of) == (Failure.AGENT_LOST, FaultOf.AGENT)
            assert state_of(the_hub) == "lost"
        async with agent_process(url, tmp_path):
            await ready(the_hub)
            assert [o.failure for o in await answers(the_hub, request())] == [Failure.TCP_REFUSED]


async def test_an_agent_that_stands_still_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    the_hub = hub()
    async with served(the_hub) as url, agent_process(url, tmp_path) as agent:
        await ready(the_hub)
        agent.process.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        (seen,) = await answers(the_hub, request(timeout_s=30), deadline_s=1)
        assert 0.9 < time.monotonic() - began < 20
        assert (seen.failure, seen.fault_of) == (Failure.AGENT_LOST, FaultOf.AGENT)
        agent.process.send_signal(signal.SIGCONT)
        assert [o.failure for o in await answers(the_hub, request())] == [Failure.TCP_REFUSED]


async def test_an_agent_outlives_its_hub_and_finds_the_next_one(tmp_path: Path) -> None:
    first = hub()
    async with served(first) as url, agent_process(url, tmp_path, name="early"):
        await ready(first)
    second = hub()
    async with agent_process(url, tmp_path) as agent:
        await agent.says("hub ws://")
        async with served(second, port=port_of(url)):
            await ready(second)
            assert [o.failure for o in await answers(second, request())] == [Failure.TCP_REFUSED]


async def test_an_agent_that_has_enrolled_needs_no_token_any_more_and_obeys_no_other_hub(tmp_path: Path) -> None:
    signer, door = Signer(), TokenDoor(TOKEN)
    the_hub = hub(signer=signer, door=door)
    async with served(the_hub) as url:
        async with agent_process(url, tmp_path):
            await ready(the_hub)
        async with agent_process(url, tmp_path, WARROOM_AGENT_TOKEN="") as agent:
            await ready(the_hub)
            assert [o.failure for o in await answers(the_hub, request())] == [Failure.TCP_REFUSED]
            agent.process.send_signal(signal.SIGTERM)
            assert (await agent.ends())[0] == 0
    other = hub()
    async with served(other, port=port_of(url)), agent_process(url, tmp_path, WARROOM_AGENT_TOKEN="") as agent:
        await agent.says("shows another key than this agent knows")
        assert state_of(other) == "unknown"


async def test_an_agent_does_not_obey_a_hub_that_does_not_know_the_token(tmp_path: Path) -> None:
    async with false_hub(token="another") as false, agent_process(false.url, tmp_path) as agent:
        await agent.says("the hub has not shown that it knows the token; is WARROOM_AGENT_TOKEN the bot's?")


async def test_an_agent_that_cannot_keep_files_still_works(tmp_path: Path) -> None:
    the_hub = hub()
    (tmp_path / "state").write_text("a file where the folder should be")
    async with served(the_hub) as url, agent_process(url, tmp_path) as agent:
        await ready(the_hub)
        assert [o.failure for o in await answers(the_hub, request())] == [Failure.TCP_REFUSED]
        agent.process.send_signal(signal.SIGTERM)
        status, said = await agent.ends()
    assert status == 0
    assert "for this run only" in said


async def test_a_name_with_blanks_around_it_is_the_same_name(tmp_path: Path) -> None:
    the_hub = hub()
    async with served(the_hub) as url, agent_process(url, tmp_path, name=" sh-vm "):
        await ready(the_hub)
        assert [o.failure for o in await answers(the_hub, request())] == [Failure.TCP_REFUSED]


# --- wss:// ------------------------------------------------------------------------------------------------------


async def test_over_wss_a_hub_of_a_private_authority_is_trusted_by_its_ca_file_and_not_without(tmp_path: Path) -> None:
    authority = Authority()
    leaf = authority.issue([HOST])
    files = tmp_path / "hub.pem", tmp_path / "hub.key"
    files[0].write_bytes(leaf.certificate)
    files[1].write_bytes(leaf.key)
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    the_hub = hub()
    async with served(the_hub, tls=files) as url:
        assert url.startswith("wss://")
        async with agent_process(url, tmp_path) as stranger:
            await stranger.says("certificate verify failed")
            assert state_of(the_hub) == "unknown"
        async with agent_process(url, tmp_path, WARROOM_HUB_CA_FILE=str(tmp_path / "ca.pem")):
            await ready(the_hub)
            assert [o.failure for o in await answers(the_hub, request())] == [Failure.TCP_REFUSED]


async def test_over_wss_a_certificate_for_another_host_is_not_trusted(tmp_path: Path) -> None:
    authority = Authority()
    leaf = authority.issue(["other.test", "127.41.0.99"])
    files = tmp_path / "hub.pem", tmp_path / "hub.key"
    files[0].write_bytes(leaf.certificate)
    files[1].write_bytes(leaf.key)
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    the_hub = hub()
    async with (
        served(the_hub, tls=files) as url,
        agent_process(url, tmp_path, WARROOM_HUB_CA_FILE=str(tmp_path / "ca.pem")) as agent,
    ):
        await agent.says("certificate verify failed: IP address mismatch")
        assert state_of(the_hub) == "unknown"
