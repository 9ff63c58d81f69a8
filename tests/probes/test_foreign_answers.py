"""Whatever shape an answer has, reading it gives bounded JSON that the hub believes, or a refusal in our words."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.change import newest
from bot.probes import metrics, status_page
from bot.probes.cluster import coredns_inventory, kubernetes
from bot.probes.cluster.coredns_metrics import Between, scrape, told, zones
from bot.probes.cluster.rollouts import rollouts
from bot.probes.logs import summary
from bot.probes.vendor import cloudaudit
from bot.probes.web import feeds
from bot.probes.web.exchange import Exchange, Reply
from bot.probes.web.log_backends import BACKENDS, Found, Line, Query, Refusal
from bot.probes.web.service_api import Answer
from bot.wire.details import believable
from bot.wire.frames import MAX_FRAME

WORDS = [
    *(
        "Response",
        "Error",
        "Code",
        "Message",
        "Results",
        "LogJson",
        "Time",
        "ListOver",
        "Events",
        "EventTime",
        "EventName",
    ),
    *("status", "data", "result", "resultType", "metric", "value", "values", "streams", "stream", "success", "matrix"),
    *(
        "hits",
        "total",
        "relation",
        "_source",
        "aggregations",
        "codes",
        "buckets",
        "key",
        "doc_count",
        "error",
        "root_cause",
    ),
    *(
        "metadata",
        "spec",
        "template",
        "containers",
        "image",
        "annotations",
        "ownerReferences",
        "kind",
        "Deployment",
        "name",
    ),
    *("creationTimestamp", "deployment.kubernetes.io/revision", "conditions", "lastUpdateTime", "containerStatuses"),
    *(
        "restartCount",
        "lastState",
        "terminated",
        "finishedAt",
        "podIP",
        "components",
        "incidents",
        "items",
        "Resources",
    ),
    *(
        "indicator",
        "shortlink",
        "created_at",
        "message",
        "reason",
        "NextToken",
        "replicas",
        "readyReplicas",
        "ErrorCode",
    ),
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from([*WORDS, "1", "2026-11-24T00:00:00Z", '{"code": 1}', "\ud800", "\x1b[1m", "9" * 40, "1e999"])
)
KEYS = st.sampled_from(WORDS)
JSON: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25
)
OBJECTS = st.dictionaries(KEYS, JSON, max_size=6)
QUERY = Query(text="x", place="x", since=0, until=1, limit=5, code="code")
NOW = datetime(2026, 11, 24, tzinfo=UTC)


def told_by_logs(backend: str) -> Callable[[Any], Any]:
    def read(document: Any) -> Any:
        body = json.dumps(document).encode()
        seen = Exchange(reply=Reply(status=200, headers={}, body=body, date_skew_ms=None))
        found = BACKENDS[backend].read(Answer(seen=seen, document=document), QUERY)
        assert isinstance(found, (Found, Refusal))
        return summary(found, "code", "") if isinstance(found, Found) else {}

    return read


def statuspage(document: Any) -> Any:
    return status_page.from_summary({**document, "status": document.get("status") or {}}, ["x"])


READERS: dict[str, Callable[[Any], Any]] = {
    "metrics": metrics.result,
    "cls": told_by_logs("cls"),
    "loki": told_by_logs("loki"),
    "elasticsearch": told_by_logs("elasticsearch"),
    "rollouts": lambda d: {"changes": [c.to_json() for c in rollouts([d], [d], since=NOW, env="")]},
    "cloudaudit": lambda d: {"changes": [c.to_json() for c in cloudaudit.events(d, "")], "next": cloudaudit.onward(d)},
    "pods": lambda d: {"pods": [coredns_inventory.pod(d)], "replicas": coredns_inventory.replicas([d])},
    "services": lambda d: {"cluster_ip": coredns_inventory.cluster_ip([d])},
    "paths": lambda d: dict(kubernetes.mapping(d, "spec", "template")) and {},
}


@pytest.mark.parametrize("reader", READERS)
@given(document=OBJECTS)
@settings(max_examples=100, deadline=None)
def test_an_answer_of_any_shape_is_read_into_json(reader: str, document: Any) -> None:
    detail = READERS[reader](document)
    kept = believable(detail)
    assert "malformed" not in kept
    assert len(json.dumps(kept, allow_nan=False)) < 200_000


@given(document=st.dictionaries(KEYS, JSON, max_size=6).map(lambda d: {**d, "status": {"indicator": "none"}}))
@settings(max_examples=100, deadline=None)
def test_a_status_page_of_any_shape_is_read_into_json(document: Any) -> None:
    kept = believable(statuspage(document))
    assert "malformed" not in kept
    json.dumps(kept, allow_nan=False)


LINES = st.lists(
    st.text(max_size=30)
    | st.sampled_from(
        [
            'coredns_dns_requests_total{server="a",zone="."} NaN',
            "coredns_dns_requests_total +Inf",
            "coredns_dns_requests_total -5",
            'coredns_forward_request_duration_seconds_bucket{to="x",le="what"} 3',
            'coredns_forward_request_duration_seconds_bucket{to="x",le="nan"} 3',
            'coredns_forward_request_duration_seconds_bucket{to="x",le="+Inf"} 3',
            'coredns_forward_request_duration_seconds_count{to="x"} 3',
            'coredns_dns_responses_total{rcode="NOERROR"} 1e300',
            "process_cpu_seconds_total 1e400",
        ]
    ),
    max_size=8,
)


@given(before=LINES, after=LINES)
@settings(max_examples=200, deadline=None)
def test_counters_of_any_kind_become_finite_rates(before: list[str], after: list[str]) -> None:
    seen = Between(scrape("\n".join(before), 1.0), scrape("\n".join(after), 1.0))
    json.dumps([told(seen), zones([seen])], allow_nan=False)
    assert "malformed" not in believable({"pods": [told(seen)], "zones": zones([seen])})


@given(document=st.binary(max_size=80) | st.text(alphabet="<>/ab&;!DOCTYPErssitem=\"'[]", max_size=80).map(str.encode))
@settings(max_examples=300, deadline=None)
def test_a_document_of_any_bytes_is_a_feed_or_none(document: bytes) -> None:
    for wrapped in (document, b"<rss>" + document + b"</rss>"):
        with contextlib.suppress(feeds.NoFeed):
            assert len(feeds.read(wrapped)) <= 200


LONG = "字" * 5000
ROWS: dict[str, dict[str, Any]] = {
    "vector": {"metric": {f"{i}{LONG}": LONG for i in range(50)}, "value": [1, "1"]},
    "matrix": {
        "metric": {f"{i}{LONG}": LONG for i in range(50)},
        "values": [[1.7e9 + i, f"{i}.123456"] for i in range(900)],
    },
}


@pytest.mark.parametrize("kind", ROWS)
def test_the_longest_series_fit_a_frame(kind: str) -> None:
    fits(metrics.result({"resultType": kind, "result": [ROWS[kind]] * 5000}))


def test_the_longest_changes_fit_a_frame() -> None:
    resource = {"ResourceType": LONG, "ResourceName": LONG}
    row = {"EventTime": "1763942400", "EventName": LONG, "EventNameCn": LONG, "Username": LONG, "Resources": resource}
    found = newest(cloudaudit.events({"Events": [row] * 300}, "e" * 60))
    assert len(found) == 100
    fits({"changes": [change.to_json() for change in found]})


def test_the_longest_samples_and_pages_fit_a_frame() -> None:
    lines = [Line(at=1.0, text=LONG, fields={"code": f"{i}{LONG}"}) for i in range(1000)]
    fits(summary(Found(lines=lines, total=1000), "code", ""))
    row = {"name": LONG, "status": LONG, "impact": LONG, "shortlink": f"https://{LONG}"}
    fits(statuspage({"components": [row] * 500, "incidents": [row] * 500}))


def fits(detail: dict[str, Any]) -> None:
    assert len(json.dumps(believable(detail), ensure_ascii=False).encode()) < MAX_FRAME * 0.9
