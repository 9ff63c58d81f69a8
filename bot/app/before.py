"""What the card says of the time before: since when, what was changed, what error codes mean, what is shared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from typing import Any

from bot.app.changes import KINDS
from bot.diagnosis.baseline import Onset
from bot.diagnosis.environments import Together
from bot.diagnosis.facts import Picture
from bot.diagnosis.investigation import Investigation
from bot.domain.change import Change
from bot.domain.message import Block, Bullets, Paragraph
from bot.domain.playbook import ErrorMeaning, Playbook
from bot.domain.text import Text, join, same

CLOSE = timedelta(minutes=10)
"""An interval no longer than this has a middle worth naming."""
MOST_CHANGES = 3
_MEANS = {"dependency": Text("依赖出错", "a dependency fails"), "our code": Text("我们的代码出错", "our code fails")}
_SHARED = {
    "cluster": Text("集群", "cluster"),
    "vpc": Text("VPC", "VPC"),
    "region": Text("地域", "region"),
    "resolver": Text("解析器", "resolver"),
    "key": Text("厂商密钥", "the vendor's key"),
}


def before(seen: Picture, zone: tzinfo) -> list[Block]:
    """Since when, and what was changed just before; nothing where nobody knows."""
    if seen.onset is None:
        return []
    blocks: list[Block] = [Paragraph(text=since(seen.onset, zone), label=Text("从何时起", "Since"))]
    if seen.changes:
        items = tuple(change_line(c, seen.onset) for c in seen.changes[:MOST_CHANGES])
        blocks.append(Bullets(items=items, label=Text("之前的变更", "Changed before")))
    return blocks


def since(onset: Onset, zone: tzinfo) -> Text:
    """The interval in which it began, never more exact than the rounds that saw it."""
    day = "%H:%M" if onset.after and onset.by - onset.after < timedelta(hours=12) else "%m-%d %H:%M"
    by = f"{_up(onset.by).astimezone(zone):{day}}"
    if onset.after is None:
        return Text(f"{by} 或更早", f"{by} or earlier")
    after = f"{onset.after.astimezone(zone):{day}}"
    if onset.by - onset.after > CLOSE:
        return Text(f"{after} 到 {by} 之间", f"some time between {after} and {by}")
    middle = f"{(onset.after + (onset.by - onset.after) / 2).astimezone(zone):{day}}"
    return Text(f"约 {middle}（{after} 到 {by} 之间）", f"about {middle} (between {after} and {by})")


def _up(at: datetime) -> datetime:
    """The next full minute: what is shown must not end before what was seen."""
    whole = at.replace(second=0, microsecond=0)
    return whole + timedelta(minutes=1) if at.second else whole


def change_line(change: Change, onset: Onset) -> Text:
    """A change with its time from the onset: 12 min before: deploy sms-gateway v1.4.2 (lin)."""
    minutes = minutes_before(change, onset)
    if onset.after is not None and change.at > onset.after:
        when = Text("大约同时", "about then")
    else:
        when = Text(f"{minutes} 分钟前", f"{minutes} min before")
    kind = KINDS[change.kind]
    who = same(f" ({', '.join(filter(None, (change.who, change.env)))})") if change.who or change.env else same("")
    return when + Text(f"：{kind.zh} ", f": {kind.en} ") + same(change.title) + who


def minutes_before(change: Change, onset: Onset) -> int:
    """Whole minutes from a change to the first that was seen of the trouble."""
    return max(0, round((onset.by - change.at).total_seconds() / 60))


def onset_of(run: Investigation) -> dict[str, str | None] | None:
    """{"from", "to"} for the document; "from" is null where nobody saw it well."""
    onset = run.picture().onset
    if onset is None:
        return None
    return {"from": onset.after.isoformat() if onset.after else None, "to": onset.by.isoformat()}


def changes_of(run: Investigation) -> list[dict[str, Any]]:
    """Changes near the onset for the document, each with its `minutes_before`."""
    seen = run.picture()
    if seen.onset is None or not seen.changes:
        return []
    return [{**c.to_json(), "minutes_before": minutes_before(c, seen.onset)} for c in seen.changes]


def meanings(run: Investigation) -> tuple[Text, ...]:
    """What the service's own error codes that were seen mean, most frequent first."""
    lines = []
    for code, count in _codes(run).most_common():
        meaning = _meaning(run.playbook, code)
        if meaning is not None:
            means = _MEANS[meaning.means]
            lines.append(
                Text(
                    f"{code} ×{count}：{means.zh} · {meaning.text.zh}",
                    f"{code} ×{count}: {means.en}: {meaning.text.en}",
                )
            )
    return tuple(lines)


def _codes(run: Investigation) -> Counter[str]:
    """Error codes seen: of every failed call, and counted in the logs."""
    codes: Counter[str] = Counter()
    for seen in run.observations():
        code, counts = seen.detail.get("code"), seen.detail.get("counts")
        if code and not seen.ok:
            codes[str(code)] += max(1, sum(seen.detail.get("failures", {}).values()))
        if seen.kind == "logs" and isinstance(counts, dict):
            codes.update({str(name): int(n) for name, n in counts.items()})
    return codes


def _meaning(playbook: Playbook, code: str) -> ErrorMeaning | None:
    """The code's own entry, else that of the longest code it is a sub-code of."""
    parts = code.split(".")
    names = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((playbook.errors[name] for name in names if name in playbook.errors), None)


def together_line(together: Together) -> Text:
    """What environments that are red together have in common: dev, prod are red together: they share VPC blue."""
    zh, en = "、".join(together.red), ", ".join(together.red)
    if together.green:
        zh += f"（{'、'.join(together.green)} 正常）"
        en += f" ({', '.join(together.green)} {'is' if len(together.green) == 1 else 'are'} fine)"
    if not together.shared:
        return Text(
            f"{zh} 同时异常，却不共用集群、VPC 或解析器：看它们都调用的东西",
            f"{en} are red together and share no cluster, VPC or resolver: look at what all of them call",
        )
    what: Sequence[Text] = [_SHARED[kind] + same(f" {name}" if name else "") for kind, name in together.shared]
    common = join(what)
    return Text(f"{zh} 同时异常：它们共用{common.zh}", f"{en} are red together: they share {common.en}")
