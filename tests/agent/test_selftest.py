"""What an agent says about its own place, in processes that really lack what they say they lack."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bot.agent.selftest import self_test
from bot.probes.base import ProbeContext, QueryLog
from tests.needs import missing, need_tool
from tests.serving import REPOSITORY
from tests.wire.peers import hub, ready, served, until
from tests.wire.real_agents import POLICY, agent_process, context_of

WITHOUT_CAPABILITIES = "setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all"
CODE = """
import asyncio, json, sys
from pathlib import Path
from bot.agent.policy import load_policy
from bot.agent.selftest import self_test
print(json.dumps(asyncio.run(self_test(load_policy(Path(sys.argv[1])).context({})))))
"""


def need_root() -> None:
    if os.geteuid() != 0:
        missing("not root: a process without what root has cannot be told from this one")
    for tool in ("setpriv", "unshare", "ip"):
        need_tool(tool)


def told(folder: Path, policy: str, *, setup: str = "true", run: str = "") -> list[str]:
    """What the self-test says in a network namespace of its own, after `setup`, behind `run`."""
    (folder / "policy.yaml").write_text(policy)
    script = f'ip link set lo up && {setup} && exec {run} "$@"'
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script, "sh", sys.executable, "-c", CODE, str(folder / "policy.yaml")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout)
    return [line for line in found if not line.startswith("the machine is busy")]


@pytest.mark.root
def test_where_nothing_is_lacking_nothing_is_said(tmp_path: Path) -> None:
    need_root()
    (tmp_path / "query.log").write_text("")
    policy = f"{POLICY}capture: true\nquery_log: {{path: {tmp_path}/query.log}}\n"
    assert told(tmp_path, policy, setup="ulimit -n 1024") == []


@pytest.mark.root
def test_an_unprivileged_agent_says_that_ping_falls_back_to_tcp(tmp_path: Path) -> None:
    need_root()
    (line,) = told(tmp_path, POLICY, run=WITHOUT_CAPABILITIES)
    assert line.startswith("ping: net.ipv4.ping_group_range does not include this group, CAP_NET_RAW missing")
    assert "TCP is used instead" in line


@pytest.mark.root
def test_where_the_group_may_ping_nothing_is_lacking(tmp_path: Path) -> None:
    need_root()
    allowed = "sysctl -qw net.ipv4.ping_group_range='0 0'"
    assert told(tmp_path, POLICY, setup=allowed, run=WITHOUT_CAPABILITIES) == []


@pytest.mark.root
def test_a_kind_the_policy_does_not_permit_is_not_lacking(tmp_path: Path) -> None:
    need_root()
    assert told(tmp_path, POLICY + "kinds: [dns, tcp]\n", run=WITHOUT_CAPABILITIES) == []


@pytest.mark.root
def test_capture_that_is_allowed_and_not_possible_is_said(tmp_path: Path) -> None:
    need_root()
    said = told(tmp_path, POLICY + "capture: true\n", run=WITHOUT_CAPABILITIES)
    assert said[1:] == ["dns_top: the policy allows capture, and CAP_NET_RAW is missing"]


@pytest.mark.root
def test_a_query_log_that_this_user_may_not_read_is_named(tmp_path: Path) -> None:
    need_root()
    log = tmp_path / "query.log"
    log.write_text("")
    log.chmod(0)
    said = told(tmp_path, f"{POLICY}query_log: {{path: {log}}}\n", run=WITHOUT_CAPABILITIES)
    assert said[1:] == [f"dns_top: the query log {log} cannot be read by this user"]


@pytest.mark.root
def test_few_open_files_are_said_with_the_number_needed(tmp_path: Path) -> None:
    need_root()
    (line,) = told(tmp_path, POLICY, setup="ulimit -n 256")
    assert line == "only 256 files may be open at once (RLIMIT_NOFILE); 1024 are needed under load"


@pytest.mark.root
def test_a_machine_that_cannot_reach_itself_says_so(tmp_path: Path) -> None:
    need_root()
    said = told(tmp_path, POLICY, setup="ip link set lo down")
    assert said == ["datagrams cannot be sent to ourselves (timed out); dns and ping may not work"]


async def test_no_resolver_and_a_query_log_that_is_not_there_are_said(tmp_path: Path) -> None:
    guard = context_of(tmp_path).guard
    said = await self_test(ProbeContext(guard=guard, query_log=QueryLog(path=tmp_path / "none.log")))
    assert f"dns_top: the query log {tmp_path}/none.log cannot be read by this user" in said
    assert "dns: neither resolv.conf nor the policy names a resolver" in said


async def test_a_busy_machine_is_said_with_how_late_it_woke_us(tmp_path: Path) -> None:
    testing = asyncio.create_task(self_test(context_of(tmp_path)))
    await asyncio.sleep(0.01)
    time.sleep(0.3)  # the loop is held up on purpose
    assert any(line.startswith("the machine is busy: a timer of 100 ms came ") for line in await testing)


@pytest.mark.root
async def test_what_is_lacking_reaches_the_hub_and_the_agents_own_log(tmp_path: Path) -> None:
    need_root()
    the_hub = hub()
    before = ("sh", "-c", f'ulimit -n 256 && exec {WITHOUT_CAPABILITIES} "$@"', "sh")
    policy = POLICY + "capture: true\n"
    async with served(the_hub) as url, agent_process(url, tmp_path, policy=policy, before=before) as agent:
        await until(lambda: ready(the_hub), 20)
        lacks = the_hub.agents()[0].lacks
        assert "dns_top: the policy allows capture, and CAP_NET_RAW is missing" in lacks
        assert any(line.startswith("only 256 files") for line in lacks)
        await agent.says("self-test: dns_top: the policy allows capture")
