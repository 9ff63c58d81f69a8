"""The only place that constructs adapters and hands them to each other."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import uvicorn
from fastapi import FastAPI
from starlette.routing import Route

from bot.adapters import change_intake
from bot.adapters.agents import AgentDesk, websocket_routes
from bot.adapters.config import Config, PagerConfig
from bot.adapters.console.platform import ConsolePlatform
from bot.adapters.console.render import Renderer
from bot.adapters.console.routes import routes as console_routes
from bot.adapters.console.sessions import Sessions
from bot.adapters.console.web import Look
from bot.adapters.pager_webhook import WebhookPager, parse_callback, read_callback
from bot.adapters.playbooks import load_hypotheses, load_playbooks, read_playbook
from bot.adapters.scheduler import Ticker
from bot.adapters.store import SqlStore
from bot.adapters.web import Links, ReadCallback, make_app
from bot.app import changes
from bot.app.admit import Gate
from bot.app.deliver import Deliverer
from bot.app.page import phone_reported
from bot.app.parts import Parts
from bot.app.patrol import Patrol
from bot.app.ports import Store
from bot.app.redact import Redactor
from bot.app.resources import data_folder
from bot.app.service import Service
from bot.domain.change import Posted
from bot.domain.errors import ConfigError, StoreUnavailable, WarroomError
from bot.domain.log_filter import RewritingFilter
from bot.domain.page import Callback
from bot.domain.probe import Agent
from bot.domain.webhooks import BadSignature
from bot.wire.nats import Subjects
from bot.wire.signing import Signer

if TYPE_CHECKING:
    from bot.adapters.agents.nats_dial import NatsAddress

log = logging.getLogger("warroom")

KEEP_AGENTS_S = 0.5
"""Changes of the list of agents are written together this long after the first."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present moment, UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds on a clock that never steps."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class Bot:
    """The bot with everything in its place; `serve` runs it."""

    def __init__(self, config: Config, *, store: SqlStore, kept: Kept, lab: Sequence[Route]) -> None:
        self.config = config
        self._store = store
        self._server: uvicorn.Server | None = None
        clock = SystemClock()
        gate = Gate(store, clock, shared_token=config.agent_token, secret=kept.derived("invitations"))
        self._gate = gate
        self.hub = AgentDesk(signer=kept.signer, door=gate, known=kept.agents, on_change=self._agents_changed)
        self.platform = ConsolePlatform()
        self.sessions = Sessions(api_token=config.api_token, secret=kept.derived("session"))
        self._pagers = [WebhookPager(p.name, p.url, p.secret, timeout_s=p.timeout_s) for p in config.pagers]
        links = Links(secret=kept.derived("ack"), base_url=config.url)
        folder = config.playbooks or data_folder("playbooks")
        chat = {"console": self.platform}
        self.deliverer = Deliverer(store, chat, self._pagers, clock)
        self.parts = Parts(
            store=store,
            agents=self.hub,
            chat=chat,
            clock=clock,
            playbooks=load_playbooks(folder),
            hypotheses=load_hypotheses(folder),
            people={p.name: p for p in config.people},
            vendors=config.vendors,
            change_feed=bool(config.changes),
            alone=config.database_url.startswith("sqlite"),
            pagers=bool(self._pagers),
            lang=config.lang,
            timezone=config.timezone,
            public_url=config.url,
            ack_link=links.make,
            wake=self.deliverer.wake,
            callback_url=f"{config.url}/hooks/phone/",
        )
        senders = [change_intake.Sender(name=c.name, secret=c.secret, token=c.token) for c in config.changes]
        self.service = Service(self.parts, gate=gate, read_playbook=read_playbook)
        self.app = make_app(
            service=self.service,
            api_token=config.api_token,
            routes=[*websocket_routes(self.hub), *change_intake.routes(senders, self._changed), *self._console(lab)],
            callbacks={p.name: _reader(p) for p in config.pagers},
            phone_reported=self._phone,
            links=links,
            lifespan=self._lifespan,
        )

    def login_link(self, user: str = "engineer") -> str:
        """A link that signs somebody in to the console once, within 10 minutes."""
        return f"{self.config.url}/login?code={self.sessions.new_code(user)}"

    async def serve(self, listener: socket.socket, *, on_ready: Callable[[], None] = lambda: None) -> None:
        """Serve on a bound socket until SIGTERM or SIGINT, or until `stop` is called.

        Raises WarroomError when it could not begin.
        """
        server = uvicorn.Server(
            uvicorn.Config(
                self.app,
                log_config=None,
                access_log=False,
                ws="websockets-sansio",
                ws_max_size=512 * 1024,
                ws_ping_interval=10,
                ws_ping_timeout=10,
                ws_per_message_deflate=False,
                timeout_graceful_shutdown=3,
                server_header=False,
                lifespan="on",
            )
        )
        self._server = server
        serving = asyncio.create_task(_serve(server, listener))
        while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        if server.started:
            on_ready()
        await serving

    def stop(self) -> None:
        """End `serve`."""
        if self._server is not None:
            self._server.should_exit = True

    @asynccontextmanager
    async def _lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        await self._gate.load()
        await self.service.prepare()
        stop = asyncio.Event()
        delivering = asyncio.create_task(self.deliverer.run(stop))
        nats = asyncio.create_task(self._nats(nats_address(self.config)))
        ticker = self._patrols()
        try:
            yield
        finally:
            ticker.stop()
            nats.cancel()
            await asyncio.wait([nats], timeout=3)
            self.platform.close()
            await self.parts.jobs.close()
            stop.set()
            self.deliverer.wake()
            await asyncio.wait([delivering], timeout=5)
            for pager in self._pagers:
                await pager.close()
            await self._store.close()

    def _patrols(self) -> Ticker:
        """Look for due rounds several times in each interval; the table says which are."""
        ticker, rules = Ticker(), self.config.patrol
        if rules.every:
            ticker.every(min(15.0, rules.every.total_seconds() / 4), Patrol(self.parts, rules).wake)
        ticker.start()
        return ticker

    async def _nats(self, address: NatsAddress | None) -> None:
        """Be a hub on NATS as well, where the configuration names one."""
        if address is None:
            return
        from bot.adapters.agents.nats import NatsHub

        await NatsHub(self.hub, address).run()

    def _console(self, lab: Sequence[Route]) -> Sequence[Any]:
        parts, host = self.parts, self.config.host
        public = self.config.public_url.partition("://")[2].partition("/")[0].rpartition(":")
        hosts = {host, "127.0.0.1", "localhost", "::1", public[0] or public[2]} - {""}
        return console_routes(
            backend=self.service,
            platform=self.platform,
            sessions=self.sessions,
            allowed_hosts=hosts,
            renderer=Renderer(zone=self.config.timezone),
            look=Look(
                lang=self.config.lang,
                lab=bool(lab),
                secure=self.config.public_url.startswith("https://"),
                playbooks=lambda: [(p.name, p.title) for p in parts.playbooks.values()],
                stopping=lambda: self._server is not None and self._server.should_exit,
            ),
            protected=lab,
        )

    async def _phone(self, pager: str, said: Callback) -> bool:
        return await phone_reported(self.parts, pager=pager, key=said.key, status=said.status, digits=said.digits)

    async def _changed(self, posted: Posted) -> int:
        return await changes.take(self.parts, posted)

    def _agents_changed(self) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return
        self.parts.jobs.start(self._keep_agents(), key="keep-agents")

    async def _keep_agents(self) -> None:
        """Remember who was here: after a restart an agent that stays away is missing, not unheard of."""
        await asyncio.sleep(KEEP_AGENTS_S)
        rows = [_agent_row(a) for a in self.hub.agents()]
        try:
            async with self._store.begin() as tx:
                await tx.settings.put("agents", json.dumps(rows))
        except StoreUnavailable as exc:
            log.warning("the list of agents was not kept: %s", exc)


