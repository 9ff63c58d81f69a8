"""What the group reads: the answer first, then why, then what to do (docs: UX)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo

from bot.app import deciding, reasons, words
from bot.app.before import before, meanings
from bot.app.deciding import SURE
from bot.app.matrix import matrix, ordered
from bot.app.missing import inconclusive, missing
from bot.diagnosis.hypothesis import HEALTHY, INCONCLUSIVE, Verdict
from bot.diagnosis.investigation import FollowUp, Investigation
from bot.domain.layers import BY_ID
from bot.domain.message import Block, Bullets, Button, Buttons, Header, Paragraph, Progress, Ranking, Share, Tone
from bot.domain.playbook import Playbook
from bot.domain.text import Text, join, percent, same

TELL_APART = 0.05
"""A rival below this share is not named as what a probe tells the leader from."""

KINDS: Mapping[str, Text] = {
    "dns_top": Text("查谁在大量解析域名", "asking who sends the DNS queries"),
    "changes": Text("查最近的变更", "asking what changed"),
    "coredns": Text("查 CoreDNS", "looking at CoreDNS"),
    "mtu": Text("测大包能否到达", "seeing whether large packets arrive"),
    "trace": Text("路由追踪", "tracing the route"),
    "status_page": Text("看厂商状态页", "reading the vendor's status page"),
    "clock": Text("对时", "comparing clocks"),
}


def progress_card(run: Investigation, *, pending: frozenset[tuple[str, str]]) -> tuple[Block, ...]:
    """While probes run: how far, what is being asked and why, and the matrix as it fills in."""
    done, total = run.progress()
    what = _asking(run.follow_ups) or Text("问每一个观测点", "asking every vantage point")
    blocks: list[Block] = [
        Header(
            text=Text(f"正在诊断 {run.playbook.title.zh}", f"diagnosing: {run.playbook.title.en}"),
            tone="busy",
            sub=same(f"/diag {run.playbook.name}"),
        ),
        Progress(
            done=done,
            total=total,
            text=what,
        ),
    ]
    table = matrix(run.picture(), pending=pending)
    return (*blocks, table) if table else tuple(blocks)


def verdict_card(run: Investigation, *, took_s: float, incident: str | None, zone: tzinfo = UTC) -> tuple[Block, ...]:
    """The answer. `zone` is what its times are told in."""
    verdict = run.verdict()
    blocks: list[Block] = [
        Header(text=headline(run), tone=tone(verdict), sub=_sub(run, took_s, incident)),
    ]
    blocks += reasons.blocks(run)
    blocks += before(run.picture(), zone)
    codes = meanings(run)
    if codes:
        blocks.append(Bullets(items=codes, label=Text("错误码", "Error codes")))
    blocks += doing(todo(verdict, run.playbook))
    blocks += deciding.blocks(run)
    table = matrix(run.picture())
    if table:
        blocks += [
            table,
            Paragraph(text=Text("* 直连已知地址，不经过 DNS", "* to a known address, DNS not in the path")),
        ]
    blocks.append(_missing_line(run))
    blocks += caveats(verdict)
    if verdict.ranked:
        blocks.append(ranking(verdict))
    return (*blocks, Buttons(buttons=buttons(verdict, run.playbook)))


def headline(run: Investigation) -> Text:
    """The first line: cause and share; two causes for a double verdict."""
    verdict = run.verdict()
    share = percent(verdict.share)
    if verdict.ids == (INCONCLUSIVE,):
        return inconclusive(run)
    named = join([r.title for r in verdict.leaders()], zh="；同时，", en="; also: ")
    if verdict.ids == (HEALTHY,) and verdict.share >= SURE:
        return Text(f"{named.zh}（{share}）", f"{named.en} ({share})")
    if verdict.share < SURE:
        return Text(f"倾向于：{named.zh}（{share}）", f"leaning to: {named.en} ({share})")
    return Text(f"最可能：{named.zh}（{share}）", f"most likely: {named.en} ({share})")


def cause(run: Investigation) -> Text:
    """What is broken and by what, as an incident's title: no share, no hedging."""
    verdict = run.verdict()
    what = run.playbook.title
    if verdict.ids in ((INCONCLUSIVE,), (HEALTHY,)):
        return what
    named = join([r.title for r in verdict.leaders()], zh="，且 ", en=", and ")
    return Text(f"{what.zh}：{named.zh}", f"{what.en}: {named.en}")


def doing(steps: Sequence[Text]) -> list[Paragraph]:
    """What to do as the card shows it, in the order of the causes."""
    if len(steps) == 1:
        return [Paragraph(text=steps[0], label=Text("现在做", "Do now"))]
    return [
        Paragraph(text=step, label=Text(f"现在做（{n}）", f"Do now ({n})")) for n, step in enumerate(steps, start=1)
    ]


