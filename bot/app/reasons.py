"""Why, by cause: the evidence of a double fault stands under the cause it speaks for, since one may deny the other."""

from __future__ import annotations

from dataclasses import dataclass

from bot.app.before import together_line
from bot.diagnosis.environments import environments
from bot.diagnosis.hypothesis import Ranked
from bot.diagnosis.investigation import Investigation
from bot.domain.failure_words import failure_words
from bot.domain.layers import BY_ID
from bot.domain.message import Bullets
from bot.domain.text import Text, percent

MOST = 6
"""Reasons for a single cause; each of two has half."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reasons:
    """What speaks for one cause, as the hypothesis argues; what fails where there is none."""

    cause: Ranked | None
    items: tuple[Text, ...]


def reasons(run: Investigation) -> tuple[Reasons, ...]:
    """One for each named cause, strongest evidence only; without a cause, what is red."""
    leaders = run.verdict().leaders()
    together = environments(run.picture())
    shared = (together_line(together),) if together else ()
    if not leaders:
        found = (*_red(run), *shared)
        return (Reasons(cause=None, items=found),) if found else ()
    most = MOST // len(leaders)
    groups = [Reasons(cause=leader, items=_speaking_for(leader, most)) for leader in leaders]
    if len(groups) == 1:
        return (Reasons(cause=leaders[0], items=(*groups[0].items, *shared)),)
    return (*groups, Reasons(cause=None, items=shared)) if shared else tuple(groups)


def blocks(run: Investigation) -> list[Bullets]:
    """The reasons as the card shows them."""
    groups = [group for group in reasons(run) if group.items]
    named = [group for group in groups if group.cause is not None]
    return [Bullets(items=group.items, label=_label(group, named)) for group in groups]


def flat(run: Investigation) -> tuple[Text, ...]:
    """All of them in one list, each said once."""
    return tuple(dict.fromkeys(item for group in reasons(run) for item in group.items))


def _label(group: Reasons, named: list[Reasons]) -> Text:
    if group.cause is None:
        return Text("环境", "Environments") if named else Text("看到的异常", "What fails")
    if len(named) == 1:
        return Text("为什么", "Why")
    title = group.cause.title
    return Text(f"为什么：{title.zh}", f"Why: {title.en}")


def _speaking_for(leader: Ranked, most: int) -> tuple[Text, ...]:
    mine = [f for f in leader.findings if f.holds and f.weight > 0]
    strongest = sorted(mine, key=lambda f: -f.weight)[:most]
    return tuple(dict.fromkeys(f.text for f in mine if f in strongest))


def _red(run: Investigation) -> tuple[Text, ...]:
    """What failed where, worst first."""
    reds = sorted((c for c in run.picture().cells if c.red), key=lambda c: (c.rate, c.agent, c.layer))
    lines = []
    for cell in reds[:MOST]:
        failure = failure_words(cell.failure)
        layer = BY_ID[cell.layer].title
        where = f"{cell.region} {cell.vantage}"
        lines.append(
            Text(
                f"{where}：{layer.zh} 成功 {percent(cell.rate)}（{failure.zh}）",
                f"{where}: {layer.en} {percent(cell.rate)} succeed ({failure.en})",
            )
        )
    return tuple(lines)
