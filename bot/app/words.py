"""The words people see for the fixed vocabulary."""

from __future__ import annotations

from datetime import datetime

from bot.domain.text import Text, same

ELSEWHERE = Text(
    "。经 WebSocket 连到另一个机器人副本的观测点，这个副本看不到：运行多个副本时请让观测点走 NATS（agents.nats_url）",
    ". Agents that dialled another bot by WebSocket are not seen by this one: with several bots, "
    "have them come by NATS (agents.nats_url)",
)
"""Where several bots may share a database and there is no NATS."""
_VANTAGES = {
    "outside": Text("办公/外部", "outside"),
}


def vantage(name: str) -> Text:
    """A vantage point's kind."""
    return _VANTAGES.get(name, same(name))


def count(number: float, zh: str, en: str) -> Text:
    """As "1 hop" or "3 hops"; Chinese has no plural."""
    return Text(f"{number:.0f} {zh}", f"{number:.0f} {en}" + "s" * (f"{number:.0f}" not in ("1", "-1")))


def zone(at: datetime) -> str:
    """The zone of a local time as "UTC+8", for a reader whose own clock may be another."""
    offset = at.utcoffset()
    minutes = round(offset.total_seconds() / 60) if offset is not None else 0
    hours, rest = divmod(abs(minutes), 60)
    return "UTC" + (f"{'-' if minutes < 0 else '+'}{hours}" + (f":{rest:02d}" if rest else "") if minutes else "")


def duration(seconds: float) -> Text:
    """As "8.4 s", "3 min 20 s", "1 h 51 min" in both languages."""
    if seconds < 60:
        short = f"{seconds:.1f}".rstrip("0").rstrip(".")
        return Text(f"{short} 秒", f"{short} s")
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return Text(f"{minutes} 分 {rest} 秒", f"{minutes} min {rest} s")
    hours, minutes = divmod(minutes, 60)
    return Text(f"{hours} 小时 {minutes} 分", f"{hours} h {minutes} min")
