"""Patrols: a light round of every playbook now and then, kept as what is normal, and spoken of when it will not be.

The table says what is due and who is on it, so that of several bots one goes at a time; whatever wakes `Patrol` up
only makes it look.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.app.alarm import ACTOR, consider
from bot.app.gather import Gathering
from bot.app.parts import Parts, Then, record, say
from bot.app.ports import Tx
from bot.app.rooms import room_of
from bot.diagnosis.baseline import samples_of
from bot.diagnosis.deep import deep
from bot.diagnosis.investigation import Investigation
from bot.diagnosis.notices import Notice, notices
from bot.domain.errors import StoreUnavailable
from bot.domain.incident import EntryKind
from bot.domain.message import Header, Message
from bot.domain.patrol import PatrolClaim, PatrolRules, Round
from bot.domain.playbook import Playbook
from bot.domain.probe import Observation
from bot.domain.text import Text

log = logging.getLogger("warroom.patrol")

DEADLINE_S = 45.0
"""A round may take so long: under 2 queries/s, a VPC with many vantage points is not asked in a moment."""
DEEP_S = 20.0
LEASE = timedelta(seconds=DEADLINE_S + DEEP_S + 25)
DEEP_EVERY = timedelta(minutes=30)
PRUNE_EVERY = timedelta(hours=1)
JOB = "patrol"


class _SupersededError(Exception):
    """Our lease ended before we did, and another bot is on this patrol: nothing of ours is written."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    done: Round
    observations: Sequence[Observation]


class Patrol:
    """One bot's part in patrolling."""

    def __init__(self, parts: Parts, rules: PatrolRules) -> None:
        self._parts = parts
        self._rules = rules
        self._owner = secrets.token_hex(8)
        """A new one for each boot: after a restart we are somebody else."""

    def wake(self) -> None:
        """Look in the background whether a round is due; nothing while one of ours is under way."""
        self._parts.jobs.once(JOB, self.go)

    async def go(self) -> bool:
        """Do the round that has been due longest, if one is and nobody is on patrol; False when there was none."""
        if not any(a.state == "ready" for a in self._parts.agents.agents()):
            return False  # another bot may have the agents
        try:
            claim = await self._claim()
            if claim is None:
                return False
            await self._round(claim, self._parts.playbooks[claim.playbook])
        except StoreUnavailable as exc:
            log.warning("no patrol just now: %s", exc)
            return False
        return True

    async def _claim(self) -> PatrolClaim | None:
        rules, known = self._rules, self._parts.playbooks
        names = [name for name in known if not rules.playbooks or name in rules.playbooks]
        async with self._parts.store.begin() as tx:
            return await tx.patrols.claim(names, owner=self._owner, every=rules.every, lease=LEASE)

    async def _round(self, claim: PatrolClaim, playbook: Playbook) -> None:
        seen = await self._look(playbook)
        then: Then | None = None
        try:
            async with self._parts.store.begin() as tx:
                then = await self._record(tx, claim, playbook, seen)
        except _SupersededError:
            log.warning("the patrol of %s took too long; another bot did it meanwhile", playbook.name)
            return
        self._parts.wake()
        if then is not None:
            await then()

    async def _look(self, playbook: Playbook) -> _Seen:
        agents = self._parts.agents.agents()
        investigation = Investigation(playbook, self._parts.hypotheses, agents, light=True)
        gathering = Gathering(self._parts, investigation, deadline_s=DEADLINE_S)
        try:
            await gathering.answered(_no_redraw)
        finally:
            gathering.close()
        observations = list(investigation.observations())
        ready = [a for a in agents if a.state == "ready"]
        if ready and await self._first(f"deep:{playbook.name}", DEEP_EVERY):
            asked = deep(playbook, ready)
            observations += [o async for o in self._parts.agents.ask(asked, deadline_s=DEEP_S)]
        seen, at = investigation.picture(), self._parts.clock.now()
        red = len({c.agent for c in seen.cells if c.red})
        done = Round(playbook=playbook.name, at=at, samples=samples_of(seen.parts, at), red_agents=red)
        return _Seen(done=done, observations=observations)

    async def _record(self, tx: Tx, claim: PatrolClaim, playbook: Playbook, seen: _Seen) -> Then | None:
        at = seen.done.at
        if seen.done.samples:
            await tx.patrols.keep(seen.done)
        alarm = await consider(self._parts, tx, self._rules, claim, playbook, at=at)
        for notice in notices(seen.observations, self._rules, now=at):
            await self._tell(tx, notice, at=at)
        if await tx.inbox.first(_slot("prune", at, PRUNE_EVERY), at=at):
            await tx.patrols.prune()
        if not await tx.patrols.finish(replace(claim, incident=alarm.incident)):
            raise _SupersededError
        return alarm.then

    async def _tell(self, tx: Tx, notice: Notice, *, at: datetime) -> None:
        """Say it in the main room and on the timeline, once a day of the team's calendar."""
        parts = self._parts
        if not await tx.inbox.first(f"notice:{parts.local(at):%Y-%m-%d}:{notice.key}", at=at):
            return
        room = await room_of(parts, tx, self._rules.room)
        said = Text(f"提前提醒：{notice.text.zh}", f"before it breaks: {notice.text.en}")
        data = {"key": notice.key, "number": notice.number, "limit": notice.limit}
        await record(tx, EntryKind.NOTICE, said, at=at, room=room.key, actor=ACTOR, data=data)
        message = Message(key=parts.new_id("msg"), room=room.key, blocks=(Header(text=said, tone="warn"),))
        await say(parts, tx, message)

    async def _first(self, what: str, every: timedelta) -> bool:
        """True once in each stretch of time, whichever bot asks."""
        now = self._parts.clock.now()
        async with self._parts.store.begin() as tx:
            return await tx.inbox.first(_slot(what, now, every), at=now)


def _slot(what: str, at: datetime, every: timedelta) -> str:
    return f"{what}:{int(at.timestamp() // every.total_seconds())}"


async def _no_redraw(_pending: frozenset[tuple[str, str]]) -> None:
    return
