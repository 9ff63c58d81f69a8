"""Real agents: in this process, and as processes of their own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from bot.agent.client import AgentClient, Carrier
from bot.agent.conversation import Party
from bot.agent.known_hub import HubMemory
from bot.agent.policy import load_policy
from bot.agent.runner import Runner
from bot.domain.probe import Agent
from bot.probes.base import ProbeContext
from bot.wire.signing import Signer
from tests.wire.peers import TOKEN, who

POLICY = "allow: [{network: 127.0.0.0/8, ports: any, kinds: any}]\nresolvers: {host: ['127.41.0.53:5353']}\n"


def context_of(folder: Path, name: str = "sh-vm", *, policy: str = POLICY) -> ProbeContext:
    """What a real policy file allows."""
    path = folder / f"{name}-policy.yaml"
    path.write_text(policy)
    return load_policy(path).context({})


def make_runner(folder: Path, name: str = "sh-vm", *, policy: str = POLICY, concurrent: int = 64) -> Runner:
    """A runner that obeys a real policy file."""
    return Runner(name=name, context=context_of(folder, name, policy=policy), concurrent=concurrent)


def make_client(
    carrier: Carrier,
    folder: Path,
    agent: Agent | None = None,
    *,
    signer: Signer | None = None,
    token: str = TOKEN,
    memory: HubMemory | None = None,
    policy: str = POLICY,
    concurrent: int = 64,
) -> AgentClient:
    """A real agent; without `memory` it forgets its hub when it ends."""
    agent = agent or who()
    party = Party(
        agent=agent,
        signer=signer or Signer(),
        runner=make_runner(folder, agent.name, policy=policy, concurrent=concurrent),
        memory=memory or HubMemory(None, agent=agent.name, url=""),
        token=token,
    )
    return AgentClient(party=party, carrier=carrier, context=context_of(folder, agent.name, policy=policy))


@asynccontextmanager
async def running(client: AgentClient) -> AsyncIterator[AgentClient]:
    """Run an agent in this process, and stop it at the end."""
    work = asyncio.create_task(client.run())
    try:
        yield client
    finally:
        client.stop.set()
        await asyncio.wait_for(work, 45)


@asynccontextmanager
async def agent_process(
    url: str,
    folder: Path,
    name: str = "sh-vm",
    *,
    policy: str = POLICY,
    options: Sequence[str] = (),
    before: Sequence[str] = (),
    **environ: str,
) -> AsyncIterator[AgentProcess]:
    """A real `warroom agent` process, its words behind `before`; killed at the end if it still runs."""
    (folder / "policy.yaml").write_text(policy)
    words = ["--hub", url, "--name", name, "--region", "shanghai", "--vantage", "vm", "--state", str(folder / "state")]
    process = await asyncio.create_subprocess_exec(
        *before,
        *(sys.executable, "-m", "bot.cli", "agent", *words, "--policy", str(folder / "policy.yaml"), *options),
        stderr=asyncio.subprocess.PIPE,
        env=_environ({"WARROOM_AGENT_TOKEN": TOKEN, **environ}),
    )
    try:
        yield AgentProcess(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def _environ(more: Mapping[str, str]) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("WARROOM_")}
    return {**kept, **{k: v for k, v in more.items() if v}}


@dataclass
class AgentProcess:
    """A running `warroom agent`."""

    process: asyncio.subprocess.Process

    async def says(self, words: str, within_s: float = 45.0) -> str:
        """The next line on stderr that holds these words."""
        assert self.process.stderr is not None
        async with asyncio.timeout(within_s):
            async for line in self.process.stderr:
                if words in line.decode():
                    return line.decode()
        raise AssertionError(f"the agent ended without saying {words!r}")

    async def ends(self, within_s: float = 45.0) -> tuple[int, str]:
        """Its exit status and what it still said."""
        _, said = await asyncio.wait_for(self.process.communicate(), within_s)
        assert self.process.returncode is not None
        return self.process.returncode, said.decode()
