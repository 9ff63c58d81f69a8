from __future__ import annotations

import pytest

from bot.domain.failure import Failure
from bot.probes.table import run
from tests.probes.conftest import MakeContext
from tests.probes.servers import HOST, http, site

COS, S3 = "x-cos-request-id: NjY=", "x-amz-request-id: 4442587FB7D0A2F9"


@pytest.mark.parametrize(
    ("vendor", "status", "headers", "failure"),
    [
        ("cos", "200 OK", [], None),
        ("cos", "403 Forbidden", [COS], None),
        ("s3", "404 Not Found", [S3], None),
        ("cos", "403 Forbidden", [], Failure.HTTP_STATUS),
        ("cos", "404 Not Found", [S3], Failure.HTTP_STATUS),
        ("s3", "503 Slow Down", [S3], Failure.HTTP_STATUS),
    ],
)
async def test_a_store_that_answers_for_itself_is_reachable(
    context: MakeContext, vendor: str, status: str, headers: list[str], failure: Failure | None
) -> None:
    async with site(lambda _: http(status, b"", *headers)) as server:
        asked = {"vendor": vendor, "url": f"http://bucket.test:{server.port}/", "address": HOST}
        seen = await run("object_store", asked, context(), 10)
    assert server.requests[0].startswith(b"HEAD / HTTP/1.1\r\n")
    assert (seen.ok, seen.failure, seen.detail["status"]) == (failure is None, failure, int(status[:3]))


async def test_the_vendors_own_code_is_told(context: MakeContext) -> None:
    async with site(lambda _: http("403 Forbidden", b"", COS, "x-cos-error-code: AccessDenied")) as server:
        asked = {"vendor": "cos", "url": f"http://bucket.test:{server.port}/", "address": HOST}
        seen = await run("object_store", asked, context(), 10)
    assert (seen.ok, seen.detail["code"]) == (True, "AccessDenied")
