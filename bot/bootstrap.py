"""The only place that constructs adapters and hands them to each other."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import json
import logging
import secrets
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, fields, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import uvicorn
from fastapi import FastAPI
from starlette.routing import Route

from bot.adapters import change_intake, oncall
from bot.adapters.agents import AgentDesk, websocket_routes
from bot.adapters.alerts import intake as alert_hooks
from bot.adapters.config import Config
from bot.adapters.console.follow import Follower
from bot.adapters.console.pages import Look
from bot.adapters.console.platform import ConsolePlatform
from bot.adapters.console.render import Renderer
from bot.adapters.console.routes import routes as console_routes
from bot.adapters.console.sessions import Sessions
from bot.adapters.heartbeat import Heartbeat
from bot.adapters.pagers import make as make_pager
from bot.adapters.playbooks import load_hypotheses, load_playbooks, read_playbook
from bot.adapters.postmortem import FileScribe
from bot.adapters.scheduler import Ticker
from bot.adapters.spool import FileSpool
from bot.adapters.store import SqlStore
from bot.adapters.store.alone import Alone
from bot.adapters.store.bell import Bell
from bot.adapters.store.engine import sqlite_file
from bot.adapters.web import Links, make_app
from bot.app import alerts, changes
from bot.app.admit import Gate
from bot.app.audit import EVERY_S, Auditor
from bot.app.chat_door import Door
from bot.app.degraded import Degraded
from bot.app.deliver import Deliverer
from bot.app.dispatch import merge_command
from bot.app.escalation import Escalator
from bot.app.failover import Failover
from bot.app.hold import Hold
from bot.app.page import phone_reported
from bot.app.page_result import page_recorded
from bot.app.parts import Parts
from bot.app.patrol import Patrol
from bot.app.poll_calls import EVERY_S as POLL_EVERY_S
from bot.app.poll_calls import CallPoller
from bot.app.ports import ChatDoor, ChatPlatform, Clock, HangsUp, Store, Tells
from bot.app.redact import Redactor
from bot.app.reminders import Reminders
from bot.app.resources import data_folder
from bot.app.service import Service
from bot.app.which_page import key_of
from bot.domain.alert import Alert
from bot.domain.change import Posted
from bot.domain.directory import SEVERITIES, Directory
from bot.domain.errors import ConfigError, StoreUnavailable, WarroomError
from bot.domain.log_filter import RewritingFilter
from bot.domain.page import Callback, CallStatus, Reported
from bot.domain.pager_kinds import hears
from bot.domain.probe import Agent
from bot.wire.nats import Subjects
from bot.wire.signing import Signer

if TYPE_CHECKING:
    from bot.adapters.agents.nats_dial import NatsAddress

T = TypeVar("T")
log = logging.getLogger("warroom")

SILENT_S = 15.0
"""A loop that has not looked at the database for so long is not alive."""
RUN_AGAIN_S = 2.0
DATABASE_S = 60.0
"""A database that is away at the start is waited for so long: a restart of it, or a fail-over, takes less."""
DATABASE_AGAIN_S = 1.0
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
        self._pagers = [make_pager(p, public_url=config.url) for p in config.pagers]
        deaf = {p.name for p in config.pagers if not hears(p, config.url)}
        self._tells = {p.name: p for p in self._pagers if p.name in deaf and isinstance(p, Tells)}
        feeds = oncall.Feeds(secret=kept.derived("calendar"), base_url=config.url, api_token=config.api_token)
        directory = _directory(config, clock.now())
        links = Links(secret=kept.derived("ack"), base_url=config.url)
        folder = config.playbooks or data_folder("playbooks")
        chat: dict[str, ChatPlatform] = {"console": self.platform}
        self.deliverer = Deliverer(
            store,
            chat,
            self._pagers,
            clock,
            lease_s=config.lease_s,
            poll_s=config.poll_s,
            recorded=lambda tx, row, result, incident: page_recorded(self.parts, tx, row, result, incident),
        )
        self.parts = Parts(
            store=store,
            agents=self.hub,
            chat=chat,
            clock=clock,
            playbooks=load_playbooks(folder),
            hypotheses=load_hypotheses(folder),
            people=directory.people,
            directory=directory,
            vendors=_vendor_rooms(config, directory),
            change_feed=bool(config.changes),
            alone=not config.several,
            mirror_on=config.mirrors,
            fallback_room=config.fallback_room,
            groups=config.groups,
            default_level=config.default_level,
            agents_meet_one_bot=config.several and config.nats is None,
            pagers=bool(self._pagers),
            lang=config.lang,
            timezone=config.timezone,
            public_url=config.url,
            meeting_url=config.meeting_url,
            ack_link=links.make,
            calendar_link=feeds.link,
            hang_up_by=frozenset(p.name for p in self._pagers if isinstance(p, HangsUp)),
            wake=self._wake_all,
            callback_url=f"{config.url}/hooks/phone/",
            scribe=FileScribe(config.templates),
        )
        self._hold = Hold(store, "wecom-bot", secrets.token_hex(8))
        self._platforms = chat_platforms(
            config,
            Door(self.parts),
            clock,
            holds=self._holds,
            severities=sorted(self.parts.directory.severities),
        )
        chat |= self._platforms
        self._ticker = Ticker()
        self._bell = Bell(config.database_url, self._look) if config.several else None
        self.escalator = Escalator(self.parts, lambda s: self._ticker.once(s, self.escalator.wake, name="escalation"))
        self.degraded = Degraded(
            self.parts,
            FileSpool(config.spool),
            self._pagers,
            {
                "alert": self._merge_alerts,
                "alerts": self._merge_alerts,
                "callback": self._merge_callback,
                "command": lambda row: merge_command(self.parts, row),
            },
        )
        self.parts.keep = self.degraded.keep
        self._alert_sources = {source.name: source for source in config.alerts}
        self.service = Service(self.parts, gate=gate, read_playbook=read_playbook)
        self._follower = Follower(self.platform, self.service.changed)
        self.app = make_app(
            service=self.service,
            api_token=config.api_token,
            routes=[
                *websocket_routes(self.hub),
                *change_intake.routes(config.changes, self._changed),
                *alert_hooks.routes(config.alerts, self._alerted),
                *(route for platform in self._platforms.values() for route in platform.routes()),
                *oncall.routes(feeds, self.service.shifts, lang=config.lang),
                *self._console(lab),
            ],
            phones={p.name: p for p in self._pagers},
            base_url=config.url,
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
        await patiently(self._gate.load)
        await patiently(self.service.prepare)
        stop = asyncio.Event()
        delivering = asyncio.create_task(self.deliverer.run(stop))
        nats = asyncio.create_task(self._nats(nats_address(self.config)))
        escalating = asyncio.create_task(self.escalator.run(stop))
        beside = [asyncio.create_task(work.run()) for work in (self._bell, self._follower) if self._bell and work]
        beside += [asyncio.create_task(_keep_running(name, p)) for name, p in self._platforms.items()]
        if self.config.heartbeat_url:
            beating = Heartbeat(self.config.heartbeat_url, every_s=self.config.heartbeat_s, trouble=self._trouble)
            beside.append(asyncio.create_task(beating.run()))
        self._ticks()
        try:
            yield
        finally:
            self._ticker.stop()
            nats.cancel()
            for task in beside:
                task.cancel()
            await asyncio.wait([nats], timeout=3)
            self.platform.close()
            await self.parts.jobs.close()
            stop.set()
            self._wake_all()
            await asyncio.wait([delivering, escalating], timeout=5)
            for platform in self._platforms.values():
                await platform.close()
            for pager in self._pagers:
                await pager.close()
            await self._let_go()
            await self._store.close()

    async def _holds(self) -> bool:
        return self.parts.alone or await self._hold.holds()

    async def _let_go(self) -> None:
        with contextlib.suppress(StoreUnavailable):
            if not self.parts.alone:
                await self._hold.release()

    def _wake_all(self) -> None:
        """Something was written: whoever sends, and whoever takes steps, looks at once."""
        self._look()
        if self._bell is not None:
            self._bell.ring()

    def _look(self) -> None:
        """Another bot may have written something."""
        self.deliverer.wake()
        self.escalator.wake()
        self._follower.wake()

    async def _trouble(self) -> str | None:
        """Why this bot could not call anybody just now, or None."""
        for name, silent_s in (("sends pages", self.deliverer.silent_s), ("takes steps", self.escalator.silent_s)):
            if silent_s() > max(SILENT_S, 5 * self.config.poll_s):
                return f"the loop that {name} has not looked for {silent_s():.0f} s"
        return await self._store.check()

    def _ticks(self) -> None:
        """Look for what is due now and then; the tables say what is."""
        self._ticker.every(max(1.0, self.config.poll_s), self.escalator.wake)
        self._ticker.every(1.0, self.degraded.wake)
        self._ticker.every(2.0, self._follower.wake)
        self._ticker.every(2.0, Failover(self.parts).wake)
        self._ticker.every(EVERY_S, Auditor(self.parts).wake)
        self._ticker.every(EVERY_S, Reminders(self.parts).wake)
        rules = self.config.patrol
        if rules.every:
            # Several times in each interval.
            self._ticker.every(min(15.0, rules.every.total_seconds() / 4), Patrol(self.parts, rules).wake)
        if self._tells:
            poller = CallPoller(self._store, self._tells, self._phone)
            self._ticker.every(POLL_EVERY_S, lambda: self.parts.jobs.once("poll-calls", poller.round))
        self._ticker.start()

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

    async def _phone(self, pager: str, said: Callback) -> Reported:
        try:
            return Reported.RECORDED if await self._reported(pager, said) else Reported.UNKNOWN
        except StoreUnavailable:
            # The provider will not say it again for as long as it takes: a pressed key is kept on the disk.
            row = {**asdict(said), "pager": pager, "page": said.key}
            ident = f"{pager}:{said.key}:{','.join(said.refs)}:{said.phone}:{said.status}:{said.digits}"
            if await self.degraded.keep("callback", ident, row):
                return Reported.KEPT
            raise

    async def _reported(self, pager: str, said: Callback) -> bool:
        key = await key_of(self.parts.store, said)
        if key is None:
            return False
        return await phone_reported(
            self.parts, pager=pager, key=key, status=said.status, digits=said.digits, by=said.by
        )

    async def _alerted(self, name: str, found: Sequence[Alert]) -> dict[str, object]:
        return await alerts.receive(self.parts, self._alert_sources[name], found)

    async def _merge_alerts(self, row: Mapping[str, Any]) -> None:
        source = self._alert_sources.get(row["source"])
        if source is None:
            raise ConfigError(f"[[alerts]] {row['source']} is not in the configuration any more")
        await alerts.merge(self.parts, source, row)

    async def _merge_callback(self, row: Mapping[str, Any]) -> None:
        known = {field.name for field in fields(Callback)}
        said = {**{k: v for k, v in row.items() if k in known}, "status": CallStatus(row["status"])}
        await self._reported(row["pager"], Callback(**{**said, "refs": tuple(row["refs"])}))

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


class OutsidePlatform(ChatPlatform, Protocol):
    """A chat platform with a connection of its own to keep, or requests to answer."""

    async def run(self) -> None:
        """Hold its connection until cancelled."""
        ...

    def routes(self) -> Sequence[Route]:
        """What it is called back at."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


