"""Many agents in one process: `python -m tests.agent.herd URL COUNT`, until it is killed.

They dial, introduce themselves and come back as real ones do; only what one agent does beside talking (its self-test,
its watch over its own loop) is left out.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from bot.agent.conversation import Party
from bot.agent.known_hub import HubMemory
from bot.agent.runner import Runner
from bot.agent.websocket import WebSocketCarrier
from bot.wire.signing import Signer
from tests.wire.peers import TOKEN, who
from tests.wire.real_agents import context_of


def more_files(number: int) -> None:
    """Let this process have so many files open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < number:
        wanted = number if hard == resource.RLIM_INFINITY else min(number, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def herd(url: str, count: int) -> None:
    """Run them all."""
    with TemporaryDirectory() as folder:
        context = context_of(Path(folder))
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                agent = who(f"vm-{number}")
                party = Party(
                    agent=agent,
                    signer=Signer(),
                    runner=Runner(name=agent.name, context=context),
                    memory=HubMemory(None, agent=agent.name, url=url),
                    token=TOKEN,
                )
                party.tested.set()
                group.create_task(WebSocketCarrier(url=url).run(party))


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    more_files(8192)
    asyncio.run(herd(sys.argv[1], int(sys.argv[2])))
