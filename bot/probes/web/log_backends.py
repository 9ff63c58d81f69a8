"""Log services, each by one request and one reading of its answer: Tencent CLS, Loki, Elasticsearch or OpenSearch."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bot.domain.failure import Failure
from bot.domain.probe import Json
from bot.probes.base import Credential
from bot.probes.vendor import tencent
from bot.probes.web import service_api
from bot.probes.web.exchange import Request
from bot.probes.web.service_api import Answer, Service

MAX_LOGS = 4 * 1024 * 1024
"""Bytes of an answer with log lines: 1000 lines of 4 KiB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Query:
    """What is asked of a log service; times are epoch seconds.

    `place` is the topic (CLS), the tenant (Loki, may be "") or the index (Elasticsearch); `code` a field or "".
    """

    text: str
    place: str
    since: float
    until: float
    limit: int
    code: str = ""
    region: str = ""
    time_field: str = "@timestamp"


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One log line. `fields` are its parsed fields where the service has them; `at` is epoch seconds."""

    at: float | None
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """What an answer says. `total` is how many lines match, at least that many where `more` is set.

    `counts` are the service's own counts by code over all of them, None where the lines must be counted.
    """

    lines: Sequence[Line] = ()
    total: int = 0
    more: bool = False
    counts: Mapping[str, int] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """The service's own words for why it does not answer."""

    failure: Failure
    code: str = ""
    message: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Backend:
    """One log service: how it is asked and read. `place` is the parameter that says where in it to look."""

    place: str
    place_needed: bool
    build: Callable[[Service, Query, Credential | None], Request]
    read: Callable[[Answer, Query], Found | Refusal]
    vendor: str = ""
    """Whose key signs the call; "" for a login."""
    max_limit: int = 1000


def _cls_request(where: Service, query: Query, credential: Credential | None) -> Request:
    """SearchLog of CLS 2020-10-16; times in ms, QuerySyntax 1 is CQL."""
    asked = {
        "TopicId": query.place,
        "From": int(query.since * 1000),
        "To": int(query.until * 1000),
        "QuerySyntax": 1,
        "Query": query.text,
        "Limit": query.limit,
        "Sort": "desc",
    }
    payload, now = json.dumps(asked, ensure_ascii=False).encode(), int(time.time())
    headers = tencent.headers("SearchLog", "2020-10-16", query.region, now)
    if credential is not None:
        headers["authorization"] = tencent.authorization(
            credential,
            service="cls",
            signed=(
                ("content-type", tencent.CONTENT_TYPE),
                ("host", where.base.authority),
                ("x-tc-action", "searchlog"),
            ),
            payload=payload,
            timestamp=now,
        )
    return where.request("/", body=payload, headers=headers, max_body=MAX_LOGS)


def _cls_read(answer: Answer, query: Query) -> Found | Refusal:
    error = tencent.error_of(answer.object)
    if error is None:
        return Refusal(failure=answer.failure or Failure.HTTP_BODY)
    code, message, _ = error
    if code:
        return Refusal(failure=tencent.meaning(code) or Failure.API_ERROR, code=code, message=message)
    response = answer.object["Response"]
    rows = [row for row in _list(response.get("Results")) if isinstance(row, Mapping)]
    lines = [_cls_line(row) for row in rows[: query.limit]]
    return Found(lines=lines, total=len(lines), more=response.get("ListOver") is False)


def _cls_line(row: Mapping[str, Any]) -> Line:
    """LogJson is the line's fields as JSON text; __CONTENT__ is the whole line of a topic without fields."""
    raw = str(row.get("LogJson") or row.get("RawLog") or "")
    fields = _object(raw)
    text = fields.get("__CONTENT__")
    at = row.get("Time")
    seconds = at / 1000 if isinstance(at, (int, float)) and not isinstance(at, bool) else None
    return Line(at=seconds, text=text if isinstance(text, str) else raw, fields=fields)


def _loki_request(where: Service, query: Query, credential: Credential | None) -> Request:
    asked = {
        "query": query.text,
        "start": str(int(query.since * 1e9)),
        "end": str(int(query.until * 1e9)),
        "limit": str(query.limit),
        "direction": "backward",
    }
    tenant = {"x-scope-orgid": query.place} if query.place else {}
    return where.request("/loki/api/v1/query_range", query=asked, headers=tenant, max_body=MAX_LOGS)


def _loki_read(answer: Answer, query: Query) -> Found | Refusal:
    """Refusals are plain text with a status; a metric query has a matrix instead of streams."""
    data = answer.object.get("data")
    if answer.failure or answer.object.get("status") != "success" or not isinstance(data, Mapping):
        return _loki_refusal(answer)
    if data.get("resultType") != "streams":
        return Refusal(failure=Failure.API_ERROR, message="the query gives numbers; ask kind metrics for those")
    lines = [
        line for stream in _list(data.get("result")) if isinstance(stream, Mapping) for line in _loki_lines(stream)
    ]
    lines.sort(key=lambda line: -(line.at or 0))
    return Found(lines=lines[: query.limit], total=len(lines), more=len(lines) >= query.limit)


def _loki_lines(stream: Mapping[str, Any]) -> list[Line]:
    labels = stream.get("stream")
    known = labels if isinstance(labels, Mapping) else {}
    found = []
    for pair in _list(stream.get("values")):
        if isinstance(pair, list) and len(pair) >= 2 and isinstance(pair[0], str) and pair[0].isdecimal():
            text = str(pair[1])
            found.append(Line(at=int(pair[0][:19]) / 1e9, text=text, fields={**known, **_object(text)}))
    return found