def chat_platforms(
    config: Config,
    door: ChatDoor,
    clock: Clock,
    *,
    holds: Callable[[], Awaitable[bool]],
    severities: Sequence[str] = tuple(SEVERITIES),
) -> dict[str, OutsidePlatform]:
    """Those that are configured. Raises ConfigError where what they need is not installed.

    `severities` are offered where a form asks for one.
    """
    found: dict[str, OutsidePlatform] = {}
    try:
        if config.slack is not None:
            from bot.adapters.slack import SlackPlatform

            found["slack"] = SlackPlatform(
                config.slack, door, lang=config.lang, clock=clock, zone=config.timezone, severities=severities
            )
        if config.wecom is not None:
            from bot.adapters.wecom import WeComPlatform

            found["wecom"] = WeComPlatform(
                config.wecom,
                door,
                lang=config.lang,
                zone=config.timezone,
                holds=holds,
                public_url=config.public_url,
            )
    except ImportError as exc:
        hint = f"{exc.name} is not installed: pip install 'warroom-bot[slack,wecom]'"
        raise ConfigError(f"a chat platform is configured, and {hint}") from exc
    return found


async def _keep_running(name: str, platform: OutsidePlatform) -> None:
    """Its connection ends with the bot and for nothing else."""
    while True:
        try:
            await platform.run()
        except Exception:
            log.exception("%s: its connection is begun anew", name)
        await asyncio.sleep(RUN_AGAIN_S)


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
            if not seed:
                seed = await tx.settings.keep("hub_key", base64.b64encode(Signer().seed).decode())
            signer = Signer(base64.b64decode(seed))
            rows = json.loads(await tx.settings.get("agents") or "[]")
        return cls(signer=signer, agents=[_agent(row) for row in rows])


