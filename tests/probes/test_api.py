from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Outcome
from bot.lab.pki import Authority
from bot.probes.base import Credential
from bot.probes.table import run
from bot.probes.vendor import tencent
from tests.probes.conftest import MakeContext
from tests.probes.servers import HOST, http, site, tls_of

VECTORS = json.loads((Path(__file__).parent.parent / "data" / "vectors.json").read_text())["tencent_tc3"]
KEY = {
    "WARROOM_TENCENT_SECRET_ID": "AKIDcanary",
    "WARROOM_TENCENT_SECRET_KEY": "canary-secret",
    "WARROOM_TENCENT_HOSTS": "api.test",
}


@pytest.mark.parametrize("vector", VECTORS)
def test_signatures_match_the_published_vectors(vector: dict[str, object]) -> None:
    signed = [(name, value) for name, value in vector["signed_headers"]]  # type: ignore[union-attr]
    made = tencent.signature(
        str(vector["secret_key"]),
        service=str(vector["service"]),
        signed=signed,
        payload=str(vector["payload"]).encode(),
        timestamp=int(str(vector["timestamp"])),
    )
    assert made == vector["signature"]


class Vendor:
    """Speaks the shape of Tencent Cloud API 3.0 and checks the signature of signed calls."""

    def __init__(self, code: str | None = None) -> None:
        self.code = code

    def __call__(self, request: bytes) -> bytes:
        head, _, body = request.partition(b"\r\n\r\n")
        headers = dict(re.findall(r"([\w-]+): (.*)\r", head.decode() + "\r"))
        if "authorization" not in headers or headers["authorization"] != self._expected(headers, body):
            code = "AuthFailure.SignatureFailure"
        else:
            code = self.code or ""
        error = {"Error": {"Code": code, "Message": f"told {headers.get('authorization', '')}"}} if code else {}
        return http("200 OK", json.dumps({"Response": {**error, "RequestId": "req-1"}}).encode())

    def _expected(self, headers: dict[str, str], body: bytes) -> str:
        signed = [(n, headers[n].strip().lower()) for n in ("content-type", "host", "x-tc-action")]
        return tencent.authorization(
            Credential(id="AKIDcanary", secret="canary-secret"),
            service="sms",
            signed=signed,
            payload=body,
            timestamp=int(headers["x-tc-timestamp"]),
        )


async def call(
    context: MakeContext,
    authority: Authority,
    folder: Path,
    vendor: object,
    *,
    keys: dict[str, str] = KEY,
    **more: object,
) -> Outcome:
    async with site(vendor, tls_of(authority, folder)) as server:  # type: ignore[arg-type]
        asked = {
            "vendor": "tencent",
            "service": "sms",
            "action": "DescribeSmsSignList",
            "version": "2021-01-11",
            "region": "ap-guangzhou",
            "url": f"https://api.test:{server.port}",
            "address": HOST,
            "payload": {"International": 0, "SignIdSet": []},
            **more,
        }
        return await run("api", asked, context(**keys), 10)


async def test_unsigned_any_structured_answer_proves_the_way(
    context: MakeContext, authority: Authority, tmp_path: Path
) -> None:
    seen = await call(context, authority, tmp_path, Vendor(), signed=False)
    assert (seen.ok, seen.detail["code"]) == (True, "AuthFailure.SignatureFailure")
    assert (seen.detail["request_id"], seen.detail["signed"]) == ("req-1", False)
    assert set(seen.timings_ms) == {"tcp", "tls", "first_byte", "total"}


