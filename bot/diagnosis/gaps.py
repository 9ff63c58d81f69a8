"""What a run could not see, told apart: a silent vantage point, one that nobody runs, a probe that nobody may ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from bot.domain.probe import Agent

GapKind = Literal["agent", "place", "probe"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """One thing that is missing. `name` is an agent's, a "region/vantage" that is expected ("*" for any), or a kind's.

    `reason` is as the hub, the agent or the plan gave it, "" for an agent that was not there at all.
    """

    what: GapKind
    name: str
    reason: str = ""
    agent: Agent | None = None

    def to_json(self) -> dict[str, str]:
        """{"what", "name", "reason"}, as in the diag document."""
        return {"what": self.what, "name": self.name, "reason": self.reason}


def gaps(why: Mapping[str, str], agents: Sequence[Agent], unaskable: Sequence[str]) -> tuple[Gap, ...]:
    """The missing names of a run sorted into kinds; `unaskable` are the probe kinds among them."""
    known = {a.name: a for a in agents}
    out = []
    for name, reason in why.items():
        what: GapKind = "agent"
        if name not in known:
            what = "probe" if name in unaskable else "place" if "/" in name else "agent"
        out.append(Gap(what=what, name=name, reason=reason, agent=known.get(name)))
    return tuple(out)
