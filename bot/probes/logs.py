"""`logs`: what a log service has on a query: how many lines, by which error code, and a few samples, masked.

How a code is found in a line is either a field's name or a literal text it stands after. A regular expression from
the hub is not taken: `re` cannot be interrupted, and one with nested repetition would stop the agent for hours.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from bot.domain.failure import Failure
from bot.domain.probe import Json, Outcome
from bot.probes.base import BadParams, Credential, Probe, ProbeContext, failed
from bot.probes.params import Reader
from bot.probes.redact import Redactor
from bot.probes.web import masking, service_api
from bot.probes.web.log_backends import BACKENDS, PLACES, Backend, Found, Line, Query
from bot.probes.web.service_api import Answer, Credentials, Service

MAX_SAMPLES = 10
MAX_SAMPLE = 300
MAX_LINE = 4096
"""Characters of a line that are looked at."""
MAX_CODES = 50
_MAX_CODE = 64
_FIELD = re.compile(r"[A-Za-z_@][\w@-]{0,63}(?:\.[\w@-]{1,64}){0,7}")
_AFTER = re.compile(r"[\s\"'\\:=]{0,8}([A-Za-z0-9][\w.-]{0,63})")
_USUAL = re.compile(
    r"(?i)(?<![a-z])(?:err(?:or)?[_-]?|status[_-]?)?code[\"'\\]{0,4}\s{0,4}[:=]\s{0,4}[\"'\\]{0,4}([a-z0-9][\w.-]{0,63})"
)
"""`code=X`, `"errorCode": "X"` and kin: what is looked for when no parameter says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The parameters, read. `after` is the literal text a code stands after."""

    backend: Backend
    where: Service
    query: Query
    minutes: int
    after: str


def prepare(params: Mapping[str, Json]) -> Probe:
    """Search once, over the last `minutes`. timings_ms as http.

    detail: total (at least that many where `more`), counted (lines), counts {code: n}, samples [{at, text}] newest
    first (at most 10), first_at and last_at of the lines that came, code and message where the service refuses.
    """
    read = Reader(params)
    backend = BACKENDS[read.choice("backend", BACKENDS)]
    where = service_api.service(read, "logs", timeout_ms=8000)
    place = read.text(backend.place, None if backend.place_needed else "", limit=300)
    if place and not PLACES[backend.place].fullmatch(place):
        raise BadParams(f"{backend.place} is not the name of one")
    field, after = read.text("code", "", limit=200), read.text("code_after", "", limit=80)
    if field and after:
        raise BadParams("give either code (a field) or code_after (the text a code stands after), and not both")
    if field and not _FIELD.fullmatch(field):
        raise BadParams("code must be a field's name, with dots for fields within fields")
    minutes = read.integer("minutes", 30, low=1, high=1440)
    query = Query(
        text=read.text("query", limit=2000),
        place=place,
        since=0.0,
        until=0.0,
        limit=read.integer("limit", 200, low=1, high=backend.max_limit),
        code=field,
        region=read.region() if backend.vendor else "",
        time_field=_time_field(read) if backend.place == "index" else "",
    )
    read.done()
    _fits(backend, where, query)
    return partial(_run, Plan(backend=backend, where=where, query=query, minutes=minutes, after=after))


def _time_field(read: Reader) -> str:
    name = read.text("time_field", "@timestamp", limit=64)
    if not _FIELD.fullmatch(name):
        raise BadParams("time_field must be a field's name")
    return name


def _fits(backend: Backend, where: Service, query: Query) -> None:
    if not backend.vendor:
        return
    if where.login:
        raise BadParams(f"login: this service is asked with the agent's key for {backend.vendor}")
    if where.base.scheme != "https" or where.base.target != "/":
        raise BadParams("url must be https and without a path for a signed call")
    if re.search(r"\|\s*select\b", query.text, re.IGNORECASE):
        raise BadParams("query must be a search condition, without a part for analysis")


async def _run(plan: Plan, ctx: ProbeContext) -> Outcome:
    backend, where = plan.backend, plan.where
    key = ctx.credentials.get(backend.vendor) if backend.vendor else None
    if backend.vendor and key is None:
        return failed(Failure.NO_CREDENTIAL, reason=f"no key for {backend.vendor} on this agent")
    if key is not None:
        key.check(where.base.host)
    own = _of_key(key) if key else where.credential(ctx)
    now = time.time()
    query = replace(plan.query, since=now - plan.minutes * 60, until=now)
    answer = await service_api.ask("logs", backend.build(where, query, key), own, ctx, where.timeout_s)
    if answer.seen.reply is None:
        return service_api.outcome(answer, answer.failure, own)
    # In a thread: a thousand lines take a while to read, and other probes are being timed meanwhile.
    failure, told = await asyncio.to_thread(_digest, plan, query, answer, own)
    return service_api.outcome(answer, failure, own, **told)


def _digest(plan: Plan, query: Query, answer: Answer, own: Credentials) -> tuple[Failure | None, dict[str, Json]]:
    found = plan.backend.read(answer, query)
    if isinstance(found, Found):
        return None, {"minutes": plan.minutes, **summary(found, query.code, plan.after)}
    words = {"code": found.code, "message": found.message}
    shown = {name: masking.of_others(text[:MAX_LINE]) for name, text in words.items() if text}
    return found.failure, {name: service_api.said(text, own) for name, text in shown.items()}


def _of_key(key: Credential) -> Credentials:
    return Credentials(mask=Redactor([key.secret, key.id]))


def summary(found: Found, field: str, after: str) -> dict[str, Json]:
    """What was found, bounded and masked."""
    counts = dict(found.counts) if found.counts is not None else count(found.lines, field, after)
    times = sorted(line.at for line in found.lines if line.at is not None)
    return {
        "total": found.total,
        "more": found.more,
        "counted": found.total if found.counts is not None else len(found.lines),
        "counts": _most(counts),
        "samples": [{"at": _iso(line.at), "text": sample(line)} for line in found.lines[:MAX_SAMPLES]],
        "first_at": _iso(times[0]) if times else None,
        "last_at": _iso(times[-1]) if times else None,
    }


def count(lines: Sequence[Line], field: str, after: str) -> Counter[str]:
    """How often each code occurs; lines without one count nowhere."""
    codes = (code_of(line, field, after) for line in lines)
    return Counter(code for code in codes if code)


def code_of(line: Line, field: str, after: str) -> str:
    """The code of a line, "" for none."""
    if field:
        value = _within(line.fields, field)
        return str(value)[:_MAX_CODE] if isinstance(value, (str, int)) else ""
    text = line.text[:MAX_LINE]
    if after:
        _, there, rest = text.partition(after)
        found = _AFTER.match(rest) if there else None
    else:
        found = _USUAL.search(text)
    return found[1] if found else ""


def _within(fields: Mapping[str, Any], path: str) -> Any:
    """A field by its dotted path; services flatten some paths, so the whole path is tried as one name as well."""
    if path in fields:
        return fields[path]
    value: Any = fields
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _most(counts: Mapping[str, int]) -> dict[str, int]:
    """The most frequent codes, masked like lines: whoever names the field may have named a phone number's."""
    most: Counter[str] = Counter()
    for code, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MAX_CODES]:
        most[masking.of_others(code[:_MAX_CODE])] += n
    return dict(most)


def sample(line: Line) -> str:
    """A line to show: masked before it is cut, on one line."""
    text = line.text[:MAX_LINE]
    if len(line.text) > MAX_LINE:
        # The last word may be half a secret that no pattern knows any more.
        text = text[: max(text.rfind(" "), text.rfind('"'), text.rfind(","), 0)]
    masked = masking.of_others(" ".join(masking.json_of_others(text).split()))
    return masked if len(masked) <= MAX_SAMPLE else masked[: MAX_SAMPLE - 1] + "…"


def _iso(at: float | None) -> str | None:
    try:
        return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return None
