"""Canary secrets in every credential field, and servers that say back whatever they were sent, in every spelling."""

from __future__ import annotations

import base64
import codecs
import html
import json
import logging
import time
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import pytest

from bot.agent.main import secrets_of
from bot.agent.policy import load_policy
from bot.domain.failure import Failure
from bot.domain.log_filter import RewritingFilter
from bot.domain.probe import Json, Outcome
from bot.lab.pki import Authority
from bot.probes.base import BadParams, Denied, ProbeContext
from bot.probes.redact import Redactor, redactor
from bot.probes.table import KINDS, run
from tests.probes.conftest import MakeContext
from tests.probes.servers import HOST, http, site, tls_of

SECRET = "cAnary+S3cret/&7\u00e9"
IDENT = "AKIDcanaryIdent9"
PASSWORD = "pa55 w0rd~canary"
USER = "warroom"
PAIR = f"{USER}:{PASSWORD}"


def holding(context: MakeContext, tmp_path: Path, more: str = "") -> ProbeContext:
    """A context with a canary in every field that may hold a secret."""
    (tmp_path / "password").write_text(PASSWORD)
    login = f"logins: {{db: {{kind: tcp, for: '10.0.0.5:3306', user: {USER}, secret_file: password}}}}\n"
    environ = {
        "WARROOM_TENCENT_SECRET_ID": IDENT,
        "WARROOM_TENCENT_SECRET_KEY": SECRET,
        "WARROOM_TENCENT_HOSTS": "api.test",
    }
    return context(login + more, **environ)


def spellings(secret: str) -> list[str]:
    """How a server may say it back."""
    raw = secret.encode()
    inside = [base64.b64encode(b"x" * n + raw + b"yz").decode() for n in range(3)]
    return [
        secret,
        f"<{secret}>",
        quote(secret, safe=""),
        quote(secret, safe="").lower() if secret.islower() else quote(secret),
        json.dumps(secret),
        json.dumps(secret, ensure_ascii=False),
        html.escape(secret),
        repr(secret),
        raw.hex(),
        raw.hex().upper(),
        raw.hex(":"),
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode(),
        *inside,
        secret.upper(),
    ]


def known(text: str, secret: str) -> bool:
    """Whether somebody who reads the text knows the secret, or most of it."""
    raw = secret.encode()
    pieces = [secret[:6], secret[-6:], raw.hex()[2:14], base64.b64encode(raw).decode()[2:10], quote(secret)[:6]]
    return any(piece.lower() in text.lower() for piece in pieces)


@pytest.mark.parametrize("secret", [SECRET, IDENT, PASSWORD])
def test_a_secret_is_found_in_each_spelling(secret: str) -> None:
    own = Redactor([secret])
    for spelled in spellings(secret):
        assert not known(own.text(f"before {spelled} after"), secret), spelled
        assert not known(own.text(spelled), secret), spelled


def test_a_secret_that_was_cut_in_two_is_found_at_either_edge() -> None:
    own = Redactor([SECRET])
    for spelled in (SECRET, base64.b64encode(SECRET.encode()).decode(), SECRET.encode().hex()):
        for keep in range(6, len(spelled)):
            assert own.text(f"it said {spelled[:keep]}") == "it said ***"
            assert own.text(f"{spelled[-keep:]} it said") == "*** it said"
    assert own.text("cAnar is a yellow bird") == "cAnar is a yellow bird"


def test_a_short_secret_is_masked_as_a_word_and_leaves_ordinary_words_alone() -> None:
    own = Redactor(["pw", "", "a"])
    assert own.text("password pw, and 'pw' or a pwd") == "password ***, and '***' or *** pwd"


def test_basic_authentication_is_known_as_a_pair(context: MakeContext, tmp_path: Path) -> None:
    own = redactor(holding(context, tmp_path))
    header = base64.b64encode(PAIR.encode()).decode()
    assert own.text(f"Authorization: Basic {header}") == "Authorization: Basic ***"


