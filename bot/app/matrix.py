"""The region x vantage x layer matrix as a message block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from bot.app import words
from bot.diagnosis.cells import Cell
from bot.diagnosis.facts import Picture
from bot.domain.failure_words import failure_words
from bot.domain.layers import LAYERS
from bot.domain.message import CellState, Matrix, MatrixCell
from bot.domain.probe import Agent
from bot.domain.text import Text, percent, same


def matrix(seen: Picture, *, pending: frozenset[tuple[str, str]] = frozenset()) -> Matrix | None:
    """Rows are the layers somebody was asked about; None before anything was.

    `pending` are the (agent, layer)s still out.
    """
    cells = {(c.agent, c.layer): c for c in seen.cells}
    slow = {key: times for key, c in cells.items() if (times := _times_normal(c, seen))}
    asked = {layer for _, layer in cells} | {layer for _, layer in pending}
    rows = [layer for layer in LAYERS if layer.id in asked]
    if not rows or not seen.agents:
        return None
    agents = ordered(seen.agents)
    return Matrix(
        columns=tuple(_column(a, agents) for a in agents),
        groups=_groups(agents),
        rows=tuple(
            (
                layer.title + same(" *") if layer.pinned else layer.title,
                tuple(
                    _slow(cells[a.name, layer.id], slow[a.name, layer.id])
                    if (a.name, layer.id) in slow
                    else _cell(a, layer.id, cells, pending)
                    for a in agents
                ),
            )
            for layer in rows
        ),
    )


def ordered(agents: Sequence[Agent]) -> Sequence[Agent]:
    """The region with most vantage points first, those outside the cloud last; pod before VM."""
    size = Counter(a.region for a in agents)
    return sorted(agents, key=lambda a: (a.vantage == "outside", -size[a.region], a.region, _rank(a.vantage), a.name))


def _rank(vantage: str) -> int:
    order = ("pod", "vm", "vm2")
    return order.index(vantage) if vantage in order else len(order)


def _column(agent: Agent, agents: Sequence[Agent]) -> Text:
    twins = [a for a in agents if a.region == agent.region and a.vantage == agent.vantage]
    if len(twins) == 1:
        return words.vantage(agent.vantage)
    if len({a.env for a in twins}) == len(twins):
        return same(f"{agent.vantage} {agent.env}")
    return same(agent.name)


def _groups(agents: Sequence[Agent]) -> tuple[tuple[Text, int], ...]:
    groups: list[tuple[str, int]] = []
    for agent in agents:
        if groups and groups[-1][0] == agent.region:
            groups[-1] = (agent.region, groups[-1][1] + 1)
        else:
            groups.append((agent.region, 1))
    return tuple((same(region), n) for region, n in groups)


def _cell(
    agent: Agent, layer: str, cells: Mapping[tuple[str, str], Cell], pending: frozenset[tuple[str, str]]
) -> MatrixCell:
    cell = cells.get((agent.name, layer))
    if cell is None:
        if (agent.name, layer) in pending:
            return MatrixCell(state="pending", hint=Text("正在测", "being asked"))
        if agent.state != "ready":
            return MatrixCell(state="missing", text="?", hint=Text("观测点没有应答", "this agent does not answer"))
        before = cells.get((agent.name, "tcp")) if layer in ("tls", "http") else None
        if before is not None and before.red:
            return MatrixCell(
                state="none", hint=Text("没走到这一步：连接就失败了", "not reached: connecting failed before")
            )
        return MatrixCell(state="none", hint=Text("这里没有测", "not asked here"))
    return MatrixCell(state=_state(cell), text=_short(cell), hint=hint(cell))


def _times_normal(cell: Cell, seen: Picture) -> float | None:
    """How many times its normal time a cell takes that works and is slow; None for any other."""
    normal = seen.baselines.get((cell.agent, cell.layer))
    if normal is None or not normal.ms_p50 or cell.ms is None or cell.state != "up" or not normal.slow(cell.ms):
        return None
    return cell.ms / normal.ms_p50


def _slow(cell: Cell, times: float) -> MatrixCell:
    said = hint(cell) + Text(f"，是平时的 {times:.0f} 倍", f", {times:.0f} times what is normal")
    return MatrixCell(state="slow", text=f"{times:.0f}×", hint=said)


def _state(cell: Cell) -> CellState:
    states: Mapping[str, CellState] = {"up": "up", "down": "down", "lossy": "lossy", "denied": "denied"}
    return states.get(cell.state, "missing")


def _short(cell: Cell) -> str:
    return percent(cell.rate) if cell.state in ("lossy", "down") else ("" if cell.tries else "?")


def hint(cell: Cell) -> Text:
    """One line about a cell: tries, failures, typical time."""
    if not cell.tries:
        if cell.state == "denied":
            return Text("被观测点自己的策略拒绝", "refused by the agent's own policy")
        return Text("没有数据（观测点的问题）", "no data (the agent's own trouble)")
    said = Text(f"{cell.ok}/{cell.tries} 次成功", f"{cell.ok} of {cell.tries} tries worked")
    for name, count in sorted(cell.failures.items(), key=lambda f: -f[1])[:3]:
        word = failure_words(name)
        said += Text(f"；{word.zh} ×{count}", f"; {word.en} ×{count}")
    if cell.codes:
        said += same(f" ({', '.join(cell.codes[:2])})")
    if cell.ms is not None:
        said += same(f" · {cell.ms:.0f} ms" if cell.ms >= 1 else f" · {cell.ms:.1f} ms")
    return said
