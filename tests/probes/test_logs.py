from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Outcome
from bot.lab.pki import Authority
from bot.probes.logs import code_of
from bot.probes.table import run
from bot.probes.web.log_backends import Line
from bot.wire.details import believable
from tests.probes.conftest import MakeContext
from tests.probes.http_api import TOKEN, login, served
from tests.probes.log_servers import TOPIC, Cls, Elastic, Loki
from tests.probes.servers import HOST, Answer, http, site, tls_of

KEY = {
    "WARROOM_TENCENT_SECRET_ID": "AKIDcanary0123456789",
    "WARROOM_TENCENT_SECRET_KEY": "canary-secret",
    "WARROOM_TENCENT_HOSTS": "api.test",
}
THROTTLED = {"level": "error", "errorCode": "LimitExceeded.PhoneNumberDailyLimit", "phone": "+8613800138000"}
DENIED = {"level": "error", "errorCode": "UnauthorizedOperation", "msg": "Authorization: Bearer canary-of-others"}


class Asking:
    """Runs the probe against a server behind TLS."""

    def __init__(self, context: MakeContext, authority: Authority, folder: Path) -> None:
        self.context, self.authority, self.folder = context, authority, folder

    async def __call__(
        self, server: Answer, keys: dict[str, str] | None = None, user: str = "", **asked: Any
    ) -> Outcome:
        async with site(server, tls_of(self.authority, self.folder)) as up:
            ctx = self.context(login("logs", up.port, user=user), **(KEY if keys is None else keys))
            given = {"url": f"https://api.test:{up.port}/", "address": HOST, "query": "error", **asked}
            return await run("logs", given, ctx, 10)


@pytest.fixture
def ask(context: MakeContext, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Asking:
    monkeypatch.setenv("WARROOM_TEST_LOGIN", TOKEN)
    return Asking(context, authority, tmp_path)


CLS = {"backend": "cls", "topic": TOPIC, "region": "ap-guangzhou"}
LOKI = {"backend": "loki", "tenant": "ops", "login": "mine", "query": '{app="sms"}'}
ELASTIC = {"backend": "elasticsearch", "index": "logs-*", "login": "mine", "query": "level:error", "user": "reader"}


async def test_cls_counts_codes_and_shows_masked_samples(ask: Asking) -> None:
    seen = await ask(Cls([THROTTLED] * 3 + [DENIED]), **CLS, code="errorCode")
    assert (seen.ok, seen.detail["total"], seen.detail["more"], seen.detail["counted"]) == (True, 4, False, 4)
    assert seen.detail["counts"] == {"LimitExceeded.PhoneNumberDailyLimit": 3, "UnauthorizedOperation": 1}
    assert len(seen.detail["samples"]) == 4
    assert "+86138****8000" in seen.detail["samples"][0]["text"]
    assert "canary" not in str(seen)
    assert seen.detail["first_at"] == seen.detail["last_at"] == seen.detail["samples"][0]["at"]
    assert believable(seen.detail) == seen.detail


async def test_cls_is_asked_for_the_last_minutes_only(ask: Asking) -> None:
    seen = await ask(Cls([THROTTLED], age_s=600), **CLS, minutes=5)
    assert (seen.ok, seen.detail["total"], seen.detail["samples"], seen.detail["first_at"]) == (True, 0, [], None)
    seen = await ask(Cls([THROTTLED], age_s=600), **CLS, minutes=15)
    assert seen.detail["total"] == 1


async def test_more_lines_than_asked_for_are_at_least_so_many(ask: Asking) -> None:
    seen = await ask(Cls(["error code=A"] * 30), **CLS, limit=20)
    assert (seen.detail["total"], seen.detail["more"], seen.detail["counts"]) == (20, True, {"A": 20})
    assert len(seen.detail["samples"]) == 10


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("UnauthorizedOperation", Failure.API_DENIED),
        ("RequestLimitExceeded", Failure.API_THROTTLED),
        ("FailedOperation.SyntaxError", Failure.API_ERROR),
        ("AuthFailure.SignatureFailure", Failure.API_BAD_CREDENTIAL),
    ],
)
async def test_cls_refuses_by_its_error_code(ask: Asking, code: str, failure: Failure) -> None:
    seen = await ask(Cls([], code=code), **CLS)
    assert (seen.failure, seen.detail["code"]) == (failure, code)
    assert "canary" not in str(seen)


async def test_a_wrong_key_is_told_and_not_shown(ask: Asking) -> None:
    seen = await ask(Cls([]), keys={**KEY, "WARROOM_TENCENT_SECRET_KEY": "canary-other"}, **CLS)
    assert (seen.failure, seen.detail["code"]) == (Failure.API_BAD_CREDENTIAL, "AuthFailure.SignatureFailure")
    assert "canary" not in str(seen)


async def test_without_a_key_cls_is_the_agents_lack(ask: Asking) -> None:
    seen = await ask(Cls([]), keys={}, **CLS)
    assert (seen.failure, seen.fault_of) == (Failure.NO_CREDENTIAL, FaultOf.AGENT)


LINES = ['level=error code=1040 msg="Too many connections"', "level=error code=1040", "level=error code=2013", "ok"]


async def test_loki_counts_lines_of_a_tenant(ask: Asking) -> None:
    seen = await ask(served(Loki(LINES)), **{**LOKI, "query": '{app="sms"} |= "error"'})
    assert (seen.ok, seen.detail["total"], seen.detail["counts"]) == (True, 3, {"1040": 2, "2013": 1})
    assert seen.detail["samples"][0]["text"] == 'level=error code=1040 msg="Too many connections"'
    assert seen.detail["first_at"] < seen.detail["last_at"]


