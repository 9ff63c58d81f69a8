"""`from PLACE`: which agents are asked when somebody says "shanghai vm, office"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bot.domain.command import unknown
from bot.domain.errors import UserError
from bot.domain.probe import Agent
from bot.domain.text import Text

ALL = "all"
FIELDS = ("name", "region", "vantage", "env", "vpc", "cluster")
MANY = 30
"""With more agents than this and no place named, one of each kind of place is asked."""
_OR = re.compile("[,，、]")


@dataclass(frozen=True, kw_only=True, slots=True)
class Chosen:
    """The agents that are meant, silent ones among them. `left_out` counts those a sample left out."""

    agents: tuple[Agent, ...]
    left_out: int = 0


def choose(where: str, agents: Sequence[Agent]) -> Chosen:
    """The agents of a place. Raises UserError for a place nobody knows, and where nobody is connected.

    Words narrow ("shanghai vm" is the VM in Shanghai), words of one sort and commas widen ("shanghai guangzhou",
    "shanghai vm, office"). Nothing said means everybody, as far as one table can show them.
    """
    found = list(agents)
    if where:
        named = [a for part in _OR.split(where) if part.strip() for a in _part(part.split(), agents)]
        found = [a for a in agents if a in named]
    if not any(a.state == "ready" for a in found):
        raise _nobody(where)
    if where or len(found) <= MANY:
        return Chosen(agents=tuple(found))
    sample = _one_of_each(found)
    return Chosen(agents=sample, left_out=len(found) - len(sample))


def _part(words: Sequence[str], agents: Sequence[Agent]) -> Sequence[Agent]:
    """The agents that some words mean together."""
    by_field: dict[str, set[str]] = {}
    for word in (w.lower() for w in words):
        if word == ALL:
            continue
        sort = next((f for f in FIELDS if any(getattr(a, f).lower() == word for a in agents)), None)
        if sort is None:
            known = sorted({getattr(a, f) for a in agents for f in FIELDS if getattr(a, f)})
            regions = ", ".join(sorted({a.region for a in agents})) or "-"
            hint = Text(f"/agents 列出全部，地域有：{regions}", f"/agents lists them; regions are: {regions}")
            raise unknown(Text("地点", "place"), word, known, hint)
        by_field.setdefault(sort, set()).add(word)
    found = [a for a in agents if all(any(_is(a, word) for word in group) for group in by_field.values())]
    if not found:
        said = " ".join(words)
        raise UserError(
            "no_such_place",
            Text(
                f"没有哪个观测点同时符合 “{said}”；/agents 列出全部，多个地点用逗号隔开",
                f'no agent is all of "{said}"; /agents lists them, and commas separate several places',
            ),
        )
    return found


def _is(agent: Agent, word: str) -> bool:
    return any(getattr(agent, field).lower() == word for field in FIELDS)


def _one_of_each(agents: Sequence[Agent]) -> tuple[Agent, ...]:
    """A ready agent for every kind of place, and the first silent one where none is ready."""
    kept: dict[tuple[str, ...], Agent] = {}
    for agent in sorted(agents, key=lambda a: a.state != "ready"):
        kept.setdefault((agent.region, agent.vantage, agent.env, agent.vpc, agent.cluster), agent)
    return tuple(a for a in agents if a in kept.values())


def _nobody(where: str) -> UserError:
    at = Text(f"“{where}” 处", f' at "{where}"') if where and where.lower() != ALL else Text("", "")
    return UserError(
        "no_agents",
        Text(
            f"{at.zh}没有在线的观测点；先在那里运行 warroom agent，/agents 可以看到它们",
            f"no agent is connected{at.en}; run `warroom agent` where you want to look from, /agents shows them",
        ),
    )
