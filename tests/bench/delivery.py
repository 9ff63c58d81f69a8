"""Pages: how soon one that is due is with the provider, how soon a thousand are, how soon after a kill or an outage.

Everything goes through a real `warroom serve` and, beside it, through the least program that could do the same: a timer
and a pooled httpx client that remember nothing. Arrival is by the provider's clock, the same for both.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from statistics import median, quantiles

import httpx

from bot.adapters.pagers.webhook import document
from bot.domain.page import Page
from bot.domain.webhooks import headers
from tests.bench.paging import DATABASES, SECRET, Bench, bench
from tests.bench.phone import Phone
from tests.bench.table import Effort, Row, below

DUE_MS, TIMES, KILLED_S, RETURNED_S = 100.0, 1.3, 12.0, 2.0
SPACED_S = 0.3
LEASE_S = 10.0
POLL_S = 0.05
"""For pages that are all due at one moment: otherwise they wait up to a second to be looked for."""
AWAY_S = 5.0


def due(effort: Effort) -> Iterable[Row]:
    """A step of an escalation falls due: until its page is with the provider."""
    count = 25 if effort.rounds > 1 else 5
    for database in DATABASES:
        ours: list[float] = []
        peer: list[float] = []
        with bench(database) as one:
            one.configure()
            one.start()
            for _ in range(effort.rounds):
                start = datetime.now(UTC) + timedelta(seconds=2.5)
                dues = [start + timedelta(seconds=SPACED_S * n) for n in range(count)]
                keys = one.steps(dues)
                seen = one.phone.until(keys, 30 + count * SPACED_S)
                ours += [(seen[key][0] - at.timestamp()) * 1000 for key, at in keys.items()]
                one.phone.tell("forget")
                peer += asyncio.run(_timers(one.phone, count))
                one.phone.tell("forget")
        yield below(
            f"due step to POST, {database}: p99",
            _p99(ours),
            DUE_MS,
            unit="ms",
            peer=_p99(peer),
            peer_name="a timer and httpx",
            note=f"median {median(ours):.3g} ms (peer {median(peer):.3g}), {len(ours)} steps, {SPACED_S:g} s apart",
        )


def thousand(effort: Effort) -> Iterable[Row]:
    """So many pages that are due at one moment: until the last one is with the provider."""
    count = 1000 if effort.rounds > 1 else 20
    for database in DATABASES:
        rounds: list[tuple[float, float]] = []
        with bench(database) as one:
            one.configure(poll_s=POLL_S)
            one.start()
            for _ in range(effort.rounds):
                pages, at = one.pages(count, in_s=1.5)
                seen = one.phone.until([page.key for page in pages], 120)
                mine = max(seen[page.key][0] for page in pages) - at.timestamp()
                one.phone.tell("forget")
                _until_quiet(one)
                theirs = asyncio.run(_all_at_once(one.phone, pages))
                one.phone.tell("forget")
                rounds.append((mine, theirs))
        ratio = median(mine / theirs for mine, theirs in rounds)
        yield Row(
            row=f"{count:,} pages due at once, {database}",
            unit="s",
            ours=_figures(median(mine for mine, _ in rounds)),
            peer=_figures(median(theirs for _, theirs in rounds)),
            peer_name="bare pooled httpx",
            ratio=_figures(ratio),
            goal=f"<= {TIMES:g} x peer",
            met=ratio <= TIMES,
            note=f"to the last POST; ours looks at the incident before each and records it; poll {POLL_S * 1000:g} ms",
        )


def killed(effort: Effort) -> Iterable[Row]:
    """Killed with a page at the provider and no answer yet: until the next bot sends the same key."""
    for database in DATABASES:
        ours, peer = [], []
        with bench(database) as one:
            one.configure()
            for _ in range(min(3, effort.rounds)):
                one.start()
                one.phone.tell("hold")
                (page,), _ = one.pages(1, in_s=0.0)
                one.phone.until([page.key], 30)
                one.end(signal.SIGKILL)
                began = time.time()
                one.phone.tell("release")
                one.start()
                ready = time.time() - began
                ours.append(_again(one.phone, page.key, began))
                one.end()
                one.phone.tell("forget")
                peer.append(LEASE_S + ready)
        yield below(
            f"resume after kill -9, {database}",
            median(ours),
            KILLED_S,
            unit="s",
            peer=median(peer),
            peer_name="the lease, then a start",
            note=f"lease {LEASE_S:g} s; worst of {len(ours)}: {max(ours):.3g} s; the key is the same",
        )


def returned(effort: Effort) -> Iterable[Row]:
    """A step falls due while the database is away: from its return until the page is with the provider."""
    for database in DATABASES:
        ours, peer = [], []
        with bench(database) as one:
            one.configure()
            one.start()
            for _ in range(effort.rounds):
                keys = one.steps([datetime.now(UTC) + timedelta(seconds=1.5)])
                with _away(one):
                    time.sleep(AWAY_S)
                    probing = time.time()
                back = time.time()
                (key,) = keys
                seen = one.phone.until([key], 60)
                ours.append(max(0.001, seen[key][0] - back))
                peer.append(back - probing if one.postgres else 0.0)
                one.phone.tell("forget")
        yield below(
            f"resume after the database returns, {database}",
            median(ours),
            RETURNED_S,
            unit="s",
            peer=median(peer),
            peer_name="its own start" if database == "PostgreSQL" else "giving up its lock",
            note=f"away for {AWAY_S:g} s; worst of {len(ours)}: {max(ours):.3g} s",
        )


@contextlib.contextmanager
def _away(one: Bench) -> Iterator[None]:
    """PostgreSQL crashes and is started again; a SQLite file is locked by somebody else."""
    if one.postgres is not None:
        one.postgres.stop()
        yield
        one.postgres.start()
        return
    with contextlib.closing(sqlite3.connect(one.folder / "warroom.db", timeout=30, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


def _again(phone: Phone, key: str, began: float) -> float:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        later = [at for at in phone.seen().get(key, []) if at > began]
        if later:
            return later[0] - began
        time.sleep(0.05)
    raise TimeoutError(f"{key} is not sent again")


def _until_quiet(one: Bench) -> None:
    """The bot goes on recording and drawing cards: that must not slow the peer down."""
    deadline = time.monotonic() + 60
    while one.waiting() and time.monotonic() < deadline:
        time.sleep(0.2)


async def _timers(phone: Phone, count: int) -> list[float]:
    """Milliseconds from a moment to the arrival of a POST that a bare timer sends then."""
    start = time.time() + 0.5
    dues = {f"peer-{n}": start + SPACED_S * n for n in range(count)}
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:

        async def send(key: str, at: float) -> None:
            await asyncio.sleep(at - time.time())
            await client.post(f"{phone.url}/call", headers={"idempotency-key": key}, content=b"{}")

        await asyncio.gather(*(send(key, at) for key, at in dues.items()))
    seen = phone.seen()
    return [(seen[key][0] - at) * 1000 for key, at in dues.items()]


async def _all_at_once(phone: Phone, pages: Sequence[Page]) -> float:
    """Seconds until the last of the same POSTs has arrived, by a client that does nothing else."""
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(trust_env=False, timeout=60, limits=limits) as client:
        began = time.time()

        async def send(page: Page) -> None:
            body = json.dumps(document(page)).encode()
            signed = headers(SECRET, id=page.key, timestamp=int(time.time()), body=body)
            sent = {**signed, "idempotency-key": page.key, "content-type": "application/json"}
            await client.post(f"{phone.url}/call", headers=sent, content=body)

        await asyncio.gather(*(send(page) for page in pages))
    return max(times[0] for times in phone.seen().values()) - began


def _p99(values: Sequence[float]) -> float:
    return quantiles(values, n=100, method="inclusive")[98]


def _figures(value: float) -> float:
    return float(f"{value:.3g}")
