"""Log services that enforce the real rules: Tencent CLS by its signature and limits, Loki, Elasticsearch."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from typing import Any

from bot.lab.loopback import tc3
from tests.probes.http_api import Asked, asked, said
from tests.probes.servers import http

KEYS = {"AKIDcanary0123456789": "canary-secret"}
TOPIC = "380fe1f1-0000-4a6b-a1a2-0123456789ab"


class Cls:
    """SearchLog of CLS 2020-10-16 over `rows` (fields as a mapping, or a line as text), all `age_s` old."""

    def __init__(self, rows: Sequence[Any], age_s: float = 60, code: str = "") -> None:
        self.rows, self.age_s, self.code = rows, age_s, code

    def __call__(self, request: bytes) -> bytes:
        one = asked(request)
        try:
            return said({"Response": {**self._search(one), "RequestId": "req-7"}})
        except tc3.Refused as refused:
            error = {"Code": refused.code, "Message": f"{refused.message} {one.headers.get('authorization')}"}
            return said({"Response": {"Error": error, "RequestId": "req-7"}})

    def _search(self, one: Asked) -> dict[str, Any]:
        known = {"service": "cls", "keys": KEYS, "now": time.time()}
        tc3.check(one.headers, one.body, method=one.method, query="", **known)  # type: ignore[arg-type]
        head = (one.headers.get("x-tc-action"), one.headers.get("x-tc-version"))
        if head != ("SearchLog", "2020-10-16"):
            raise tc3.Refused("InvalidAction", "no")
        if not one.headers.get("x-tc-region"):
            raise tc3.Refused("MissingParameter", "The request is missing a required parameter `Region`.")
        if self.code:
            raise tc3.Refused(self.code, "no")
        given = one.json
        if ("TopicId" in given) == ("Topics" in given) or given["TopicId"] != TOPIC:
            raise tc3.Refused("ResourceNotFound.TopicNotExist", "no such topic")
        if not 0 < given["Limit"] <= 1000 or given["QuerySyntax"] not in (0, 1) or given["From"] >= given["To"]:
            raise tc3.Refused("InvalidParameter", "Limit, QuerySyntax, From or To")
        at = int((time.time() - self.age_s) * 1000)
        rows = [row for row in self.rows if given["Query"] in json.dumps(row)] if given["From"] <= at else []
        found = [{"Time": at, "TopicId": TOPIC, "LogJson": self._text(row)} for row in rows[: given["Limit"]]]
        return {"Results": found, "ListOver": len(rows) <= given["Limit"], "Analysis": False, "Context": ""}

    def _text(self, row: Any) -> str:
        return json.dumps(row if isinstance(row, dict) else {"__CONTENT__": row})


class Loki:
    """/loki/api/v1/query_range over one stream; a tenant is needed, as with auth_enabled."""

    def __init__(self, lines: Sequence[str]) -> None:
        self.lines = lines

    def __call__(self, one: Asked) -> bytes:
        if one.headers.get("x-scope-orgid") != "ops":
            return http("401 Unauthorized", b"no org id\n", "Content-Type: text/plain; charset=utf-8")
        if (one.method, one.path) != ("GET", "/loki/api/v1/query_range"):
            return http("404 Not Found", b"404 page not found\n", "Content-Type: text/plain")
        parsed = re.fullmatch(r'\{app="sms"\}(?: \|= "([^"]*)")?', one.query["query"])
        if "rate(" in one.query["query"]:
            return said({"status": "success", "data": {"resultType": "matrix", "result": []}})
        if parsed is None:
            return http("400 Bad Request", b"parse error at line 1, col 1: syntax error\n", "Content-Type: text/plain")
        now = time.time_ns()
        assert now - 32 * 60 * 10**9 < int(one.query["start"]) < int(one.query["end"]) <= now
        found = [line for line in self.lines if (parsed[1] or "") in line][: int(one.query["limit"])]
        values = [[str(now - i * 10**9), line] for i, line in enumerate(found)]
        data = {"resultType": "streams", "result": [{"stream": {"app": "sms", "level": "error"}, "values": values}]}
        return said({"status": "success", "data": {**data, "stats": {}}})


class Elastic:
    """POST /INDEX/_search with Basic authentication over documents."""

    def __init__(self, documents: Sequence[dict[str, Any]]) -> None:
        self.documents = documents

    def __call__(self, request: bytes) -> bytes:
        one = asked(request)
        if one.basic != "reader:canary-token-7Qx9":
            return self._error("401 No", "security_exception", f"unable to authenticate user [{one.basic}]")
        if one.path != "/logs-*/_search":
            return self._error("404 Not Found", "index_not_found_exception", "no such index [x]")
        if one.method != "POST" or one.headers.get("content-type") != "application/json":
            return self._error("406 Not Acceptable", "media_type_header_exception", "Invalid media-type")
        given = one.json
        must = given["query"]["bool"]["filter"]
        if must[0]["query_string"]["query"].count('"') % 2:
            return self._error("400 Bad Request", "search_phase_execution_exception", "Failed to parse query")
        field = given.get("aggs", {}).get("codes", {}).get("terms", {}).get("field")
        if field == "message":
            return self._error(
                "400 Bad Request", "search_phase_execution_exception", "Fielddata is disabled on [message]"
            )
        low, high = must[1]["range"]["@timestamp"]["gte"], must[1]["range"]["@timestamp"]["lte"]
        found = [d for d in self.documents if low <= d["@timestamp"] <= high]
        found.sort(key=lambda d: -d["@timestamp"])
        hits = [{"_index": "logs-1", "_source": d} for d in found[: given["size"]]]
        out: dict[str, Any] = {
            "timed_out": False,
            "hits": {"total": {"value": len(found), "relation": "eq"}, "hits": hits},
        }
        if field:
            codes = sorted({d[field] for d in found})
            rows = [{"key": c, "doc_count": sum(d[field] == c for d in found)} for c in codes]
            out["aggregations"] = {"codes": {"buckets": rows}}
        return said(out)

    def _error(self, status: str, kind: str, reason: str) -> bytes:
        cause = {"type": "cause", "reason": reason}
        return said(
            {"error": {"root_cause": [cause], "type": kind, "reason": "all shards failed"}, "status": 0}, status
        )