def alone_on(config: Config) -> Alone | None:
    """The lock on a SQLite file, taken; None for a database that several bots may use. Raises ConfigError."""
    file = sqlite_file(config.database_url)
    if file is None:
        return None
    alone = Alone(file)
    alone.take()
    return alone


async def patiently(work: Callable[[], Awaitable[T]], *, wait_s: float | None = None) -> T:
    """Do something with the database at the start; while that is away it is waited for, and the log says so.

    Raises StoreUnavailable when it is not back in time.
    """
    wait_s = DATABASE_S if wait_s is None else wait_s
    ends = time.monotonic() + wait_s
    while True:
        try:
            return await work()
        except StoreUnavailable as exc:
            if (left_s := ends - time.monotonic()) <= 0:
                raise StoreUnavailable(f"database: {exc}; waited {wait_s:g} s for it") from exc
            log.warning("%s; waiting for it for %.0f s more", exc, left_s)
            await asyncio.sleep(min(DATABASE_AGAIN_S, left_s))


async def open_store(config: Config, redactor: Redactor, *, wait_s: float | None = None) -> SqlStore:
    """The database, migrated if it is a SQLite file of our own.

    Raises ConfigError with the fix, StoreUnavailable when it is away for too long.
    """
    store = SqlStore(config.database_url, redactor=redactor, lang=config.lang, alone=alone_on(config))

    async def proven() -> None:
        if not config.several:
            await store.upgrade()
        await store.prove()

    try:
        await patiently(proven, wait_s=wait_s)
    except BaseException as exc:
        await store.close()
        if isinstance(exc, ConfigError):
            raise ConfigError(f"database: {exc}") from exc
        raise
    return store


async def build(config: Config, *, lab: Sequence[Route] = ()) -> Bot:
    """The bot, ready to serve. Raises ConfigError, PlaybookError, StoreUnavailable."""
    redactor = Redactor(config.secrets())
    for handler in logging.getLogger().handlers:
        handler.addFilter(RewritingFilter(redactor.text))
    store = await open_store(config, redactor)
    try:
        return Bot(config, store=store, kept=await patiently(lambda: Kept.load(store)), lab=lab)
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


def oncall_base(config: Config) -> oncall.Base:
    """What the configuration says beside the on-call files."""
    return oncall.Base(people=config.people, rooms=config.vendors, zone=config.timezone, lang=config.lang)


def _directory(config: Config, now: datetime) -> Directory:
    """Who can be asked. Raises ConfigError."""
    loaded = oncall.load(config.oncall, base=oncall_base(config), now=now)
    for note in loaded.notes if config.oncall else ():
        log.warning("on-call: %s", note)
    return loaded.directory


def _vendor_rooms(config: Config, directory: Directory) -> Mapping[str, str]:
    return {**config.vendors, **{v.name.lower(): v.room for v in directory.vendors.values() if v.room}}


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
