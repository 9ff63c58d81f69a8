"""A real `warroom serve` with a phone provider, and what is put into its database: steps and pages that fall due."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
from sqlalchemy import func, select

from bot.adapters.store import SqlStore
from bot.adapters.store.tables import outbox
from bot.app.outgoing import page_row
from bot.domain.escalation import Escalation
from bot.domain.incident import Incident, IncidentState
from bot.domain.page import CallMade, CallState, Page, Person
from tests.bench.phone import Phone, phone
from tests.own_postgres import OwnPostgres
from tests.serving import environ, free_port

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
DATABASES = ("SQLite", "PostgreSQL")
LIN = Person(name="lin", phone="+8613800000001")
FAR = timedelta(days=1)


@dataclass(kw_only=True)
class Bench:
    """A bot that can be killed and started, its phone provider and its database."""

    folder: Path
    database: str
    phone: Phone
    postgres: OwnPostgres | None = None
    _port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None
    _made: int = 0

    def start(self) -> None:
        """Start the bot and wait until it serves."""
        with (self.folder / "serve.log").open("ab") as log:
            command = [sys.executable, "-m", "bot.cli", "serve"]
            self._process = subprocess.Popen(command, cwd=self.folder, env=self._env(), stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{self._port}/healthz", trust_env=False).status_code == 200:
                    return
            time.sleep(0.02)
        raise TimeoutError((self.folder / "serve.log").read_text())

    def end(self, how: int = signal.SIGTERM) -> None:
        """Stop it, or kill it."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(timeout=30)
            self._process = None

    def configure(self, *, poll_s: float = 1.0) -> None:
        """Write warroom.toml; a PostgreSQL is brought to the present shape."""
        (self.folder / "warroom.toml").write_text(
            f'[server]\nlisten = "127.0.0.1:{self._port}"\nlanguage = "en"\n[database]\nurl = "{self.database}"\n'
            f'[delivery]\npoll_s = {poll_s}\n[patrol]\nevery = "off"\n'
            f'[[pagers]]\nname = "phone"\nkind = "webhook"\nurl = "{self.phone.url}/call"\n'
            f'[[people]]\nname = "{LIN.name}"\nphone = "{LIN.phone}"\n'
        )
        upgrade = [sys.executable, "-m", "bot.cli", "db", "upgrade"]
        subprocess.run(upgrade, cwd=self.folder, env=self._env(), check=True, capture_output=True)

    def steps(self, dues: list[datetime]) -> dict[str, datetime]:
        """Incidents whose next step is due at these moments: {the key of its page: when it is due}."""
        return asyncio.run(self._steps(dues))

    def pages(self, count: int, *, in_s: float) -> tuple[list[Page], datetime]:
        """Queued pages, each of an incident of its own, that are all due at one moment; and that moment."""
        return asyncio.run(self._pages(count, in_s))

    async def _steps(self, dues: list[datetime]) -> dict[str, datetime]:
        found = {}
        async with self._store() as store, store.begin() as tx:
            for due in dues:
                incident = await tx.incidents.open(self._incident())
                state = Escalation(
                    incident=incident.id, policy="default", first="default", severity="sev1", started_at=due, due_at=due
                )
                await tx.escalations.begin(state)
                found[f"{incident.id}:1:{LIN.name}:1"] = due
        return found

    async def _pages(self, count: int, in_s: float) -> tuple[list[Page], datetime]:
        made: list[Page] = []
        async with self._store() as store:
            while len(made) < count:
                async with store.begin() as tx:
                    for _ in range(min(50, count - len(made))):
                        incident = await tx.incidents.open(self._incident())
                        page = _page(incident)
                        await tx.outbox.add(page_row(page, due_at=datetime.now(UTC) + FAR))
                        await tx.calls.add(_call(page))
                        made.append(page)
            async with store.begin() as tx:
                due = datetime.now(UTC) + timedelta(seconds=in_s)
                mine = outbox.c.key.in_([page.key for page in made])
                await tx.outbox._session.connection.execute(outbox.update().where(mine).values(due_at=due))
        return made, due

    def waiting(self) -> int:
        """Rows that are to be sent."""
        return asyncio.run(self._waiting())

    async def _waiting(self) -> int:
        async with self._store() as store, store.begin() as tx:
            statement = select(func.count()).select_from(outbox).where(outbox.c.state == "pending")
            return int(await tx.outbox._session.connection.scalar(statement) or 0)

    def _incident(self) -> Incident:
        self._made += 1
        room = f"console:room-{self._made % 50}"
        return Incident(
            id="",
            title="SMS is down",
            severity="sev1",
            state=IncidentState.DECLARED,
            room=room,
            origin_room=room,
            opened_at=datetime.now(UTC),
            opened_by="bench",
        )

    @contextlib.asynccontextmanager
    async def _store(self) -> AsyncIterator[SqlStore]:
        url = self.database.replace("sqlite:///", f"sqlite:///{self.folder}/")
        store = SqlStore(url, timeout_s=60)
        try:
            yield store
        finally:
            await store.close()

    def _env(self) -> dict[str, str]:
        return environ(WARROOM_API_TOKEN="bench", WARROOM_PAGER_PHONE_SECRET=SECRET)


def _page(incident: Incident) -> Page:
    return Page(
        key=f"{incident.id}:0:{LIN.name}:1",
        incident=incident.id,
        severity=incident.severity,
        title=incident.title,
        text=f"{incident.severity} {incident.title}. Press 1 to acknowledge, 2 to escalate.",
        person=LIN,
        step=0,
        attempt=1,
        epoch=0,
        callback_url="http://127.0.0.1/hooks/phone/",
        ack_url="http://127.0.0.1/ack/0123456789abcdef0123456789abcdef/INC-1:0:lin:1",
    )


def _call(page: Page) -> CallMade:
    return CallMade(
        key=page.key,
        incident=page.incident,
        step=0,
        person=page.person.name,
        ways=("phone",),
        state=CallState.QUEUED,
        queued_at=datetime.now(UTC),
    )


@contextlib.contextmanager
def bench(database: str) -> Iterator[Bench]:
    """A folder, a provider, and for PostgreSQL a cluster of our own; the bot is not started yet."""
    with tempfile.TemporaryDirectory(prefix="warroom-bench-") as name, phone(free_port()) as provider:
        folder = Path(name)
        if database == "SQLite":
            url, own = "sqlite:///warroom.db", None
        else:
            folder.chmod(0o755)
            (folder / "pg").mkdir()
            port = free_port()
            own = OwnPostgres(folder / "pg", port)
            own.make(["--auth=trust"])
            own.start()
            url = f"postgresql://warroom@127.0.0.1:{port}/postgres"
        one = Bench(folder=folder, database=url, phone=provider, postgres=own)
        try:
            yield one
        finally:
            one.end(signal.SIGKILL)
            if own is not None:
                own.stop()
