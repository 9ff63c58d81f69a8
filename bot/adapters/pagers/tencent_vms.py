"""Tencent Cloud Voice Message Service: `SendTtsVoice` of 2020-09-02, signed by TC3-HMAC-SHA256.

Sources: Tencent Cloud documentation, "SendTtsVoice", "Error codes" and "Status and key notifications". It knows no key
of ours and cannot be asked about a call: after an uncertain answer the phone may ring twice. Callbacks are unsigned and
have the call's id and number, not our context.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import httpx

from bot.adapters.pagers.http import Answer, Http, by_path, keys_of, number, refusal, table, without
from bot.adapters.pagers.template import Template
from bot.app.ports import Given, Heard
from bot.domain.errors import SendFailed
from bot.domain.failure import Failure
from bot.domain.page import Callback, CallLimit, CallStatus, Page
from bot.domain.pager_kinds import PagerConfig
from bot.probes.base import Credential
from bot.probes.vendor import tencent

API = "https://vms.tencentcloudapi.com"
SERVICE, VERSION = "vms", "2020-09-02"
PLAY_TIMES = 3
TOO_LONG = "InvalidParameterValue.ContentLengthLimit"
_FOR_GOOD = frozenset({"InternalError.SigVerificationFail", "InternalError.RestApiInterfaceNotExist"})
_THROTTLED_S = {"LimitExceeded.DeliveryFrequencyLimit": 60.0}
_RESULT = {"0": CallStatus.COMPLETED, "1": CallStatus.NO_ANSWER, "2": CallStatus.FAILED}


class TencentPager:
    """Implements `Pager` and `Listens`. `keys`: whether a pressed key can come back."""

    def __init__(self, config: PagerConfig, *, keys: bool, now: Callable[[], float] = time.time) -> None:
        self.name = config.name
        self.limits: Sequence[CallLimit] = ()
        self._url = config.url or API
        self._app_id = config.options["app_id"]
        self._region = config.options.get("region", "") or "ap-guangzhou"
        self._template = Template(config, keys=keys)
        self._credential = Credential(id=config.secrets["SECRET_ID"], secret=config.secrets["SECRET_KEY"])
        self._path_secret = config.secrets.get("CALLBACK_SECRET", "")
        self._now = now
        self._http = Http(config.timeout_s)

    async def call(self, page: Page) -> str:
        """Place the call; returns its CallId. A title the template finds too long is said shorter."""
        to = number(page)
        code, why, answer = await self._send(page, to, short=False)
        if code == TOO_LONG:
            code, why, answer = await self._send(page, to, short=True)
        if code:
            raise _refused(code, why)
        status = answer.json().get("Response", {}).get("SendStatus")
        return str(status.get("CallId") or page.key) if isinstance(status, dict) else page.key

    def read(self, given: Given) -> Heard:
        """A status or a pressed key."""
        by_path(given, self._path_secret)
        return Heard(said=tuple(_callbacks(table(given.body))), insists=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    async def _send(self, page: Page, to: str, *, short: bool) -> tuple[str, str, Answer]:
        asked = {
            "TemplateId": self._template.id(page),
            "CalledNumber": to,
            "VoiceSdkAppid": self._app_id,
            "TemplateParamSet": [value for _, value in self._template.values(page, short=short)],
            "PlayTimes": PLAY_TIMES,
            "SessionContext": page.key[:200],
        }
        body = json.dumps(asked).encode()
        stamp = int(self._now())
        head = tencent.headers("SendTtsVoice", VERSION, self._region, stamp)
        signed = [("content-type", head["content-type"]), ("host", httpx.URL(self._url).netloc.decode())]
        head["authorization"] = tencent.authorization(
            self._credential, service=SERVICE, signed=signed, payload=body, timestamp=stamp
        )
        answer = await self._http.ask("POST", self._url, content=body, headers=head)
        found = tencent.error_of(answer.json())
        if found is None:
            if not answer.ok:
                raise refusal(answer)
            # The call was taken, or perhaps not: what came back is not Tencent's answer.
            raise SendFailed("the answer is not one of Tencent Cloud's", uncertain=True)
        code, message, request_id = found
        secrets = (self._credential.id, self._credential.secret)
        return code, f"{without(message, secrets)} (request {request_id})", answer


def _refused(code: str, why: str) -> SendFailed:
    reason = f"Tencent {code}: {why}"
    meaning = tencent.meaning(code)
    if code in _FOR_GOOD:
        return SendFailed(reason, permanent=True)
    if meaning is Failure.API_INTERNAL:
        return SendFailed(reason, uncertain=True)
    if meaning is Failure.API_THROTTLED:
        return SendFailed(reason, retry_after_s=1.0)
    if meaning is Failure.API_QUOTA:
        return SendFailed(reason, retry_after_s=_THROTTLED_S.get(code, 300.0))
    return SendFailed(reason, permanent=True)


def _callbacks(row: Mapping[str, Any]) -> Sequence[Callback]:
    found = []
    for kind in ("voiceprompt_callback", "voicekey_callback", "voice_failure_callback"):
        told = row.get(kind)
        if not isinstance(told, dict):
            continue
        digits = keys_of(told.get("keypress"))
        if kind == "voicekey_callback":
            status: CallStatus | None = CallStatus.ANSWERED
        elif kind == "voice_failure_callback":
            status = CallStatus.FAILED
        else:
            status = _RESULT.get(str(told.get("result")))
        if status is not None:
            found.append(Callback(status=status, digits=digits, refs=_refs(told), phone=_phone(told)))
    return found


def _refs(told: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(filter(None, (str(told.get("callid") or ""),)))


def _phone(told: Mapping[str, Any]) -> str:
    mobile = str(told.get("mobile") or "").removeprefix("+")
    nation = str(told.get("nationcode") or "86").removeprefix("+")
    return f"+{nation}{mobile}" if mobile else ""
