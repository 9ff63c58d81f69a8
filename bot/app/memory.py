"""What is remembered of incidents for the next one of the kind: written when one ends, read when one begins."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from bot.app.parts import Parts
from bot.app.ports import Tx
from bot.app.postmortem import knowing
from bot.app.postmortem.collect import collect
from bot.app.postmortem.facts import SURE, Facts, share_of
from bot.diagnosis.fingerprint import Fingerprint, fingerprint
from bot.diagnosis.rank import picture
from bot.diagnosis.replay import read
from bot.diagnosis.similar import Memory
from bot.domain.incident import Incident
from bot.domain.text import Text, join

log = logging.getLogger("warroom.memory")

NOTHING = Text("", "")
EARLIER = 1000
"""Incidents that are compared with, the latest."""
CAUGHT_UP = 20
"""Incidents of before this was remembered, at a time."""


async def remember(parts: Parts, tx: Tx, incident: Incident) -> None:
    """Keep what is known of the incident now, in place of what was."""
    await tx.memories.put(memory_of(await collect(parts, tx, incident)))


async def earlier(parts: Parts, tx: Tx, incident: str | None) -> Sequence[Memory]:
    """What is remembered of others, the newest first; those that ended before anything was remembered are caught up."""
    for one in await tx.memories.missing(limit=CAUGHT_UP):
        await remember(parts, tx, one)
    return [one for one in await tx.memories.recent(limit=EARLIER) if one.incident != incident]


def memory_of(facts: Facts) -> Memory:
    """What the record of an incident says of it."""
    incident, cause = facts.incident, knowing.cause(facts)
    final, told = facts.verdict(), knowing.marked(facts, knowing.CAUSE)
    named = join(list(cause.titles), zh="；同时，", en="; also: ") if cause is not None and cause.sure else NOTHING
    over = facts.recovered_at
    return Memory(
        incident=incident.id,
        title=incident.title,
        opened_at=incident.opened_at,
        service=incident.playbook or (final[0].playbook if final else ""),
        words=" ".join(word for word in (incident.title, incident.impact.text) if word),
        fingerprint=_print(facts),
        causes=tuple(final[1]["verdict"]) if final and share_of(final[1]) >= SURE else (),
        beliefs=beliefs(final[1]) if final else {},
        cause=join(list(told), zh="；", en="; ") if told else named,
        fix=join(list(knowing.marked(facts, knowing.FIX)), zh="；", en="; "),
        lasted_s=(over - incident.opened_at).total_seconds() if over else None,
    )


def beliefs(document: Mapping[str, Any]) -> Mapping[str, float]:
    """The shares of a run's hypotheses that are worth speaking of."""
    return {str(h["id"]): float(h["share"]) for h in document.get("hypotheses", ()) if h["share"] >= knowing.WORTH}


def print_of(name: str, document: Mapping[str, Any]) -> Fingerprint:
    """The fingerprint of a run by its document."""
    seen = read(name, document)
    return fingerprint(picture(seen.observations, seen.agents, seen.missing, seen.history))


def _print(facts: Facts) -> Fingerprint:
    """Of the run whose verdict stands; else of the last that saw something fail."""
    final = facts.verdict()
    runs = [final] if final else list(reversed(facts.found))
    for run, document in runs:
        try:
            found = print_of(run.id, document)
        except (KeyError, TypeError, ValueError) as exc:
            log.warning("run %s has no fingerprint: %s", run.id, exc)
            continue
        if found:
            return found
    return Fingerprint(failed={}, how={})