async def test_signed_success_has_no_code(context: MakeContext, authority: Authority, tmp_path: Path) -> None:
    seen = await call(context, authority, tmp_path, Vendor(), signed=True, tries=3, spacing_ms=1)
    assert (seen.ok, seen.detail["code"], seen.detail["tries"]) == (True, "", 3)


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("UnauthorizedOperation", Failure.API_DENIED),
        ("UnauthorizedOperation.CamNoAuth", Failure.API_DENIED),
        ("AuthFailure.UnauthorizedOperation", Failure.API_DENIED),
        ("UnauthorizedOperation.RequestIpNotInWhitelist", Failure.API_ALLOWLIST),
        ("AuthFailure.SecretIdNotFound", Failure.API_BAD_CREDENTIAL),
        ("AuthFailure.SignatureFailure", Failure.API_BAD_CREDENTIAL),
        ("AuthFailure.TokenFailure", Failure.API_BAD_CREDENTIAL),
        ("AuthFailure.SignatureExpire", Failure.API_CLOCK_SKEW),
        ("RequestLimitExceeded", Failure.API_THROTTLED),
        ("RequestLimitExceeded.UinLimitExceeded", Failure.API_THROTTLED),
        ("LimitExceeded.DeliveryFrequencyLimit", Failure.API_QUOTA),
        ("FailedOperation.InsufficientBalanceInSmsPackage", Failure.API_QUOTA),
        ("InternalError.Timeout", Failure.API_INTERNAL),
        ("InvalidParameterValue", Failure.API_ERROR),
    ],
)
async def test_the_error_code_of_a_signed_call_tells_the_cause(
    context: MakeContext, authority: Authority, tmp_path: Path, code: str, failure: Failure
) -> None:
    seen = await call(context, authority, tmp_path, Vendor(code), signed=True)
    assert (seen.failure, seen.fault_of, seen.detail["code"]) == (failure, FaultOf.TARGET, code)
    assert seen.detail["status"] == 200


async def test_no_key_or_signature_reaches_the_outcome_even_if_the_server_echoes_it(
    context: MakeContext, authority: Authority, tmp_path: Path
) -> None:
    seen = await call(context, authority, tmp_path, Vendor("UnauthorizedOperation"), signed=True)
    assert seen.detail["message"].startswith("told TC3-HMAC-SHA256 Credential=***/")
    assert "canary" not in str(seen)
    assert not re.search(r"[0-9a-f]{64}", str(seen))


async def test_without_a_key_a_signed_call_is_the_agents_lack(
    context: MakeContext, authority: Authority, tmp_path: Path
) -> None:
    seen = await call(context, authority, tmp_path, Vendor(), keys={}, signed=True)
    assert (seen.failure, seen.fault_of) == (Failure.NO_CREDENTIAL, FaultOf.AGENT)


@pytest.mark.parametrize("action", ["SendSms", "DeleteSmsSign", "TerminateInstances"])
async def test_a_key_is_never_used_for_an_action_that_may_change_something(
    context: MakeContext, authority: Authority, tmp_path: Path, action: str
) -> None:
    seen = await call(context, authority, tmp_path, Vendor(), signed=True, action=action)
    assert (seen.failure, seen.fault_of) == (Failure.UNSUPPORTED, FaultOf.AGENT)


async def test_a_key_is_never_used_without_tls(context: MakeContext) -> None:
    asked = {"vendor": "tencent", "service": "sms", "action": "DescribeX", "version": "1", "url": "http://api.test"}
    seen = await run("api", {**asked, "signed": True}, context(**KEY), 10)
    assert "https" in seen.detail["reason"]


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (http("502 Bad Gateway", b"<html>"), Failure.HTTP_STATUS),
        (http("200 OK", b"<html>login</html>"), Failure.HTTP_BODY),
        (http("200 OK", b'{"ok": true}'), Failure.HTTP_BODY),
        (b"", Failure.HTTP_PROTOCOL),
    ],
)
async def test_an_answer_that_is_not_the_vendors_is_no_proof(
    context: MakeContext, authority: Authority, tmp_path: Path, answer: bytes, failure: Failure
) -> None:
    seen = await call(context, authority, tmp_path, lambda _: answer)
    assert (seen.ok, seen.failure) == (False, failure)


async def test_calls_carry_the_headers_of_api_3(context: MakeContext, authority: Authority, tmp_path: Path) -> None:
    async with site(Vendor(), tls_of(authority, tmp_path)) as server:
        asked = {"vendor": "tencent", "service": "sms", "action": "DescribeX", "version": "2021-01-11"}
        await run("api", {**asked, "url": f"https://api.test:{server.port}/", "address": HOST}, context(), 10)
    head = server.requests[0].decode()
    assert head.startswith("POST / HTTP/1.1\r\n")
    assert "x-tc-action: DescribeX\r\n" in head
    assert abs(int(re.findall(r"x-tc-timestamp: (\d+)", head)[0]) - time.time()) < 5
    assert "x-tc-region" not in head