class Kept:
    """What an installation keeps between starts: the hub's key, and who its agents are."""

    def __init__(self, *, signer: Signer, agents: Sequence[Agent]) -> None:
        self.signer = signer
        self.agents = agents

    def derived(self, purpose: str) -> bytes:
        """A secret of its own for each purpose, from the one that is kept."""
        return hashlib.sha256(f"warroom:{purpose}:".encode() + self.signer.seed).digest()

    @classmethod
    async def load(cls, store: Store) -> Kept:
        """Read it, making the key on the first start. Raises StoreUnavailable."""
        async with store.begin() as tx:
            seed = await tx.settings.get("hub_key")
            signer = Signer(base64.b64decode(seed)) if seed else Signer()
            if not seed:
                await tx.settings.put("hub_key", base64.b64encode(signer.seed).decode())
            rows = json.loads(await tx.settings.get("agents") or "[]")
        return cls(signer=signer, agents=[_agent(row) for row in rows])


async def open_store(config: Config, redactor: Redactor) -> SqlStore:
    """The database, migrated if it is a SQLite file of our own. Raises ConfigError with the fix."""
    store = SqlStore(config.database_url, redactor=redactor, lang=config.lang)
    try:
        if config.database_url.startswith("sqlite"):
            await store.upgrade()
        problem = await store.check()
    except StoreUnavailable as exc:
        problem = str(exc)
    if problem is not None:
        await store.close()
        raise ConfigError(f"database: {problem}")
    return store


