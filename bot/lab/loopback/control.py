"""The lab as the demo holds it: one child for the world, one real agent process per vantage point."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from bot.domain.errors import WarroomError
from bot.lab.loopback.leash import leashed
from bot.lab.loopback.prepare import prepare
from bot.lab.loopback.world import AgentPlace, Secrets, World, free_ports

READY_S = 20.0
GRACE_S = 3.0
"""How long a child may take to end after SIGTERM before it is killed."""


class LabError(WarroomError):
    """The lab could not start, or its servers refused; the message says what and why. `status` is HTTP's, or 0."""

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class LoopbackLab:
    """`async with LoopbackLab(folder) as lab:` prepares the folder and starts the servers, healthy.

    Children die with this process, whatever ends it; use it from the main thread, since the kernel ties the
    children's leash to the thread that started them.
    """

    def __init__(self, folder: Path, *, playbooks: Path | None = None) -> None:
        self._folder = folder
        self._playbooks = playbooks
        self._children: list[asyncio.subprocess.Process] = []
        self._client: httpx.AsyncClient | None = None
        self.agents: dict[str, asyncio.subprocess.Process] = {}
        self.world: World
        self.secrets: Secrets

    async def __aenter__(self) -> Self:
        self.world = await asyncio.to_thread(prepare, self._folder, free_ports(), playbooks=self._playbooks)
        self.secrets = Secrets.load(self.world.folder)
        self._client = httpx.AsyncClient(
            base_url=self.world.control_url,
            headers={"Authorization": f"Bearer {self.secrets.control}"},
            trust_env=False,
            timeout=10,
        )
        try:
            await self._start_servers()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def playbooks(self) -> Path:
        """The playbooks to run the bot with."""
        return self.world.playbooks

    async def start_agents(self, hub_url: str, token: str) -> None:
        """Start one agent process per vantage point; it dials `hub_url` and enrols with `token`."""
        env = {
            **os.environ,
            "NO_PROXY": "*",
            "XDG_STATE_HOME": str(self.world.folder / "state"),
            "WARROOM_AGENT_TOKEN": token,
            "WARROOM_TENCENT_SECRET_ID": self.secrets.tencent_id,
            "WARROOM_TENCENT_SECRET_KEY": self.secrets.tencent_key,
        }
        for place in self.world.agents:
            command = agent_command(self.world, place, hub_url)
            with self.world.agent_log(place.name).open("ab") as out:
                self.agents[place.name] = await self._spawn(leashed(command), env=env, stdout=out, stderr=out)

    async def state(self) -> dict[str, Any]:
        """{"fault", "active", "faults", "dns", "phone"}: what the world is like now. Raises LabError."""
        return await self._ask("GET", "/state")

    async def set_fault(self, name: str) -> dict[str, Any]:
        """Switch to one fault by id; returns the new state. Raises LabError (404: not on the menu)."""
        return await self._ask("POST", "/fault", {"name": name})

    async def lift(self) -> dict[str, Any]:
        """Repair everything; returns the new state. Raises LabError."""
        return await self._ask("POST", "/lift")

    async def press(self, key: str, digits: str) -> dict[str, Any]:
        """Answer a ringing call and press keys; returns the new state. Raises LabError (409: not ringing)."""
        return await self._ask("POST", "/phone", {"key": key, "digits": digits})

    async def stop(self) -> None:
        """End every child and reap it: agents first, then the world."""
        children, self._children = self._children, []
        await asyncio.gather(*(_end(child) for child in reversed(children)))
        if self._client:
            await self._client.aclose()

    async def _start_servers(self) -> None:
        command = [sys.executable, "-m", "bot.lab.loopback.serve", str(self.world.folder), str(os.getpid())]
        errors = self.world.folder / "logs" / "servers.log"
        with errors.open("ab") as out:
            child = await self._spawn(command, env=dict(os.environ), stdout=asyncio.subprocess.PIPE, stderr=out)
        assert child.stdout is not None
        try:
            async with asyncio.timeout(READY_S):
                line = await child.stdout.readline()
        except TimeoutError as exc:
            raise LabError(f"the lab's servers were not ready after {READY_S:.0f} s; see {errors}") from exc
        if not line.startswith(b"READY "):
            said = await asyncio.to_thread(errors.read_text, errors="replace")
            raise LabError(f"the lab's servers did not start: {said.strip()[-500:] or 'no output'}")

    async def _spawn(self, command: list[str], *, env: Mapping[str, str], stdout: Any, stderr: Any) -> Any:
        # their own session: Ctrl-C reaches this process only, which then ends them in order
        child = await asyncio.create_subprocess_exec(
            *command,
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        self._children.append(child)
        return child

    async def _ask(self, method: str, path: str, given: Mapping[str, str] | None = None) -> dict[str, Any]:
        if self._client is None or self._client.is_closed:
            raise LabError("the lab is not running")
        try:
            answer = await self._client.request(method, path, json=given)
            content: dict[str, Any] = answer.json()
        except (httpx.HTTPError, json.JSONDecodeError) as exc:
            raise LabError(f"the lab's servers do not answer: {type(exc).__name__} {exc}") from exc
        if answer.status_code != 200:
            raise LabError(str(content.get("error")), status=answer.status_code)
        return content


def agent_command(world: World, place: AgentPlace, hub_url: str) -> list[str]:
    """The command line of one agent, as an operator would type it."""
    options = {
        "--hub": hub_url,
        "--name": place.name,
        "--region": place.region,
        "--vantage": place.vantage,
        "--env": place.env,
        "--vpc": place.vpc,
        "--cluster": place.cluster,
        "--policy": str(world.policy(place.name)),
    }
    given = [word for name, value in options.items() if value for word in (name, value)]
    return [sys.executable, "-m", "bot.cli", "agent", *given]


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    with suppress(ProcessLookupError):
        child.terminate()
    try:
        async with asyncio.timeout(GRACE_S):
            await child.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            child.kill()
        await child.wait()
