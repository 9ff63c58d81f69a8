from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from bot.domain.failure import Failure
from bot.domain.probe import Outcome
from bot.lab.pki import Authority
from bot.probes.table import run
from bot.wire.details import believable
from tests.probes.conftest import MakeContext
from tests.probes.http_api import said
from tests.probes.servers import HOST, http, site, tls_of

SUMMARY = {
    "page": {"id": "p", "name": "Vendor"},
    "status": {"indicator": "major", "description": "Partial System Outage"},
    "components": [
        {"name": "SMS", "status": "partial_outage", "group": False},
        {"name": "Voice", "status": "degraded_performance", "group": False},
        {"name": "Console", "status": "operational", "group": False},
        {"name": "Messaging", "status": "partial_outage", "group": True},
    ],
    "incidents": [
        {
            "name": "Elevated delays",
            "status": "investigating",
            "impact": "major",
            "created_at": "2026-11-24T03:10:00.000+08:00",
            "started_at": "2026-11-24T03:04:05.123+08:00",
            "shortlink": "https://stspg.io/1",
            "components": [{"name": "SMS"}],
        },
        {"name": "Voice quality", "status": "monitoring", "impact": "minor", "shortlink": "javascript:alert(1)"},
    ],
}


async def page(context: MakeContext, answer: bytes, path: str = "/", **more: Any) -> tuple[Outcome, bytes]:
    async with site(lambda _: answer) as server:
        seen = await run("status_page", {"url": f"http://{HOST}:{server.port}{path}", **more}, context(), 10)
    return seen, server.requests[0]


async def test_a_statuspage_tells_its_components_and_incidents(context: MakeContext) -> None:
    seen, request = await page(context, said(SUMMARY))
    assert request.startswith(b"GET /api/v2/summary.json HTTP/1.1\r\n")
    assert (seen.ok, seen.failure) == (True, None)
    assert (seen.detail["format"], seen.detail["indicator"], seen.detail["open"]) == ("statuspage", "major", 2)
    assert [row["name"] for row in seen.detail["components"]] == ["SMS", "Voice"]
    assert seen.detail["incidents"][0] == {
        "title": "Elevated delays",
        "status": "investigating",
        "impact": "major",
        "since": "2026-11-23T19:04:05+00:00",
        "url": "https://stspg.io/1",
    }
    assert (seen.detail["incidents"][1]["since"], seen.detail["incidents"][1]["url"]) == (None, "")
    assert believable(seen.detail) == seen.detail


async def test_words_narrow_it_to_what_matters(context: MakeContext) -> None:
    seen, _ = await page(context, said(SUMMARY), match=["sms"])
    assert [row["name"] for row in seen.detail["components"]] == ["SMS"]
    assert [row["title"] for row in seen.detail["incidents"]] == ["Elevated delays"]
    assert seen.detail["open"] == 1


def feed(*items: tuple[str, float]) -> bytes:
    rows = ""
    for title, hours in items:
        at = format_datetime(datetime.now(UTC) - timedelta(hours=hours))
        rows += f"<item><title>{title}</title><pubDate>{at}</pubDate></item>"
    return http("200 OK", f'<?xml version="1.0"?><rss version="2.0"><channel>{rows}</channel></rss>'.encode())


async def test_a_feed_tells_what_is_recent_and_what_is_resolved(context: MakeContext) -> None:
    items = feed(("短信服务异常", 1), ("[RESOLVED] SMS delays", 5), ("CVM maintenance", 9), ("SMS old", 200))
    seen, request = await page(context, items, "/rss.xml")
    assert request.startswith(b"GET /rss.xml HTTP/1.1\r\n")
    rows = [(row["title"], row["status"]) for row in seen.detail["incidents"]]
    assert rows == [
        ("短信服务异常", "unresolved"),
        ("[RESOLVED] SMS delays", "resolved"),
        ("CVM maintenance", "unresolved"),
    ]
    assert (seen.ok, seen.detail["format"], seen.detail["open"]) == (True, "feed", 2)
    assert believable({**seen.detail, "indicator": "x"}) == {**seen.detail, "indicator": "x"}
    seen, _ = await page(context, items, "/rss.xml", match=["sms", "短信"], days=30)
    assert [row["title"] for row in seen.detail["incidents"]] == ["短信服务异常", "[RESOLVED] SMS delays", "SMS old"]


@pytest.mark.parametrize(
    ("answer", "form", "failure"),
    [
        (http("200 OK", b"<!DOCTYPE html><html>"), "auto", Failure.HTTP_BODY),
        (http("200 OK", b"hello"), "auto", Failure.HTTP_BODY),
        (http("200 OK", b"[]"), "auto", Failure.HTTP_BODY),
        (http("200 OK", json.dumps(SUMMARY).encode()), "feed", Failure.HTTP_BODY),
        (http("200 OK", b"<rss/>"), "statuspage", Failure.HTTP_BODY),
        (http("200 OK", b"{" + b" " * 1_100_000), "auto", Failure.HTTP_BODY),
        (http("503 Down", b"{}"), "auto", Failure.HTTP_STATUS),
        (b"", "auto", Failure.HTTP_PROTOCOL),
    ],
)
async def test_what_is_no_status_page_is_a_failure(
    context: MakeContext, answer: bytes, form: str, failure: Failure
) -> None:
    seen, _ = await page(context, answer, "/status", format=form)
    assert (seen.ok, seen.failure) == (False, failure)


async def test_a_redirect_is_told_and_not_followed(context: MakeContext) -> None:
    async with site(lambda _: said(SUMMARY)) as other:
        target = f"http://{HOST}:{other.port}/api/v2/summary.json"
        seen, _ = await page(context, http("302 Found", b"", f"Location: {target}"))
    assert (seen.failure, seen.detail["location"], other.requests) == (Failure.HTTP_STATUS, target, [])


async def test_a_page_behind_tls_is_verified(context: MakeContext, authority: Authority, tmp_path: Path) -> None:
    for names, ok in ((("status.test",), True), (("other.test",), False)):
        async with site(lambda _: said(SUMMARY), tls_of(authority, tmp_path, names)) as server:
            asked = {"url": f"https://status.test:{server.port}", "address": HOST}
            seen = await run("status_page", asked, context(), 10)
        assert (seen.ok, seen.failure) == (ok, None if ok else Failure.TLS_WRONG_HOST)
        assert "tls" in seen.timings_ms