def test_keys_and_depths_of_a_detail_are_looked_at_too() -> None:
    detail: dict[str, Json] = {SECRET: [{"a": (SECRET, 1, None, True)}], "tries": 1}
    shown = Redactor([SECRET]).outcome(Outcome(ok=True, detail=detail))
    assert shown.detail == {"***": [{"a": ["***", 1, None, True]}], "tries": 1}


def test_an_outcome_without_secrets_is_the_same_one() -> None:
    outcome = Outcome(ok=True, detail={"tries": 1, "address": "10.0.0.1"})
    assert Redactor([SECRET, PASSWORD]).outcome(outcome) is outcome


def test_a_large_outcome_is_looked_through_quickly() -> None:
    own = Redactor([SECRET, IDENT, PASSWORD, PAIR])
    large = Outcome(ok=True, detail={"each": [{"text": "lorem ipsum dolor " * 15, "n": i} for i in range(700)]})
    began = time.process_time()
    for _ in range(10):
        own.outcome(large)
    assert (time.process_time() - began) / 10 < 0.1


@pytest.mark.parametrize("spelled", spellings(SECRET)[:13], ids=range(13))
async def test_no_kind_tells_a_secret_that_a_server_says_in_its_page_status_or_headers(
    context: MakeContext, tmp_path: Path, authority: Authority, spelled: str
) -> None:
    if not spelled.isprintable():
        return
    said = spelled.encode("utf-8", "replace")
    ascii_said = spelled.encode("ascii", "backslashreplace").decode()
    fields = [f"X-Cos-Request-Id: 1\r\nX-Cos-Error-Code: {ascii_said}", f"Location: https://x.test/?{ascii_said}"]
    body = b'{"Response":{"Error":{"Code":"%s","Message":"%s"},"RequestId":"%s"}}' % ((said.replace(b'"', b""),) * 3)
    echo = http(f"200 {ascii_said}", body, *fields)
    ctx = holding(context, tmp_path)
    async with site(lambda _: echo, tls_of(authority, tmp_path)) as server:
        url = f"https://api.test:{server.port}/"
        asked = {"url": url, "address": HOST}
        call = {"vendor": "tencent", "service": "sms", "action": "DescribeX", "version": "2021-01-11", "signed": True}
        seen = [
            await run("http", asked, ctx, 5),
            await run("object_store", {**asked, "vendor": "cos"}, ctx, 5),
            await run("api", {**asked, **call}, ctx, 5),
        ]
    assert all(one.detail["status"] == 200 for one in seen)
    assert not known(str(seen), SECRET)


async def test_what_a_server_got_and_says_back_is_not_told(
    context: MakeContext, tmp_path: Path, authority: Authority
) -> None:
    def echo(request: bytes) -> bytes:
        message = json.dumps(request.decode("latin-1"))
        return http("200 OK", b'{"Response":{"Error":{"Code":"X","Message":%s}}}' % message.encode())

    ctx = holding(context, tmp_path)
    async with site(echo, tls_of(authority, tmp_path)) as server:
        call = {"vendor": "tencent", "service": "sms", "action": "DescribeX", "version": "2021-01-11", "signed": True}
        seen = await run("api", {**call, "url": f"https://api.test:{server.port}/", "address": HOST}, ctx, 5)
        assert IDENT.encode() in server.requests[0]
    assert seen.detail["code"] == "X"
    assert not known(str(seen), IDENT)
    assert not known(str(seen), SECRET)


async def test_a_certificate_that_bears_a_secret_does_not_bear_it_out(
    context: MakeContext, tmp_path: Path, authority: Authority
) -> None:
    name = f"{IDENT.lower()}.test"
    tls = tls_of(authority, tmp_path, [name], ends=timedelta(days=-1))
    async with site(lambda _: http(), tls) as server:
        asked = {"address": HOST, "port": server.port, "sni": name}
        seen = await run("tls", asked, holding(context, tmp_path), 5)
    assert seen.failure is Failure.TLS_EXPIRED
    assert seen.detail["certificate"]["not_after"]
    assert not known(str(seen), IDENT)