async def build(config: Config, *, lab: Sequence[Route] = ()) -> Bot:
    """The bot, ready to serve. Raises ConfigError, PlaybookError."""
    redactor = Redactor(config.secrets())
    for handler in logging.getLogger().handlers:
        handler.addFilter(RewritingFilter(redactor.text))
    store = await open_store(config, redactor)
    try:
        return Bot(config, store=store, kept=await Kept.load(store), lab=lab)
    except BaseException:
        await store.close()
        raise


async def _serve(server: uvicorn.Server, listener: socket.socket) -> None:
    try:
        await server.serve(sockets=[listener])
    except SystemExit as exc:
        # uvicorn's word for a lifespan that failed; it has logged why.
        raise WarroomError("the bot could not start; the log above says why") from exc


def listen(config: Config) -> tuple[socket.socket, Config]:
    """The bound socket, and the configuration with the port it got. Raises ConfigError when it is taken."""
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except OSError as exc:
        listener.close()
        raise ConfigError(
            f"cannot listen on {config.host}:{config.port}: {exc.strerror}; choose another server.listen"
        ) from exc
    listener.set_inheritable(False)
    return listener, replace(config, port=listener.getsockname()[1])


def _reader(pager: PagerConfig) -> ReadCallback:
    def read(headers: Mapping[str, str], body: bytes, secret: str) -> Callback:
        if not secret:
            return parse_callback(headers, body, [pager.secret])
        if not hmac.compare_digest(secret.encode(), pager.secret.encode()):
            raise BadSignature("the secret in the address is not this provider's")
        return read_callback(body)

    return read


def _agent_row(agent: Agent) -> dict[str, Any]:
    return {
        **agent.to_json(),
        "version": agent.version,
        "kinds": list(agent.kinds),
        "resolvers": {k: list(v) for k, v in agent.resolvers.items()},
        "last_seen": agent.last_seen.isoformat() if agent.last_seen else None,
    }


def _agent(row: Mapping[str, Any]) -> Agent:
    seen = row.get("last_seen")
    return Agent(
        name=row["name"],
        region=row["region"],
        vantage=row["vantage"],
        env=row["env"],
        vpc=row["vpc"],
        cluster=row["cluster"],
        state="lost",
        version=row["version"],
        kinds=tuple(row["kinds"]),
        resolvers={k: tuple(v) for k, v in row["resolvers"].items()},
        last_seen=datetime.fromisoformat(seen) if seen else None,
    )


def nats_address(config: Config) -> NatsAddress | None:
    """Where the bot is a hub on NATS; None where it is none. Raises ConfigError."""
    if config.nats is None:
        return None
    from bot.adapters.agents.nats_dial import NatsAddress

    try:
        tls = ssl.create_default_context(cafile=config.nats_ca_file or None) if config.nats.scheme == "tls" else None
    except OSError as exc:
        raise ConfigError(f"WARROOM_NATS_CA_FILE {config.nats_ca_file}: {exc}") from exc
    return NatsAddress(server=config.nats, login=config.nats_login, subjects=Subjects(config.nats_prefix), tls=tls)
