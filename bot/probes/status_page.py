"""`status_page`: what a vendor says of itself: an Atlassian Statuspage, or an RSS or Atom feed.

A vendor's incident is what was asked for, not a failure of the probe: it is ok, and the detail tells.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from bot.domain.failure import Failure
from bot.domain.probe import Json, Outcome
from bot.probes.base import Probe, ProbeContext
from bot.probes.params import Reader, Url
from bot.probes.web import feeds, service_api
from bot.probes.web.exchange import Reply, Request, exchange
from bot.probes.web.feeds import Item, NoFeed
from bot.probes.web.service_api import Answer, Credentials

MAX_PAGE = 1024 * 1024
MAX_COMPONENTS = 50
MAX_INCIDENTS = 20
SUMMARY = "/api/v2/summary.json"
_RESOLVED = re.compile(
    r"(?i)\bresolved\b|operating normally|\bcompleted\b|\brecovered\b|已恢复|已解决|恢复正常|已修复|已完成"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The parameters, read. `match` are words in lower case; entries of feeds older than `days` are left out."""

    url: Url
    address: str | None
    form: str
    match: tuple[str, ...]
    days: int
    timeout_s: float


def prepare(params: Mapping[str, Json]) -> Probe:
    """Read the page once. timings_ms as http.

    detail: format, indicator (none, minor, major, critical, maintenance; null for a feed), description, components
    that are not operational [{name, status}], incidents [{title, status, impact, since, url}], open (how many are not
    resolved). With `match` only what names one of the words.
    """
    read = Reader(params)
    plan = Plan(
        url=read.url(),
        address=read.optional_address(),
        form=read.choice("format", ("auto", "statuspage", "feed"), "auto"),
        match=tuple(word.lower() for word in read.texts("match")) if read.given("match") else (),
        days=read.integer("days", 3, low=1, high=30),
        timeout_s=read.seconds("timeout_ms", 5000),
    )
    read.done()
    bare = plan.url.target == "/" and plan.form != "feed"
    return partial(_run, replace(plan, url=replace(plan.url, target=SUMMARY)) if bare else plan)


async def _run(plan: Plan, ctx: ProbeContext) -> Outcome:
    request = Request(url=plan.url, address=plan.address, max_body=MAX_PAGE)
    seen = await exchange("status_page", request, ctx, plan.timeout_s)
    if seen.reply is None:
        return _told(Answer(seen=seen, failure=seen.failure, reason=seen.reason), seen.failure)
    location = seen.reply.headers.get("location")
    failure = service_api.by_status(seen.reply.status)
    if failure:
        return _told(Answer(seen=seen), failure, **({"location": location[:500]} if location else {}))
    try:
        return _told(Answer(seen=seen), None, **_read(seen.reply, plan, datetime.now(UTC)))
    except NoFeed as exc:
        return _told(Answer(seen=seen, reason=str(exc)), Failure.HTTP_BODY)


def _told(answer: Answer, failure: Failure | None, **detail: Json) -> Outcome:
    return service_api.outcome(answer, failure, Credentials(), **detail)


def _read(reply: Reply, plan: Plan, now: datetime) -> dict[str, Json]:
    if reply.cut:
        raise NoFeed(f"longer than {MAX_PAGE} bytes")
    if plan.form == "feed" or (plan.form == "auto" and reply.body.lstrip()[:1] == b"<"):
        return from_feed(feeds.read(reply.body), plan.match, now - timedelta(days=plan.days))
    try:
        document = json.loads(reply.body)
    except (ValueError, RecursionError) as exc:
        raise NoFeed("neither JSON nor a feed") from exc
    if not isinstance(document, Mapping) or not isinstance(document.get("status"), Mapping):
        raise NoFeed("not the summary of a Statuspage")
    return from_summary(document, plan.match)


def from_summary(document: Mapping[str, Any], match: Sequence[str]) -> dict[str, Json]:
    """What /api/v2/summary.json says (Atlassian Statuspage, "Status API")."""
    status = document["status"]
    components = [
        {"name": _text(row.get("name")), "status": _text(row.get("status"))}
        for row in _rows(document, "components")
        if row.get("status") != "operational" and row.get("group") is not True and _fits(match, row.get("name"))
    ]
    incidents = [
        {
            "title": _text(row.get("name")),
            "status": _text(row.get("status")),
            "impact": _text(row.get("impact")),
            "since": _when(row.get("started_at") or row.get("created_at")),
            "url": _link(row.get("shortlink")),
        }
        for row in _rows(document, "incidents")
        if _fits(match, row.get("name"), *(part.get("name") for part in _rows(row, "components")))
    ]
    return {
        "format": "statuspage",
        "indicator": _text(status.get("indicator")),
        "description": _text(status.get("description")),
        "components": components[:MAX_COMPONENTS],
        "incidents": incidents[:MAX_INCIDENTS],
        "open": sum(row["status"] not in ("resolved", "postmortem", "completed") for row in incidents),
    }


def from_feed(items: Sequence[Item], match: Sequence[str], since: datetime) -> dict[str, Json]:
    """What a feed says: a feed has no field for it, so whether one is resolved is read from its words."""
    incidents = [
        {
            "title": item.title,
            "status": "resolved" if _RESOLVED.search(f"{item.title} {item.text[:300]}") else "unresolved",
            "impact": "",
            "since": item.at.astimezone(UTC).isoformat(timespec="seconds") if item.at else None,
            "url": _link(item.url),
        }
        for item in items
        if (item.at is None or item.at >= since) and _fits(match, item.title, item.text)
    ]
    return {
        "format": "feed",
        "indicator": None,
        "components": [],
        "incidents": incidents[:MAX_INCIDENTS],
        "open": sum(row["status"] == "unresolved" for row in incidents),
    }


def _fits(match: Sequence[str], *texts: Any) -> bool:
    said = " ".join(text.lower() for text in texts if isinstance(text, str))
    return not match or any(word in said for word in match)


def _rows(value: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    rows = value.get(key)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list) else []


def _text(value: Any) -> str:
    return value[:200] if isinstance(value, str) else ""


def _link(value: Any) -> str:
    """A link that may be shown: of the web, and nothing that a browser would run."""
    return value[:500] if isinstance(value, str) and value.startswith(("https://", "http://")) else ""


def _when(value: Any) -> str | None:
    at = feeds.moment(value) if isinstance(value, str) else None
    return at.astimezone(UTC).isoformat(timespec="seconds") if at else None
