"""Recorded nights told again as investigations, so that their cards can be read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from bot.diagnosis.investigation import Investigation
from bot.diagnosis.plan import SERVICE_KINDS
from bot.diagnosis.replay import Recording
from bot.diagnosis.worth import candidates
from bot.domain.playbook import Expected, Playbook, Step
from bot.replaying import load
from tests.diagnosis.nights import HYPOTHESES, PLAYBOOKS

GOLDEN = Path(__file__).parents[1] / "golden"


def night(name: str) -> Recording:
    """A recording of the lab by its name."""
    return load(GOLDEN / f"{name}.json.gz")


def told(recording: Recording) -> Investigation:
    """The recording as the investigation it was, with the follow-ups that its verdict asks for."""
    asked = {seen.kind for seen in (*recording.observations, *recording.more)}
    agents = [replace(agent, kinds=tuple(sorted(asked))) for agent in recording.agents]
    run = Investigation(_playbook(recording), HYPOTHESES, agents, history=recording.history)
    for seen in recording.observations:
        run.take(seen)
    left = {seen.kind for seen in recording.more}
    while worth := candidates(run.verdict(), sorted(left)):
        left.discard(worth[0].kind)
        for seen in recording.more:
            if seen.kind == worth[0].kind:
                run.take(seen)
    return run


def _playbook(recording: Recording) -> Playbook:
    """The playbook's name and what it expects; all else a card says of it is that of "sms"."""
    wanted = [name.split("/") for name in recording.missing if "/" in name]
    expect = tuple(Expected(region=region, vantage=vantage) for region, vantage in wanted)
    kinds = {seen.kind for seen in recording.observations} | set(recording.missing)
    steps = tuple(Step(kind=kind, options={}) for kind in sorted(kinds & SERVICE_KINDS))
    return replace(PLAYBOOKS["sms"], name=recording.playbook, expect=expect, steps=steps)
