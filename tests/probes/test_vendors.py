"""Alibaba Cloud and AWS beside Tencent: published signatures, servers that check them, what their codes mean."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest

from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Outcome
from bot.lab.pki import Authority
from bot.probes.base import Credential
from bot.probes.table import run
from bot.probes.vendor import aliyun, aws, cos
from tests.probes.conftest import MakeContext
from tests.probes.http_api import asked, said
from tests.probes.servers import HOST, http, site, tls_of

DATA = Path(__file__).parent.parent / "data"
SIGNATURES = json.loads((DATA / "signatures.json").read_text())
SECRET = "canary-secret-9Zw"
KEYS = {
    "WARROOM_ALIYUN_SECRET_ID": "LTAIcanary",
    "WARROOM_ALIYUN_SECRET_KEY": SECRET,
    "WARROOM_AWS_SECRET_ID": "AKIAcanary",
    "WARROOM_AWS_SECRET_KEY": SECRET,
    "WARROOM_TENCENT_SECRET_ID": "AKIDcanary",
    "WARROOM_TENCENT_SECRET_KEY": SECRET,
    **{f"WARROOM_{vendor}_HOSTS": "api.test" for vendor in ("ALIYUN", "AWS", "TENCENT")},
}


def test_the_rpc_signature_matches_the_published_vector() -> None:
    vector = json.loads((DATA / "vectors.json").read_text())["aliyun_rpc"]
    made = aliyun.signature(vector["access_key_secret"], vector["method"], vector["params"])
    assert made == vector["signature"]


@pytest.mark.parametrize("vector", SIGNATURES["aws4"], ids=lambda v: v["service"] + v["method"])
def test_signature_version_4_matches_the_published_examples(vector: dict[str, Any]) -> None:
    given = {name: vector[name] for name in ("method", "path", "query", "headers", "region", "service", "stamp")}
    digest = hashlib.sha256(vector["body"].encode()).hexdigest()
    made = aws.authorization(Credential(id=vector["id"], secret=vector["secret"]), payload_hash=digest, **given)
    assert made.endswith(f"Signature={vector['signature']}")


@pytest.mark.parametrize("vector", SIGNATURES["cos"], ids=lambda v: v["method"])
def test_the_cos_signature_matches_the_published_examples(vector: dict[str, Any]) -> None:
    given = {name: vector[name] for name in ("method", "path", "params", "headers", "begins", "ends")}
    made = cos.authorization(Credential(id=vector["id"], secret=vector["secret"]), **given)
    assert made.endswith(f"q-signature={vector['signature']}")


def alibaba(code: str = "") -> Any:
    """An RPC endpoint that reckons the signature by itself, and tells its string to sign as the real one does."""

    def answer(request: bytes) -> bytes:
        params = dict(parse_qsl(asked(request).body.decode()))
        signature = params.pop("Signature", None)
        if "AccessKeyId" not in params:
            return refuse("MissingAccessKeyId", "AccessKeyId is mandatory for this action.")
        text = "&".join(f"{quote(k, safe='~')}={quote(params[k], safe='~')}" for k in sorted(params))
        to_sign = f"POST&%2F&{quote(text, safe='~')}"
        mac = hmac.new(f"{SECRET}&".encode(), to_sign.encode(), hashlib.sha1).digest()
        if params["AccessKeyId"] != "LTAIcanary" or base64.b64encode(mac).decode() != signature:
            return refuse("SignatureDoesNotMatch", f"server string to sign is:{to_sign}")
        return refuse(code, f"no, {to_sign}") if code else said({"RequestId": "req-1", "Code": "OK", "Regions": []})

    def refuse(code: str, message: str) -> bytes:
        return said({"RequestId": "req-1", "HostId": "ecs", "Code": code, "Message": message}, "403 Forbidden")

    return answer


def amazon(code: str = "", message: str = "no") -> Any:
    """An endpoint of the query protocol that reckons Signature Version 4 by itself."""

    def answer(request: bytes) -> bytes:
        one = asked(request)
        claim = re.fullmatch(
            r"AWS4-HMAC-SHA256 Credential=AKIAcanary/(\d{8})/([\w-]+)/(\w+)/aws4_request, "
            r"SignedHeaders=([\w;-]+), Signature=([0-9a-f]{64})",
            one.headers.get("authorization", ""),
        )
        if claim is None:
            return refuse("MissingAuthenticationToken", "Request is missing Authentication Token")
        day, region, service, names, signature = claim.groups()
        lines = "".join(f"{name}:{one.headers[name]}\n" for name in names.split(";"))
        digest = one.headers.get("x-amz-content-sha256", hashlib.sha256(one.body).hexdigest())
        canonical = f"{one.method}\n{one.path}\n\n{lines}\n{names}\n{digest}"
        stamp, scope = one.headers["x-amz-date"], f"{day}/{region}/{service}/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"AWS4{SECRET}".encode()
        for part in scope.split("/"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        if hmac.new(key, text.encode(), hashlib.sha256).hexdigest() != signature or "host" not in names.split(";"):
            return refuse("SignatureDoesNotMatch", f"The signature does not match: {one.headers['authorization']}")
        if code:
            return refuse(code, message)
        meta = "<ResponseMetadata><RequestId>req-2</RequestId></ResponseMetadata>"
        body = f"<GetCallerIdentityResponse>{meta}</GetCallerIdentityResponse>"
        return http("200 OK", body.encode(), "x-amz-request-id: 1")

    def refuse(code: str, message: str) -> bytes:
        error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>"
        body = f"<ErrorResponse>{error}<RequestId>req-2</RequestId></ErrorResponse>".encode()
        return http("403 Forbidden", body, "x-amz-request-id: 1", f"x-amz-error-code: {code}")

    return answer


ALIYUN = {"vendor": "aliyun", "service": "ecs", "action": "DescribeRegions", "version": "2014-05-26"}
AWS = {"vendor": "aws", "service": "sts", "action": "GetCallerIdentity", "version": "2011-06-15", "region": "us-east-1"}


class Calling:
    """Calls a vendor behind TLS."""

    def __init__(self, context: MakeContext, authority: Authority, folder: Path) -> None:
        self.context, self.authority, self.folder = context, authority, folder

    async def __call__(
        self, vendor: Any, asked: dict[str, Any], kind: str = "api", path: str = "", **more: Any
    ) -> Outcome:
        keys = more.pop("keys", KEYS)
        async with site(vendor, tls_of(self.authority, self.folder)) as server:
            where = {"url": f"https://api.test:{server.port}{path}", "address": HOST}
            return await run(kind, {**asked, **where, **more}, self.context(**keys), 10)


@pytest.fixture
def call(context: MakeContext, authority: Authority, tmp_path: Path) -> Calling:
    return Calling(context, authority, tmp_path)


@pytest.mark.parametrize(
    ("vendor", "given", "code"),
    [(alibaba(), ALIYUN, "MissingAccessKeyId"), (amazon(), AWS, "MissingAuthenticationToken")],
)
async def test_an_unsigned_call_that_is_refused_by_name_proves_the_way(
    call: Calling, vendor: Any, given: dict[str, str], code: str
) -> None:
    seen = await call(vendor, given, keys={})
    assert (seen.ok, seen.detail["code"], seen.detail["signed"]) == (True, code, False)
    assert seen.detail["request_id"].startswith("req-")


@pytest.mark.parametrize(("vendor", "given"), [(alibaba(), ALIYUN), (amazon(), AWS)])
async def test_a_signed_call_is_accepted_by_who_checks_the_signature(
    call: Calling, vendor: Any, given: dict[str, str]
) -> None:
    payload = {"Filter": "名 称/*~", "Limit": 3, "Deep": {"a": 1}}
    seen = await call(vendor, given, signed=True, payload=payload)
    assert (seen.ok, seen.detail["code"]) == (True, "")


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        ("Forbidden.RAM", Failure.API_DENIED),
        ("NoPermission", Failure.API_DENIED),
        ("isv.RAM_PERMISSION_DENY", Failure.API_DENIED),
        ("InvalidAccessKeyId.NotFound", Failure.API_BAD_CREDENTIAL),
        ("InvalidAccessKeyId.Inactive", Failure.API_BAD_CREDENTIAL),
        ("InvalidTimeStamp.Expired", Failure.API_CLOCK_SKEW),
        ("IllegalTimestamp", Failure.API_CLOCK_SKEW),
        ("Throttling.User", Failure.API_THROTTLED),
        ("isv.BUSINESS_LIMIT_CONTROL", Failure.API_THROTTLED),
        ("isv.AMOUNT_NOT_ENOUGH", Failure.API_QUOTA),
        ("QuotaExceed.SmsDay", Failure.API_QUOTA),
        ("Forbidden.SourceIpNotAllowed", Failure.API_ALLOWLIST),
        ("InternalError", Failure.API_INTERNAL),
        ("InvalidParameter", Failure.API_ERROR),
    ],
)
async def test_codes_of_alibaba_tell_the_cause(call: Calling, code: str, failure: Failure) -> None:
    seen = await call(alibaba(code), ALIYUN, signed=True)
    assert (seen.failure, seen.fault_of, seen.detail["code"]) == (failure, FaultOf.TARGET, code)
    assert "canary" not in str(seen)


@pytest.mark.parametrize(
    ("code", "message", "failure"),
    [
        ("AccessDenied", "not authorized to perform sts:GetCallerIdentity", Failure.API_DENIED),
        ("UnauthorizedOperation", "no", Failure.API_DENIED),
        ("InvalidClientTokenId", "no", Failure.API_BAD_CREDENTIAL),
        ("ExpiredToken", "no", Failure.API_BAD_CREDENTIAL),
        ("SignatureDoesNotMatch", "Signature expired: 20261124T000000Z is now earlier than", Failure.API_CLOCK_SKEW),
        ("RequestExpired", "no", Failure.API_CLOCK_SKEW),
        ("Throttling", "Rate exceeded", Failure.API_THROTTLED),
        ("ServiceQuotaExceededException", "no", Failure.API_QUOTA),
        ("ServiceUnavailable", "no", Failure.API_INTERNAL),
        ("ValidationError", "no", Failure.API_ERROR),
    ],
)
async def test_codes_of_aws_tell_the_cause(call: Calling, code: str, message: str, failure: Failure) -> None:
    seen = await call(amazon(code, message), AWS, signed=True)
    assert (seen.failure, seen.fault_of, seen.detail["code"]) == (failure, FaultOf.TARGET, code)


@pytest.mark.parametrize(("vendor", "given"), [(alibaba(), ALIYUN), (amazon(), AWS)])
async def test_a_wrong_key_is_refused_and_no_part_of_it_is_told(
    call: Calling, vendor: Any, given: dict[str, str]
) -> None:
    wrong = {name: f"{value}-wrong" if name.endswith("KEY") else value for name, value in KEYS.items()}
    seen = await call(vendor, given, signed=True, keys=wrong)
    assert (seen.failure, seen.detail["code"]) == (Failure.API_BAD_CREDENTIAL, "SignatureDoesNotMatch")
    assert "canary" not in str(seen)
    assert not re.search(r"[0-9a-f]{64}", str(seen))


@pytest.mark.parametrize("given", [ALIYUN, AWS])
@pytest.mark.parametrize(
    "more",
    [{"action": "SendSms"}, {"action": "DeleteUser"}, {"action": "GetSecretValue"}, {"payload": {"action": "SendSms"}}],
)
async def test_a_key_signs_nothing_that_changes_or_reveals_something(
    call: Calling, given: dict[str, str], more: dict[str, Any]
) -> None:
    seen = await call(alibaba(), {**given, **more}, signed=True)
    assert (seen.failure, seen.fault_of) == (Failure.UNSUPPORTED, FaultOf.AGENT)


def test_no_action_of_aws_that_makes_a_token_is_read_only() -> None:
    assert not [
        a
        for a in ("GetSessionToken", "GetFederationToken", "GetPasswordData", "AssumeRole")
        if aws.READ_ONLY.fullmatch(a)
    ]


async def test_a_signed_head_of_s3_is_accepted_and_a_revoked_one_is_denied(call: Calling) -> None:
    given = {"vendor": "s3", "signed": True, "region": "us-east-1"}
    seen = await call(amazon(), given, kind="object_store", path="/bucket/an%20object")
    assert (seen.ok, seen.detail["status"], seen.detail["signed"]) == (True, 200, True)
    seen = await call(amazon("AccessDenied"), given, kind="object_store", path="/bucket/")
    assert (seen.failure, seen.detail["code"]) == (Failure.API_DENIED, "AccessDenied")
    wrong = {**KEYS, "WARROOM_AWS_SECRET_KEY": "canary-wrong"}
    seen = await call(amazon(), given, kind="object_store", path="/bucket/", keys=wrong)
    assert (seen.failure, "canary" in str(seen)) == (Failure.API_BAD_CREDENTIAL, False)


def bucket(code: str = "") -> Any:
    """A COS bucket that reckons the signature by itself."""

    def answer(request: bytes) -> bytes:
        one = asked(request)
        claim = dict(pair.split("=", 1) for pair in one.headers["authorization"].split("&"))
        key = hmac.new(SECRET.encode(), claim["q-key-time"].encode(), hashlib.sha1).hexdigest()
        lines = f"{one.method.lower()}\n{one.path}\n\nhost={quote(one.headers['host'], safe='')}\n"
        text = f"sha1\n{claim['q-sign-time']}\n{hashlib.sha1(lines.encode()).hexdigest()}\n"
        good = hmac.new(key.encode(), text.encode(), hashlib.sha1).hexdigest() == claim["q-signature"]
        why = code or ("" if good and claim["q-ak"] == "AKIDcanary" else "SignatureDoesNotMatch")
        told = [f"x-cos-error-code: {why}"] if why else []
        return http("403 Forbidden" if why else "200 OK", b"", "x-cos-request-id: NjY=", *told)

    return answer


async def test_a_signed_head_of_cos_is_accepted_and_a_revoked_one_is_denied(call: Calling) -> None:
    given = {"vendor": "cos", "signed": True}
    seen = await call(bucket(), given, kind="object_store", path="/")
    assert (seen.ok, seen.detail["status"]) == (True, 200)
    for code, failure in (("AccessDenied", Failure.API_DENIED), ("RequestTimeTooSkewed", Failure.API_CLOCK_SKEW)):
        seen = await call(bucket(code), given, kind="object_store", path="/")
        assert (seen.failure, seen.detail["code"]) == (failure, code)
    seen = await call(bucket(), given, kind="object_store", path="/", keys={})
    assert (seen.failure, seen.fault_of) == (Failure.NO_CREDENTIAL, FaultOf.AGENT)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("api", {**ALIYUN, "signed": True}),
        ("api", {**AWS, "signed": True}),
        ("object_store", {"vendor": "s3", "signed": True}),
        ("object_store", {"vendor": "cos", "signed": True}),
        ("logs", {"backend": "cls", "topic": "t", "query": "x"}),
    ],
)
async def test_a_signature_goes_to_its_vendor_only(context: MakeContext, kind: str, given: dict[str, Any]) -> None:
    seen = await run(kind, {**given, "url": "https://evil.test/"}, context(**KEYS), 10)
    assert (seen.failure, seen.fault_of) == (Failure.POLICY_DENIED, FaultOf.POLICY)
    assert "signs for api.test only" in seen.detail["reason"]


async def test_a_bucket_is_never_signed_for_without_tls(context: MakeContext) -> None:
    asked = {"vendor": "cos", "url": "http://bucket.test/", "signed": True}
    seen = await run("object_store", asked, context(**KEYS), 10)
    assert (seen.failure, "https" in seen.detail["reason"]) == (Failure.UNSUPPORTED, True)
