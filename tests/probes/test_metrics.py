from __future__ import annotations

import contextlib
import json
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.domain.failure import Failure, FaultOf
from bot.lab.pki import Authority
from bot.probes.cluster.prom_text import samples
from bot.probes.metrics import result
from bot.probes.table import run
from bot.wire.details import believable
from tests.needs import need_tool
from tests.ports import free_port
from tests.probes.conftest import MakeContext
from tests.probes.http_api import TOKEN, Asked, login, said, served
from tests.probes.servers import HOST, http, site, tls_of


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Prometheus that scrapes itself; the URL of its API."""
    need_tool("prometheus")
    folder = tmp_path_factory.mktemp("prometheus")
    port = free_port(HOST)
    own = f"{{job_name: self, static_configs: [{{targets: ['{HOST}:{port}']}}]}}"
    (folder / "prometheus.yml").write_text(f"global: {{scrape_interval: 1s}}\nscrape_configs: [{own}]\n")
    command = ["prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, f"--web.listen-address={HOST}:{port}"], cwd=folder, stdout=log, stderr=log
        )
        try:
            url = f"http://{HOST}:{port}"
            scraped(url)
            yield url
        finally:
            process.terminate()
            process.wait(timeout=60)


def scraped(url: str) -> None:
    """Wait until it has scraped itself."""
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/api/v1/query?query=up") as reply:
            if json.load(reply)["data"]["result"]:
                return
        time.sleep(0.1)
    raise TimeoutError("Prometheus did not scrape itself")


def refused(code: str) -> bytes:
    return said({"status": "error", "errorType": code, "error": "no"}, "503 Service Unavailable")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_prometheus_tells_a_value_with_its_labels(context: MakeContext, prometheus: str, method: str) -> None:
    seen = await run("metrics", {"url": prometheus, "query": "up", "method": method}, context(), 10)
    assert (seen.ok, seen.detail["value"], seen.detail["result_type"]) == (True, 1.0, "vector")
    (row,) = seen.detail["series"]
    assert row["labels"] == {"__name__": "up", "instance": prometheus.removeprefix("http://"), "job": "self"}
    assert abs(row["at"] - time.time()) < 60
    assert set(seen.timings_ms) == {"tcp", "first_byte", "total"}
    assert believable(seen.detail) == seen.detail


def test_the_text_that_prometheus_writes_is_read_line_by_line(prometheus: str) -> None:
    with urllib.request.urlopen(f"{prometheus}/metrics") as reply:
        text = reply.read().decode()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    names = {re.split(r"[ {]", line)[0] for line in lines}
    assert len(list(samples(text, names))) == len(lines) > 300


async def test_a_scalar_is_a_value_and_infinity_is_none(context: MakeContext, prometheus: str) -> None:
    assert (await run("metrics", {"url": prometheus, "query": "1 + 1"}, context(), 10)).detail["value"] == 2.0
    seen = await run("metrics", {"url": prometheus, "query": "1 / 0"}, context(), 10)
    assert (seen.ok, seen.detail["value"]) == (True, None)


async def test_no_series_is_an_answer(context: MakeContext, prometheus: str) -> None:
    seen = await run("metrics", {"url": prometheus, "query": "nobody_knows_this"}, context(), 10)
    assert (seen.ok, seen.detail["value"], seen.detail["series"]) == (True, None, [])


async def test_a_range_has_its_points(context: MakeContext, prometheus: str) -> None:
    asked = {"url": prometheus, "query": "vector(7)", "minutes": 10, "step_s": 60}
    seen = await run("metrics", asked, context(), 10)
    (row,) = seen.detail["series"]
    assert (len(row["values"]), row["value"], seen.detail["value"]) == (11, 7.0, 7.0)
    assert row["values"][1][0] - row["values"][0][0] == 60


async def test_many_series_are_cut_and_counted(context: MakeContext, prometheus: str) -> None:
    seen = await run("metrics", {"url": prometheus, "query": '{__name__=~".+"}'}, context(), 10)
    assert seen.detail["series_total"] > len(seen.detail["series"]) == 50


async def test_a_query_that_is_none_is_told_in_prometheus_own_words(context: MakeContext, prometheus: str) -> None:
    seen = await run("metrics", {"url": prometheus, "query": "up{"}, context(), 10)
    assert (seen.failure, seen.fault_of) == (Failure.API_ERROR, FaultOf.TARGET)
    assert (seen.detail["code"], seen.detail["status"]) == ("bad_data", 400)
    assert "parse error" in seen.detail["message"]


async def test_a_query_that_cannot_be_executed_is_an_error_of_the_query(context: MakeContext, prometheus: str) -> None:
    query = 'label_replace(up, "job", "x", "job", ".*") * on() group_left() {__name__=~"go_.+"}'
    seen = await run("metrics", {"url": prometheus, "query": query}, context(), 10)
    assert (seen.failure, seen.detail["code"], seen.detail["status"]) == (Failure.API_ERROR, "execution", 422)


@pytest.mark.parametrize(
    ("answer", "failure", "code"),
    [
        (refused("timeout"), "api_internal", "timeout"),
        (refused("unavailable"), "api_internal", "unavailable"),
        (http("503 Service Unavailable", b"Service Unavailable"), "http_status", None),
        (http("302 Found", b"", "Location: https://login.example/"), "http_status", None),
        (http("403 Forbidden", b"no"), "api_denied", None),
        (http("429 Too Many Requests", b"slow"), "api_throttled", None),
        (http("200 OK", b"<html>a login page</html>"), "http_body", None),
        (said({"ok": True}), "http_body", None),
        (b"", "http_protocol", None),
    ],
)
async def test_what_a_server_answers_instead_is_named(
    context: MakeContext, answer: bytes, failure: str, code: str | None
) -> None:
    async with site(lambda _: answer) as server:
        asked = {"url": f"http://{HOST}:{server.port}/prometheus", "query": "up"}
        seen = await run("metrics", asked, context(), 10)
    assert server.requests[0].startswith(b"GET /prometheus/api/v1/query?query=up&timeout=5s HTTP/1.1\r\n")
    assert (seen.failure, seen.detail.get("code")) == (failure, code)
    assert len(server.requests) == 1


def up(one: Asked) -> bytes:
    return said({"status": "success", "data": {"resultType": "scalar", "result": [1, "3.5"]}, "warnings": ["w"]})


async def test_a_login_goes_to_its_own_server_only(
    context: MakeContext, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARROOM_TEST_LOGIN", TOKEN)
    async with site(served(up), tls_of(authority, tmp_path)) as server, site(served(up)) as plain:
        ctx = context(login("metrics", server.port))
        asked = {"url": f"https://api.test:{server.port}", "address": HOST, "query": "up", "login": "mine"}
        seen = await run("metrics", asked, ctx, 10)
        assert (seen.ok, seen.detail["value"], seen.detail["warnings"]) == (True, 3.5, ["w"])
        for url in (f"http://api.test:{plain.port}", f"https://evil.test:{server.port}"):
            seen = await run("metrics", {**asked, "url": url}, ctx, 10)
            assert (seen.failure, seen.fault_of) == (Failure.POLICY_DENIED, FaultOf.POLICY)
    assert (len(server.requests), len(plain.requests)) == (1, 0)


@pytest.mark.parametrize("user", ["", "reader"])
async def test_a_token_that_the_server_echoes_is_not_told(
    context: MakeContext, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    monkeypatch.setenv("WARROOM_TEST_LOGIN", TOKEN)

    def echo(request: bytes) -> bytes:
        shown = re.findall(rb"authorization: (.*)\r", request)[0].decode()
        told = f"{'x' * 290}{shown} {TOKEN} {shown}"
        return said({"status": "error", "errorType": shown, "error": told, "warnings": [shown]}, "401 No")

    def broken(request: bytes) -> bytes:
        return re.findall(rb"authorization: (.*)\r", request)[0] + b"\r\n\r\n"

    for answer in (echo, broken):
        async with site(answer, tls_of(authority, tmp_path)) as server:
            asked = {"url": f"https://api.test:{server.port}", "address": HOST, "query": "up", "login": "mine"}
            seen = await run("metrics", asked, context(login("metrics", server.port, user=user)), 10)
        shown = re.findall(rb"authorization: \w+ (.*)\r", server.requests[0])[0].decode()
        assert not seen.ok
        assert TOKEN not in str(seen)
        assert shown not in str(seen)
        assert shown[:12] not in str(seen)


def test_a_result_of_any_shape_becomes_bounded_json() -> None:
    for odd in (None, 7, {}, [1], [{"metric": 3}], [{"values": [[1]]}], [{"value": ["x", "y"]}]):
        for kind in ("vector", "matrix", "scalar", "string", None):
            json.dumps(result({"resultType": kind, "result": odd}), allow_nan=False)
