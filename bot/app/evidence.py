"""The evidence pack: what another company's engineers ask for anyway, from a run's document. Pure.

What is internal stays here: rows about our own names and services, and reasons that name the address behind a cause.
Secrets are redacted where every message is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from bot.app import words
from bot.domain.incident import Run
from bot.domain.message import Block, Bullets, Code, Header, Paragraph
from bot.domain.text import Text, percent, same

OURS = frozenset({"dns_internal", "dns_coredns", "service"})
"""Rows of the matrix that are about our own names and services."""
NOT_THEIRS = frozenset({"agent", "policy"})
"""Whose fault a failure is that tells nothing about the vendor."""
MOST_FAILING, MOST_WORKING, MOST_REQUESTS = 40, 12, 20


def evidence_pack(run: Run, found: Mapping[str, Any], *, zone: ZoneInfo, case: str = "") -> tuple[Block, ...]:
    """What we saw, from where, since when; `case` names our incident and their ticket."""
    texts = found.get("texts", {})
    headline = texts.get("headline", {"zh": "", "en": ""})
    own = str((found.get("culprit") or {}).get("address") or "")
    seen = [s for s in found.get("observations", ()) if s["layer"] not in OURS and s["success_rate"] is not None]
    failing = [s for s in seen if not s["ok"] and s["fault_of"] not in NOT_THEIRS]
    working = [s for s in seen if s["ok"]]
    blocks: list[Block] = [
        Header(
            text=Text(f"请协助：{headline['zh']}", f"please help: {headline['en']}"),
            tone="bad",
            sub=same(case) if case else None,
        )
    ]
    blocks += _reasons(texts, own)
    blocks.append(Paragraph(text=_measured(run, zone), label=Text("测于", "Measured at")))
    if since := _since(found, zone):
        blocks.append(Paragraph(text=since, label=Text("开始于", "Began")))
    blocks.append(Code(text=_table("FAILS", failing[:MOST_FAILING], zone, len(failing))))
    if working:
        blocks.append(Code(text=_table("WORKS at the same time", working[:MOST_WORKING], zone, len(working))))
    if requests := _requests(seen):
        blocks.append(Code(text="\n".join(("REQUEST IDS", *requests))))
    return tuple(blocks)


def _reasons(texts: Mapping[str, Any], own: str) -> list[Block]:
    """Grouped by cause where there are two: what speaks for one may deny the other."""
    groups = texts.get("reasons") or [{"title": None, "why": texts.get("why", ())}]
    blocks: list[Block] = []
    for group in groups:
        kept = tuple(Text(zh=w["zh"], en=w["en"]) for w in group["why"] if not (own and own in w["en"]))
        label = Text("我们看到的", "What we see")
        if len(groups) > 1 and (title := group["title"]):
            label += Text(f"：{title['zh']}", f": {title['en']}")
        if kept:
            blocks.append(Bullets(items=kept, label=label))
    return blocks


def moment(at: datetime, zone: ZoneInfo) -> str:
    """As "2026-11-24 23:41:15 UTC+8 (15:41:15 UTC)": the reader's clock may be another."""
    local = at.astimezone(zone)
    utc = at.astimezone(ZoneInfo("UTC"))
    return f"{local:%Y-%m-%d %H:%M:%S} {words.zone(local)} ({utc:%H:%M:%S} UTC)"


def _measured(run: Run, zone: ZoneInfo) -> Text:
    return same(moment(run.started_at, zone))


def _since(found: Mapping[str, Any], zone: ZoneInfo) -> Text | None:
    onset = found.get("onset")
    if not onset:
        return None
    by = moment(datetime.fromisoformat(onset["to"]), zone)
    if not onset["from"]:
        return Text(f"不晚于 {by}", f"no later than {by}")
    after = moment(datetime.fromisoformat(onset["from"]), zone)
    return Text(f"{after} 与 {by} 之间", f"between {after} and {by}")


def _table(title: str, rows: Sequence[Mapping[str, Any]], zone: ZoneInfo, total: int) -> str:
    lines = [title, *(_line(row, zone) for row in rows)]
    if total > len(rows):
        lines.append(f"... and {total - len(rows)} more")
    return "\n".join(lines if rows else (title, "-"))


def _line(seen: Mapping[str, Any], zone: ZoneInfo) -> str:
    """Time, from where, what, how often it worked, how it failed, the addresses on both sides of it."""
    detail = seen["detail"]
    at = f"{datetime.fromisoformat(seen['at']).astimezone(zone):%H:%M:%S}" if seen.get("at") else ""
    where = f"{seen['region']}/{seen['vantage']}"
    rate = f"{percent(seen['success_rate'])} of {detail.get('tries', 1)}"
    told = [seen["failure"] or "", str(detail.get("code") or ""), seen["target"]]
    told.append(str(detail.get("address") or ""))
    if seen["kind"] == "dns":
        told += map(str, detail.get("resolvers") or ())
    said = "  ".join(dict.fromkeys(filter(None, told)))
    return f"{at:<8} {where:<18} {seen['layer']:<12} {rate:>10}  {said}".rstrip()


def _requests(seen: Sequence[Mapping[str, Any]]) -> list[str]:
    """The ids the vendor's own answers carried, those of failures first."""
    rows = sorted((s for s in seen if s["detail"].get("request_id")), key=lambda s: s["ok"])
    return [
        f"{s['detail']['request_id']}  {s['region']}/{s['vantage']}  {s['detail'].get('code') or 'ok'}"
        for s in rows[:MOST_REQUESTS]
    ]