def todo(verdict: Verdict, playbook: Playbook) -> tuple[Text, ...]:
    """Remedy and owner for each named cause."""
    out = []
    for leader in verdict.leaders():
        who = leader.hypothesis.owner
        role = who.en.removeprefix("the ")
        person = playbook.owners.get(role) or playbook.owners.get(who.en)
        at = f" @{person.lstrip('@')}" if person else ""
        out.append(leader.remedy + Text(f"（负责人：{who.zh}{at}）", f" (owner: {role}{at})"))
    return tuple(out)


def ranking(verdict: Verdict, most: int = 4) -> Ranking:
    """The leading hypotheses with every piece of evidence that weighed."""
    top = [r for r in verdict.ranked[:most] if r.share >= 0.005]
    return Ranking(
        shares=tuple(
            Share(
                id=r.hypothesis.id,
                title=r.title,
                share=r.share,
                evidence=tuple(
                    (f.text, f.weight) for f in sorted(r.findings, key=lambda f: -abs(f.weight)) if f.weight
                ),
            )
            for r in top
        )
    )


def _missing_line(run: Investigation) -> Paragraph:
    """Set off only when something is missing; that nothing is, is said in passing."""
    said = missing(run)
    if run.gaps() or run.unlearned():
        return Paragraph(text=said, label=Text("没有查到", "Missing"))
    return Paragraph(text=Text(f"没有查到：{said.zh}", f"Missing: {said.en}"))


def _sub(run: Investigation, took_s: float, incident: str | None) -> Text:
    took = words.duration(took_s)
    regions = same("/".join(dict.fromkeys(a.region for a in ordered(run.agents))))
    parts = [same(f"/diag {run.playbook.name}"), *([same(incident)] if incident else []), regions]
    return join(parts, zh=" · ", en=" · ") + Text(f" · 用时 {took.zh}", f" · took {took.en}")


def tone(verdict: Verdict) -> Tone:
    """The colour of an answer."""
    if verdict.ids == (INCONCLUSIVE,) or verdict.share < SURE:
        return "warn"
    return "good" if verdict.ids == (HEALTHY,) else "bad"


def caveats(verdict: Verdict) -> list[Block]:
    """What the verdict cannot say, and red cells it leaves without a cause."""
    out: list[Block] = []
    if verdict.unexplained:
        out.append(Paragraph(text=_unexplained(verdict), label=Text("还没有解释", "Not explained")))
    for leader in verdict.leaders():
        if leader.scope.kind == "vpc" and not leader.facts["near"]["vpcs"]:
            place, region = leader.scope.place, leader.scope.region
            out.append(
                Paragraph(
                    text=Text(
                        f"{region} 没有另一个 VPC 的观测点：分不清只是 {place.zh} 有事，还是整个地域都有事",
                        f"no vantage point in another VPC of {region}: "
                        f"{place.en} alone and the whole region cannot be told apart",
                    ),
                    label=Text("注意", "Note"),
                )
            )
    return out


def _unexplained(verdict: Verdict, most: int = 6) -> Text:
    """The red cells that no named cause accounts for."""
    cells = sorted(verdict.unexplained)
    shown = [same(f"{agent} ") + BY_ID[layer].title for agent, layer, *_ in cells[:most]]
    rest = len(cells) - len(shown)
    more = [Text(f"另有 {rest} 项", f"{rest} more")] if rest > 0 else []
    return join([*shown, *more], zh="、", en=", ")


def _asking(follow_ups: Sequence[FollowUp]) -> Text | None:
    if not follow_ups:
        return None
    last = follow_ups[-1]
    what = KINDS.get(last.kind, same(last.kind))
    where = ", ".join(last.agents[:2])
    title = last.hypothesis.title
    asking = Text(f"{what.zh}（{where}）", f"{what.en} ({where})")
    if last.other is None or last.other.share < TELL_APART:
        return asking + Text(f"：{title.zh}？", f": {title.en}?")
    other = last.other.title
    return asking + Text(f"：区分“{title.zh}”与“{other.zh}”", f": tells “{title.en}” from “{other.en}”")


def buttons(verdict: Verdict, playbook: Playbook) -> tuple[Button, ...]:
    """What one would do next, a tap away."""
    if verdict.ids == (HEALTHY,):
        return (Button(label=Text("再测一次", "Ask again"), command=f"/diag {playbook.name}"),)
    found = [
        Button(label=Text("拉战情室", "Open war room"), command="/warroom open", primary=True),
        Button(label=Text("呼叫值班", "Page on-call"), command="/page"),
        Button(label=Text("盯到恢复", "Watch until recovered"), command="/watch"),
    ]
    if playbook.vendor:
        found.append(Button(label=Text("通知厂商", "Notify vendor"), command=f"/vendor {playbook.vendor}"))
    return tuple(found)
