"""`warroom agent --check`: what would happen, before anything does."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.agent.check import check
from bot.agent.main import AgentOptions
from bot.domain.errors import ConfigError
from bot.wire.signing import Signer
from tests.ports import free_port
from tests.probes.servers import HOST
from tests.serving import warroom
from tests.wire.peers import HOST as HUB_HOST
from tests.wire.peers import TOKEN, hub, served

OPTIONS = ("--name", "here", "--region", "lab", "--vantage", "vm", "--check")


def options(folder: Path, url: str, policy: str = "") -> AgentOptions:
    (folder / "policy.yaml").write_text(policy or "kinds: [dns, http]\nresolvers: {vpc: 10.0.0.2}\n")
    return AgentOptions(hub=url, name="here", region="lab", vantage="vm", policy=folder / "policy.yaml", state=folder)


async def test_what_is_well_is_said_line_by_line_and_nobody_joins(tmp_path: Path) -> None:
    the_hub = hub()
    async with served(the_hub) as url:
        lines, well = await check(options(tmp_path, url), {"WARROOM_AGENT_TOKEN": TOKEN})
        assert the_hub.agents() == []
    assert well
    said = "\n".join(lines)
    assert f"policy: {tmp_path / 'policy.yaml'} is valid; dns, http" in said
    assert "resolvers of vpc: 10.0.0.2:53" in said
    assert "token: there is one" in said
    assert f"hub: {HUB_HOST} is {HUB_HOST}, and port" in said
    assert TOKEN not in said


async def test_a_hub_that_is_not_there_is_said_with_the_reason(tmp_path: Path) -> None:
    lines, well = await check(options(tmp_path, f"ws://{HOST}:{free_port(HOST)}"), {"WARROOM_AGENT_TOKEN": TOKEN})
    assert not well
    assert "cannot be reached" in lines[-1]
    lines, well = await check(options(tmp_path, "wss://no-such-hub.invalid"), {"WARROOM_AGENT_TOKEN": TOKEN})
    assert not well
    assert "no-such-hub.invalid does not resolve" in lines[-1]


async def test_what_the_policy_asks_for_and_this_user_cannot_do_is_said(tmp_path: Path) -> None:
    log = "query_log: {path: /no/such/query.log}\n"
    lines, _ = await check(options(tmp_path, f"ws://{HOST}:1", log), {"WARROOM_AGENT_TOKEN": TOKEN})
    assert "lacks: dns_top: the query log /no/such/query.log cannot be read by this user" in lines


async def test_an_agent_that_is_known_needs_no_token(tmp_path: Path) -> None:
    url = f"ws://{HOST}:1"
    with pytest.raises(ConfigError, match="WARROOM_AGENT_TOKEN is not set"):
        await check(options(tmp_path, url), {})
    key = Signer().public
    (tmp_path / "hub-here.json").write_text(f'{{"url": "{url}", "public_key": "{key}", "addresses": []}}')
    lines, _ = await check(options(tmp_path, url), {})
    assert any(line.startswith("enrolled: ") for line in lines)


@pytest.mark.parametrize(
    ("policy", "says"),
    [("publik: allow\n", "publik"), ("kinds: [dns]\n", "cannot be reached")],
)
def test_the_command_ends_with_status_2_when_the_agent_could_not_work(tmp_path: Path, policy: str, says: str) -> None:
    (tmp_path / "policy.yaml").write_text(policy)
    words = ("agent", "--hub", f"ws://{HOST}:{free_port(HOST)}", *OPTIONS)
    done = warroom(*words, "--policy", "policy.yaml", "--state", ".", cwd=tmp_path, WARROOM_AGENT_TOKEN=TOKEN)
    assert done.returncode == 2
    assert says in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
