"""One compact table for a `/probe`: a row for each agent, and nothing that could be read as green but is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.app import words
from bot.app.matrix import ordered
from bot.app.probe_facts import is_number, measured, said, share, short_ms, timings
from bot.diagnosis.probing import Probing
from bot.domain.message import Block, Button, Buttons, Header, Paragraph, Progress, Table, Tone
from bot.domain.probe import Agent, Json, Observation
from bot.domain.text import Lang, Text, join, percent, same

MAX_ROWS = 30
"""Rows that a phone may be asked to scroll through; failing ones come first when there are more."""
MAX_TRACES = 3
MAX_HOPS = 30
COLUMNS = (Text("观测点", "vantage point"), Text("成功", "ok"), Text("毫秒", "ms"), Text("结果", "what"))

HOPS = (Text("跳", "hop"), Text("地址", "address"), Text("丢包", "loss"), Text("毫秒", "ms"))


@dataclass(frozen=True, kw_only=True, slots=True)
class Tally:
    """How many agents saw what."""

    good: tuple[Agent, ...]
    bad: tuple[Agent, ...]
    blind: tuple[Agent, ...]
    """Those who could not measure, for want of leave, means or life."""


def tally(run: Probing) -> Tally:
    """Who saw it work, who saw it fail, and who saw nothing."""
    seen = {o.agent: o for o in run.observations()}
    asked = [a for a in ordered(run.agents) if a.name not in run.not_asked]
    blind = [a for a in asked if a.name in run.missing() or a.name not in seen or not measured(seen[a.name])]
    rest = [a for a in asked if a not in blind]
    return Tally(
        good=tuple(a for a in rest if seen[a.name].ok),
        bad=tuple(a for a in rest if not seen[a.name].ok),
        blind=tuple(blind),
    )


def progress_card(run: Probing, lang: Lang) -> tuple[Block, ...]:
    """While agents work: how many are done, and the table as it fills in."""
    title = _title(run)
    head = Header(text=Text(f"正在测 {title}", f"probing: {title}"), tone="busy", sub=same(run.asked.line()))
    places = words.count(run.total, "个观测点", "vantage point")
    asking = Text(f"问 {places.zh}", f"asking {places.en}")
    return head, Progress(done=run.done, total=run.total, text=asking), *_tables(run, lang, over=False)


def answer_card(run: Probing, lang: Lang, *, took_s: float, incident: str | None) -> tuple[Block, ...]:
    """The answer: one line, the table, and what is not in it."""
    took = words.duration(took_s)
    parts = [same(run.asked.line()), *([same(incident)] if incident else [])]
    sub = join(parts, zh=" · ", en=" · ") + Text(f" · 用时 {took.zh}", f" · took {took.en}")
    counts = tally(run)
    again = Button(label=Text("再测一次", "Ask again"), command=run.asked.line())
    return (
        Header(text=headline(run, counts), tone=_tone(counts), sub=sub),
        *_tables(run, lang, over=True),
        *_traces(run, lang),
        *_notes(run),
        Buttons(buttons=(again,)),
    )


def headline(run: Probing, counts: Tally) -> Text:
    """The first line: from where it works and from where it does not."""
    title, good, bad = _title(run), len(counts.good), len(counts.bad)
    if not good and not bad:
        return Text(f"{title}：没有观测点能测", f"{title}: no vantage point could measure it")
    if not bad:
        where = _where(counts.good)
        return Text(f"{title}：从 {where.zh} 看正常", f"{title}: works from {where.en}")
    where = _where(counts.bad)
    if not good:
        return Text(
            f"{title}：从 {where.zh} 看异常，没有一处正常", f"{title}: fails from {where.en}, works from nowhere"
        )
    others = f"{good} other" + "s" * (good > 1)
    return Text(
        f"{title}：从 {where.zh} 看异常，另 {good} 处正常", f"{title}: fails from {where.en}, works from {others}"
    )


def _where(agents: Sequence[Agent]) -> Text:
    """The places; of two agents in one place the names too, or it would say "lab vm, lab vm"."""
    if len(agents) > 3:
        return Text(f"{len(agents)} 个观测点", f"{len(agents)} vantage points")
    places = [place(a) for a in agents]
    return join([p if places.count(p) == 1 else p + same(f" ({a.name})") for p, a in zip(places, agents, strict=True)])


def place(agent: Agent) -> Text:
    """As "shanghai vm"."""
    return same(f"{agent.region} ") + words.vantage(agent.vantage)


def _title(run: Probing) -> str:
    return f"{run.asked.kind} {run.asked.target}".strip()


def _tone(counts: Tally) -> Tone:
    if counts.bad:
        return "bad"
    return "warn" if counts.blind or not counts.good else "good"


def _tables(run: Probing, lang: Lang, *, over: bool) -> list[Block]:
    seen = {o.agent: o for o in run.observations()}
    missing = run.missing()
    asked = [a for a in ordered(run.agents) if a.name not in run.not_asked]
    twins = len({(a.region, a.vantage) for a in asked}) < len(asked)
    shown = asked
    if len(asked) > MAX_ROWS:
        shown = sorted(asked, key=lambda a: a.name in seen and seen[a.name].ok)[:MAX_ROWS]
    rows = [_row(a, seen.get(a.name), missing, lang, named=twins, over=over) for a in shown]
    table = Table(columns=COLUMNS, rows=tuple(rows))
    if len(asked) == len(shown):
        return [table]
    rest = [a for a in asked if a not in shown]
    fine = sum(1 for a in rest if a.name in seen and seen[a.name].ok)
    hidden = words.count(len(rest), "", "more vantage point").en
    more = Text(
        f"另有 {len(rest)} 个观测点没有列出，其中 {fine} 个正常",
        f"{hidden} not shown; it works from {fine}",
    )
    return [table, Paragraph(text=more)]


def _row(
    agent: Agent,
    seen: Observation | None,
    missing: Mapping[str, Text],
    lang: Lang,
    *,
    named: bool,
    over: bool,
) -> tuple[str, ...]:
    where = place(agent).in_(lang) + (f" ({agent.name})" if named else "")
    silent = missing.get(agent.name)
    if seen is None or (silent and not measured(seen)):
        waiting = silent is None and not over
        why = Text("", "") if waiting else silent or Text("没有应答", "no answer")
        return where, "…" if waiting else "?", "", why.in_(lang)
    told = said(seen, lang)
    if silent:
        told = "; ".join(filter(None, (told, silent.in_(lang))))
    return where, share(seen), timings(seen), told


def _notes(run: Probing) -> list[Block]:
    """Who was not asked, or not heard: said, so that a short table is not taken for the whole."""
    notes: list[Block] = []
    if run.not_asked:
        names = [same(name) + Text(f"（{why.zh}）", f" ({why.en})") for name, why in list(run.not_asked.items())[:8]]
        more = len(run.not_asked) - len(names)
        text = join(names, zh="、", en=", ") + (Text(f" 等 {more} 个", f" and {more} more") if more else same(""))
        notes.append(Paragraph(text=text, label=Text("没有问", "Not asked")))
    if run.left_out:
        sample = Text(
            f"观测点很多，每类位置问了一个；from all 会问其余 {run.left_out} 个",
            f"there are many agents, and one of each place was asked; from all asks the other {run.left_out} too",
        )
        notes.append(Paragraph(text=sample))
    return notes


def _traces(run: Probing, lang: Lang) -> list[Block]:
    """The hops, from those who did not get there first."""
    traced = [o for o in run.observations() if o.kind == "trace" and isinstance(o.detail.get("hops"), list)]
    out: list[Block] = []
    agents = {a.name: a for a in run.agents}
    for seen in sorted(traced, key=lambda o: o.ok)[:MAX_TRACES]:
        out.append(Paragraph(text=same(seen.agent), label=place(agents[seen.agent])))
        hops = seen.detail["hops"][:MAX_HOPS]
        out.append(Table(columns=HOPS, rows=tuple(_hop(n, hop) for n, hop in enumerate(hops, 1))))
    if len(traced) > MAX_TRACES:
        more = len(traced) - MAX_TRACES
        out.append(
            Paragraph(
                text=Text(
                    f"另有 {more} 个观测点的路径没有列出；用 from 指定其中一个",
                    f"paths not shown: {more}; name one of the places with from",
                )
            )
        )
    return out


def _hop(number: int, hop: Json) -> tuple[str, ...]:
    row = hop if isinstance(hop, Mapping) else {}
    loss: Json = row.get("loss")
    ms: Json = row.get("avg_ms")
    address = " ".join(str(word) for word in (row.get("address") or "*", row.get("said")) if word)
    return (
        str(row.get("ttl") or number),
        address,
        percent(loss) if is_number(loss) else "",
        short_ms(ms) if is_number(ms) else "",
    )
