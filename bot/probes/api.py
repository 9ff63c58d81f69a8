"""`api`: one call of a vendor's API.

Unsigned, any structured answer proves the way to it and needs no key; signed and read-only, the error code
tells a revoked permission from a dead key, a wrong clock, a throttle or a quota.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial

from bot.domain.failure import Failure
from bot.domain.probe import Json, Outcome
from bot.probes.base import BadParams, Credential, Probe, ProbeContext, failed
from bot.probes.params import Reader
from bot.probes.tries import Try, summarise
from bot.probes.vendor.vendors import VENDORS, Answer, Call, Vendor
from bot.probes.web.exchange import Exchange, Repeat, Reply, repeated, series

_WORD = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SIGNATURE = re.compile(r"[0-9A-Fa-f]{64}")


def prepare(params: Mapping[str, Json]) -> Probe:
    """Call `tries` times. timings_ms as http. detail: as http, with signed, code, message, request_id."""
    read = Reader(params)
    name = read.choice("vendor", VENDORS)
    signed, call = read.flag("signed", False), _call(read)
    wanted = repeated(read, spacing_ms=200)
    read.done()
    if signed:
        _harmless(call, VENDORS[name])
    return partial(_run, name, call, signed, wanted)


async def _run(name: str, call: Call, signed: bool, wanted: Repeat, ctx: ProbeContext) -> Outcome:
    credential = ctx.credentials.get(name) if signed else None
    if signed and credential is None:
        return failed(Failure.NO_CREDENTIAL, vendor=name, signed=True, reason=f"no key for {name} on this agent")
    if credential is not None:
        credential.check(call.url.host)
    return await _calls(call, VENDORS[name], credential, ctx, wanted)


def _call(read: Reader) -> Call:
    words = {key: read.text(key, limit=64) for key in ("service", "action", "version")}
    region = read.text("region", "", limit=64)
    for key, word in {**words, "region": region or "-"}.items():
        if not _WORD.fullmatch(word):
            raise BadParams(f"{key} must be one word")
    url, address, payload = read.url(), read.optional_address(), read.mapping("payload")
    if url.target != "/":
        raise BadParams("url must have no path")
    if any(str(key).lower() in ("action", "version") for key in payload):
        # Where parameters travel as a form they would stand beside, or instead of, those that were looked at.
        raise BadParams("payload must not name an action or a version of its own")
    return Call(**words, region=region, url=url, address=address, payload=payload)


def _harmless(call: Call, vendor: Vendor) -> None:
    if call.url.scheme != "https":
        raise BadParams("url must be https for a signed call")
    if not vendor.read_only(call.action):
        raise BadParams(f"action {call.action} is not known to be read-only; it is not signed")


async def _calls(
    call: Call, vendor: Vendor, credential: Credential | None, ctx: ProbeContext, wanted: Repeat
) -> Outcome:
    own = _secrets(credential)
    answers: list[Answer] = []

    def come_to(found: Exchange) -> Try:
        answer = vendor.read(found.reply) if found.reply else None
        if answer:
            answers.append(answer)
        failure = judge(found.reply, answer, signed=credential is not None) if found.reply else None
        return found.judged(failure, code=_clean(answer.code, own) if answer else None)

    done = await series("api", lambda: vendor.build(call, credential), come_to, ctx, wanted)
    detail = done.detail
    telling = next((a for a in answers if a.code), answers[-1] if answers else None)
    detail["signed"] = credential is not None
    detail["code"] = _clean(telling.code, own) if telling else None
    detail["message"] = _clean(telling.message, own) if telling else None
    detail["request_id"] = _clean(telling.request_id, own) if telling else None
    return summarise(done.tries, **detail)


def _secrets(credential: Credential | None) -> tuple[str, ...]:
    return (credential.secret, credential.id) if credential else ()


def _clean(text: str, secrets: tuple[str, ...]) -> str:
    """What a server says, without our key or signature should it echo them."""
    for secret in secrets:
        text = text.replace(secret, "***")
    return _SIGNATURE.sub("***", text)[:300]


def judge(reply: Reply, answer: Answer | None, *, signed: bool) -> Failure | None:
    """What one reply amounts to."""
    if answer is None:
        return Failure.HTTP_STATUS if reply.status >= 400 else Failure.HTTP_BODY
    return answer.failure if signed else None
