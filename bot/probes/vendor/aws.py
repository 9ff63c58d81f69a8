"""AWS: Signature Version 4 and the meaning of its error codes.

Source: AWS documentation, "Create a signed AWS API request" and "Common errors"; the query protocol (STS, EC2, SNS,
IAM, CloudFormation, ...), whose errors are XML unless JSON is asked for and known.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence

from bot.domain.failure import Failure
from bot.probes.base import Credential

ALGORITHM = "AWS4-HMAC-SHA256"
READ_ONLY = re.compile(
    r"(?!Get(Session|Federation)Token|Get(SecretValue|PasswordData|RandomPassword))"
    r"(Describe|List|Get|Query|Search|Lookup|Head)[A-Za-z0-9]*"
)
"""Actions a probe may call: none that changes anything, makes a token or reveals a secret."""


def authorization(
    credential: Credential,
    *,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    payload_hash: str,
    region: str,
    service: str,
    stamp: str,
) -> str:
    """The Authorization header. `headers` (names in lower case) are all signed; `stamp` reads 20150830T123600Z.

    `path` and `query` stand as they go on the request line, the query sorted and encoded.
    """
    lines = "".join(f"{name}:{' '.join(value.split())}\n" for name, value in sorted(headers.items()))
    names = ";".join(sorted(headers))
    request = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{payload_hash}"
    scope = f"{stamp[:8]}/{region}/{service}/aws4_request"
    to_sign = f"{ALGORITHM}\n{stamp}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}"
    key = f"AWS4{credential.secret}".encode()
    for part in (stamp[:8], region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    value = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return f"{ALGORITHM} Credential={credential.id}/{scope}, SignedHeaders={names}, Signature={value}"


_PART = {
    name: re.compile(rf"<{name}>([^<]{{0,2000}})</{name}>", re.IGNORECASE) for name in ("Code", "Message", "RequestId")
}


def error_of(body: str) -> tuple[str, str, str] | None:
    """(code, message, request id) of an answer in XML, code "" for success; None when it has not AWS' shape."""
    request_id = _PART["RequestId"].search(body)
    if not body.lstrip().startswith("<") or request_id is None:
        return None
    if "<Error>" not in body:
        return "", "", request_id[1]
    code, message = _PART["Code"].search(body), _PART["Message"].search(body)
    return (code[1] if code else "Unknown"), (message[1] if message else ""), request_id[1]


_BY_CODE: Sequence[tuple[re.Pattern[str], Failure]] = (
    (re.compile(r"RequestExpired|RequestTimeTooSkewed"), Failure.API_CLOCK_SKEW),
    (
        re.compile(
            r"AuthFailure|InvalidClientTokenId|InvalidAccessKeyId|UnrecognizedClient.*|SignatureDoesNotMatch"
            r"|IncompleteSignature|MissingAuthenticationToken|ExpiredToken.*|InvalidToken|InvalidSignature.*"
        ),
        Failure.API_BAD_CREDENTIAL,
    ),
    (
        re.compile(r"AccessDenied.*|UnauthorizedOperation|NotAuthorized|AuthorizationError|OptInRequired|Blocked"),
        Failure.API_DENIED,
    ),
    (
        re.compile(r"Throttl.*|RequestLimitExceeded|TooManyRequests.*|RequestThrottled.*|SlowDown"),
        Failure.API_THROTTLED,
    ),
    (re.compile(r".*LimitExceeded.*|.*Quota.*"), Failure.API_QUOTA),
    (re.compile(r"Internal.*|ServiceUnavailable.*|Unavailable|ServiceFailure"), Failure.API_INTERNAL),
)


def meaning(code: str, message: str = "") -> Failure | None:
    """What an error code of a signed call amounts to; None for "" (success).

    A signature made by a wrong clock is refused as one that does not match; only the message tells.
    """
    if not code:
        return None
    if re.search(r"Signature expired|Signature not yet current", message):
        return Failure.API_CLOCK_SKEW
    return next((failure for pattern, failure in _BY_CODE if pattern.fullmatch(code)), Failure.API_ERROR)