async def test_a_label_of_a_loki_stream_is_a_field_too(ask: Asking) -> None:
    assert (await ask(served(Loki(LINES)), **LOKI, code="level")).detail["counts"] == {"error": 4}


@pytest.mark.parametrize(
    ("more", "failure", "message"),
    [
        ({"tenant": "others"}, Failure.API_BAD_CREDENTIAL, "no org id"),
        ({"query": "{app=sms"}, Failure.API_ERROR, "parse error"),
        ({"query": 'rate({app="sms"}[1m])'}, Failure.API_ERROR, "numbers"),
    ],
)
async def test_loki_refuses_in_its_own_words(ask: Asking, more: dict[str, str], failure: Failure, message: str) -> None:
    seen = await ask(served(Loki([])), **{**LOKI, **more})
    assert (seen.failure, seen.fault_of) == (failure, FaultOf.TARGET)
    assert message in seen.detail["message"]


def documents(count: int) -> list[dict[str, Any]]:
    now = int(time.time() * 1000)
    return [
        {"@timestamp": now - i * 1000, "message": f"call failed password=canary{i}", "code": "E1" if i % 3 else "E2"}
        for i in range(count)
    ]


async def test_elasticsearch_counts_all_matches_by_a_field_though_few_lines_come(ask: Asking) -> None:
    seen = await ask(Elastic(documents(30)), **ELASTIC, code="code", limit=5)
    assert (seen.ok, seen.detail["total"], seen.detail["counted"]) == (True, 30, 30)
    assert (seen.detail["counts"], len(seen.detail["samples"])) == ({"E1": 20, "E2": 10}, 5)
    assert seen.detail["samples"][0]["text"] == "call failed password=***"


@pytest.mark.parametrize(
    ("more", "failure", "message"),
    [
        ({"index": "other"}, Failure.API_ERROR, "no such index"),
        ({"query": '"half'}, Failure.API_ERROR, "Failed to parse query"),
        ({"code": "message"}, Failure.API_ERROR, "Fielddata is disabled"),
        ({"user": "stranger"}, Failure.API_BAD_CREDENTIAL, "unable to authenticate user [***]"),
    ],
)
async def test_elasticsearch_refuses_in_its_own_words_without_ours(
    ask: Asking, more: dict[str, str], failure: Failure, message: str
) -> None:
    seen = await ask(Elastic([]), **{**ELASTIC, **more})
    assert seen.failure is failure
    assert message in seen.detail["message"]
    assert TOKEN not in str(seen)


@pytest.mark.parametrize("backend", [CLS, LOKI, ELASTIC])
@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (http("502 Bad Gateway", b"<html>"), Failure.HTTP_STATUS),
        (http("200 OK", b"<html>"), Failure.HTTP_BODY),
        (http("200 OK", b"[]"), Failure.HTTP_BODY),
        (b"", Failure.HTTP_PROTOCOL),
    ],
)
async def test_an_answer_of_somebody_else_is_no_log(
    ask: Asking, backend: dict[str, str], answer: bytes, failure: Failure
) -> None:
    seen = await ask(lambda _: answer, **backend)
    assert (seen.ok, seen.failure) == (False, failure)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"backend": "splunk"}, "backend must be one of"),
        ({"index": "logs/../_cluster"}, "index is not the name of one"),
        ({"index": "_cluster"}, "index is not the name of one"),
        ({"code": "(a+)+$"}, "code must be a field's name"),
        ({"code": "a", "code_after": "b"}, "not both"),
        ({**CLS, "url": "http://api.test/"}, "https"),
        ({**CLS, "login": "mine"}, "key for tencent"),
        ({**CLS, "query": "* | SELECT count(*)"}, "analysis"),
        ({"minutes": 1441}, "minutes"),
        ({**CLS, "region": "ap-x: y"}, "region"),
    ],
)
async def test_what_cannot_be_asked_is_refused_before_anything_is_sent(
    context: MakeContext, more: dict[str, Any], says: str
) -> None:
    given = {"backend": "elasticsearch", "index": "logs", "url": "https://api.test/", "query": "x", **more}
    if given["backend"] == "cls":
        del given["index"]
    seen = await run("logs", given, context(**KEY), 10)
    assert seen.failure is Failure.UNSUPPORTED
    assert says in seen.detail["reason"]


@pytest.mark.parametrize(
    ("text", "field", "after", "code"),
    [
        ('{"resp": {"Error": {"Code": "X.Y"}}}', "", "", "X.Y"),
        ("request failed, error_code: 40001", "", "", "40001"),
        ("decoded=1 barcode=7", "", "", ""),
        ("ORA-01017: invalid username", "", "ORA-", "01017"),
        ('said "ret" : "E7"', "", '"ret', "E7"),
        ("nothing", "", "ret", ""),
    ],
)
def test_a_code_is_found_by_the_text_before_it(text: str, field: str, after: str, code: str) -> None:
    assert code_of(Line(at=None, text=text), field, after) == code


def test_a_code_is_found_by_its_fields_name() -> None:
    fields = {"resp": {"error": {"code": 7}}, "a.b": "flat", "list": [1], "flag": None}
    line = Line(at=None, text="code=no", fields=fields)
    assert code_of(line, "resp.error.code", "") == "7"
    assert code_of(line, "a.b", "") == "flat"
    assert [code_of(line, name, "") for name in ("resp", "list", "flag", "resp.x.y")] == [""] * 4