def _loki_refusal(answer: Answer) -> Refusal:
    reply = answer.seen.reply
    failure = answer.failure or Failure.HTTP_BODY
    if reply is None or failure is Failure.HTTP_BODY:
        return Refusal(failure=failure)
    plain = "text/plain" in reply.headers.get("content-type", "text/plain")
    message = answer.object.get("message") or (reply.body[:2000].decode("utf-8", "replace") if plain else "")
    return Refusal(failure=Failure.API_ERROR if reply.status == 400 else failure, message=str(message))


def _elastic_request(where: Service, query: Query, credential: Credential | None) -> Request:
    window = {"gte": int(query.since * 1000), "lte": int(query.until * 1000), "format": "epoch_millis"}
    asked: dict[str, Json] = {
        "size": query.limit,
        "track_total_hits": True,
        "timeout": f"{max(1, int(where.timeout_s))}s",
        "sort": [{query.time_field: {"order": "desc", "unmapped_type": "date"}}],
        "query": {
            "bool": {
                "filter": [
                    {"query_string": {"query": query.text, "allow_leading_wildcard": False}},
                    {"range": {query.time_field: window}},
                ]
            }
        },
    }
    if query.code:
        asked["aggs"] = {"codes": {"terms": {"field": query.code, "size": 50}}}
    body = json.dumps(asked, ensure_ascii=False).encode()
    return where.request(f"/{query.place}/_search", body=body, content_type=service_api.JSON, max_body=MAX_LOGS)


def _elastic_read(answer: Answer, query: Query) -> Found | Refusal:
    error = answer.object.get("error")
    if error is not None:
        return _elastic_refusal(error, answer)
    hits = answer.object.get("hits")
    if answer.failure or not isinstance(hits, Mapping):
        return Refusal(failure=answer.failure or Failure.HTTP_BODY)
    lines = [_elastic_line(hit, query.time_field) for hit in _list(hits.get("hits")) if isinstance(hit, Mapping)]
    total, partly = len(lines), answer.object.get("timed_out") is True
    said = hits.get("total")
    if isinstance(said, Mapping):
        partly, said = partly or said.get("relation") == "gte", said.get("value")
    if isinstance(said, int) and not isinstance(said, bool) and said >= 0:
        total = said
    return Found(lines=lines[: query.limit], total=total, more=partly, counts=_buckets(answer.object, query))


def _buckets(document: Mapping[str, Any], query: Query) -> dict[str, int] | None:
    aggregations = document.get("aggregations")
    codes = aggregations.get("codes") if isinstance(aggregations, Mapping) else None
    if not query.code or not isinstance(codes, Mapping):
        return None
    rows = [row for row in _list(codes.get("buckets")) if isinstance(row, Mapping)]
    return {str(row.get("key")): row["doc_count"] for row in rows if type(row.get("doc_count")) is int}


def _elastic_line(hit: Mapping[str, Any], time_field: str) -> Line:
    source = hit.get("_source")
    fields = source if isinstance(source, Mapping) else {}
    text = next((fields[name] for name in ("message", "log", "msg") if isinstance(fields.get(name), str)), None)
    text = json.dumps(fields, ensure_ascii=False) if text is None else text
    return Line(at=_moment(fields.get(time_field)), text=text, fields=fields)


def _elastic_refusal(error: Any, answer: Answer) -> Refusal:
    """`{"type", "reason", "root_cause": [...]}`, or a text of a proxy in front."""
    failure = answer.failure if answer.failure and answer.failure is not Failure.HTTP_STATUS else None
    if not isinstance(error, Mapping):
        return Refusal(failure=failure or Failure.API_ERROR, message=str(error))
    causes = [cause for cause in _list(error.get("root_cause")) if isinstance(cause, Mapping)]
    first = causes[0] if causes else error
    status = answer.seen.reply.status if answer.seen.reply else 0
    worst = failure or (Failure.API_INTERNAL if status >= 500 else Failure.API_ERROR)
    return Refusal(failure=worst, code=str(error.get("type") or ""), message=str(first.get("reason") or ""))


def _moment(value: Any) -> float | None:
    """ISO 8601, or epoch milliseconds."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value / 1000
    try:
        return datetime.fromisoformat(value).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def _object(text: str) -> Mapping[str, Any]:
    if not text.startswith("{") or len(text) > 64 * 1024:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


BACKENDS: Mapping[str, Backend] = {
    "loki": Backend(place="tenant", place_needed=False, build=_loki_request, read=_loki_read),
    "elasticsearch": Backend(place="index", place_needed=True, build=_elastic_request, read=_elastic_read),
    "cls": Backend(place="topic", place_needed=True, build=_cls_request, read=_cls_read, vendor="tencent"),
}
PLACES: Mapping[str, re.Pattern[str]] = {
    "topic": re.compile(r"[A-Za-z0-9-]{1,64}"),
    "tenant": re.compile(r"[A-Za-z0-9._|-]{1,150}"),
    # An index name or pattern, several by commas; no slash, so it is an index and no other part of the API.
    "index": re.compile(r"(?:_all|[a-z0-9*][A-Za-z0-9._*-]{0,200})(?:,[a-z0-9*-][A-Za-z0-9._*-]{0,200}){0,7}"),
}