async def test_parameters_that_hold_a_secret_come_back_without_it(context: MakeContext, tmp_path: Path) -> None:
    ctx = holding(context, tmp_path)
    for kind in KINDS:
        for params in (
            {"address": SECRET},
            {SECRET: 1},
            {"host": SECRET},
            {"url": f"https://x.test/{SECRET}"},
            {"name": SECRET},
        ):
            seen = await run(kind, params, ctx, 5)
            assert not known(str(seen), SECRET), (kind, params)


def test_a_refused_login_does_not_tell_its_secret(context: MakeContext, tmp_path: Path) -> None:
    ctx = holding(context, tmp_path)
    for name, kind in (("db", "http"), (PASSWORD, "tcp")):
        with pytest.raises(Denied) as caught:
            ctx.login(name, kind, "10.6.6.6:3306")
        assert not known(redactor(ctx).text(str(caught.value)), PASSWORD)
    assert not known(repr(ctx), PASSWORD + SECRET)


async def test_the_log_of_the_agent_shows_no_secret(
    context: MakeContext, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = holding(context, tmp_path)

    def careless(_: object) -> object:
        raise RuntimeError(f"cannot log in with {PASSWORD}")

    monkeypatch.setitem(KINDS, "careless", careless)
    with caplog.at_level(logging.INFO):
        seen = await run("careless", {}, ctx, 5)
        assert "RuntimeError at test_redaction.py" in caplog.text
    assert not known(caplog.text, PASSWORD)
    assert (seen.failure, seen.detail) == (Failure.AGENT_ERROR, {"reason": "RuntimeError"})

    caplog.handler.addFilter(own := RewritingFilter(redactor(ctx, "wr-t0ken-canary").text))
    try:
        with caplog.at_level(logging.DEBUG):
            await run("careless", {}, ctx, 5)
            logging.getLogger("websockets").debug("> Authorization: Bearer %s", "wr-t0ken-canary")
    finally:
        caplog.handler.removeFilter(own)
    assert "cannot log in with ***" in caplog.text
    # A bot that was built earlier in this process has a filter of its own on the same handler, with its own mark.
    assert "Bearer ***" in caplog.text or "Bearer •••" in caplog.text
    assert not known(caplog.text, PASSWORD)


@pytest.mark.parametrize(
    ("url", "goes"),
    [
        ("https://sms.tencentcloudapi.com/", True),
        ("https://SMS.TencentCloudAPI.com./", True),
        ("https://eviltencentcloudapi.com/", False),
        ("https://sms.tencentcloudapi.com.evil.test/", False),
        ("https://evil.test/", False),
        ("https://203.0.113.9/", False),
    ],
)
async def test_a_signed_call_goes_to_the_vendor_only(context: MakeContext, url: str, goes: bool) -> None:
    ctx = context(WARROOM_TENCENT_SECRET_ID=IDENT, WARROOM_TENCENT_SECRET_KEY=SECRET)
    call = {"vendor": "tencent", "service": "sms", "action": "DescribeX", "version": "2021-01-11", "signed": True}
    seen = await run("api", {**call, "url": url, "address": "127.31.0.99"}, ctx, 5)
    if goes:
        assert seen.failure is Failure.TCP_REFUSED
    else:
        assert seen.failure is Failure.POLICY_DENIED
        assert "signs for tencentcloudapi.com and myqcloud.com only" in seen.detail["reason"]


def test_secrets_of_the_environment_are_known_by_their_names() -> None:
    environ = {"WARROOM_AGENT_TOKEN": "t", "WARROOM_NATS_PASSWORD": "p", "WARROOM_NATS_URL": "u", "OTHER_TOKEN": "o"}
    assert secrets_of({**environ, "WARROOM_TENCENT_SECRET_KEY": "k"}) == ("t", "p", "k")


def test_a_policy_that_is_wrong_does_not_tell_a_secret(tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes(codecs.BOM_UTF8 + b"\xff" + PASSWORD.encode())
    path = tmp_path / "policy.yaml"
    path.write_text("logins: {db: {kind: tcp, for: 'h:1', secret_file: password}}\n")
    with pytest.raises(Exception, match="cannot be read") as caught:
        load_policy(path)
    assert not known(str(caught.value), PASSWORD)
    assert not isinstance(caught.value, BadParams)
