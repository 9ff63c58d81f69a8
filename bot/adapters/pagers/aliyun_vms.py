"""Alibaba Cloud Voice Messaging (dyvmsapi 2017-05-25): `IvrCall` where keys can come back, else `SingleCallByTts`.

Sources: Alibaba Cloud documentation, "SingleCallByTts", "IvrCall", "QueryCallDetailByCallId", "VoiceReport",
"VoiceCallReport" and "Throttling rules" (one number: 1/min, 5/h, 20/day, failed calls included). `OutId` has room for
15 bytes and cannot be searched for: after an uncertain answer the phone may ring twice. Callbacks are unsigned.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bot.adapters.pagers.http import Http, by_path, document, keys_of, number, refusal, unreadable, without
from bot.adapters.pagers.template import Template
from bot.app.ports import Given, Heard
from bot.domain.errors import SendFailed
from bot.domain.failure import Failure
from bot.domain.page import DIGIT_ACK, DIGIT_ESCALATE, Callback, CallLimit, CallStatus, Page, short_key
from bot.domain.pager_kinds import KINDS, PagerConfig
from bot.domain.text import Text
from bot.probes.base import Credential
from bot.probes.vendor import aliyun

API = "https://dyvmsapi.aliyuncs.com"
VERSION, REGION = "2017-05-25", "cn-hangzhou"
PRODUCT = {"SingleCallByTts": "11000000300006", "IvrCall": "11000000300005"}
PLAY_TIMES = "3"
KEY_WAIT_MS = "10000"
TOO_LONG = frozenset({"isv.PARAM_LENGTH_LIMIT", "isv.TTS_PARAM_LENGTH_LIMIT"})
_WINDOWS = (("天", 86400.0), ("小时", 3600.0), ("分钟", 60.0), ("day", 86400.0), ("hour", 3600.0), ("minute", 60.0))
_LONGEST_S = 300.0
_STATUS = {
    "200000": CallStatus.COMPLETED,
    "200001": CallStatus.COMPLETED,
    "200002": CallStatus.BUSY,
    "200003": CallStatus.NO_ANSWER,
    "200008": CallStatus.COMPLETED,
    "200100": CallStatus.COMPLETED,
    "200101": CallStatus.RINGING,
    "200103": CallStatus.ANSWERED,
    "200112": CallStatus.BUSY,
    "200113": CallStatus.NO_ANSWER,
    "300000": CallStatus.ANSWERED,
}
"""Any other code of six digits that begins with 200 is a call that failed."""
TAKEN = json.dumps({"code": 0, "msg": "OK"})


class AliyunPager:
    """Implements `Pager`, `Tells` and `Listens`. `keys`: whether a pressed key can come back."""

    def __init__(self, config: PagerConfig, *, keys: bool, now: Callable[[], float] = time.time) -> None:
        self.name = config.name
        self.limits: Sequence[CallLimit] = KINDS["aliyun_vms"].limits
        self._url = (config.url or API).rstrip("/") + "/"
        self._show = config.options.get("show_number", "")
        self._thanks = config.options.get("key_template", "")
        self._credential = Credential(id=config.secrets["ACCESS_KEY_ID"], secret=config.secrets["ACCESS_KEY_SECRET"])
        self._path_secret = config.secrets.get("CALLBACK_SECRET", "")
        self._interactive = keys
        self._template = Template(config, keys=keys)
        self._now = now
        self._http = Http(config.timeout_s)

    async def call(self, page: Page) -> str:
        """Place the call; returns its CallId. A title the template finds too long is said shorter."""
        to = number(page)
        row = await self._ask(*self._asked(page, to, short=False))
        if str(row.get("Code")) in TOO_LONG:
            row = await self._ask(*self._asked(page, to, short=True))
        if row.get("Code") != "OK":
            raise self._refused(row)
        return str(row.get("CallId") or page.key)

    async def status(self, ref: str) -> CallStatus | None:
        """How the call stands; known only once it is over."""
        action = "IvrCall" if self._interactive else "SingleCallByTts"
        asked = {"CallId": ref, "ProdId": PRODUCT[action], "QueryDate": str(int(self._now() * 1000))}
        row = await self._ask("QueryCallDetailByCallId", asked)
        if row.get("Code") != "OK":
            error = self._refused(row)
            if error.permanent and str(row.get("Code")).startswith("isv."):
                return None  # no record yet
            raise error
        try:
            data = json.loads(str(row.get("Data") or "{}"))
        except (ValueError, RecursionError):
            return None
        return _status(data.get("state")) if isinstance(data, dict) else None

    def read(self, given: Given) -> Heard:
        """Reports of calls, several at once."""
        by_path(given, self._path_secret)
        rows = document(given.body)
        rows = rows if isinstance(rows, list) else [rows]
        if not all(isinstance(row, dict) for row in rows):
            raise unreadable(Text("不是 JSON 对象的列表", "not a list of JSON objects"))
        said = [heard for row in rows[:100] if (heard := _callback(row)) is not None]
        return Heard(said=said, answer=TAKEN, insists=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def _asked(self, page: Page, to: str, *, short: bool) -> tuple[str, dict[str, str]]:
        mainland = to.startswith("+86")
        ivr = self._interactive and mainland  # IvrCall calls the mainland only
        called = to.removeprefix("+86") if mainland else to.removeprefix("+")
        words = json.dumps(dict(self._template.values(page, short=short, keys=ivr)), ensure_ascii=False)
        common = {"CalledNumber": called, "PlayTimes": PLAY_TIMES, "OutId": short_key(page.key)}
        if self._show:
            common["CalledShowNumber"] = self._show
        if not ivr:
            return "SingleCallByTts", {**common, "TtsCode": self._template.id(page), "TtsParam": words}
        menu: dict[str, str] = {}
        for place, key in enumerate((DIGIT_ACK, DIGIT_ESCALATE), 1):
            menu |= {f"MenuKeyMap.{place}.Key": key, f"MenuKeyMap.{place}.Code": self._thanks}
        start = {"StartCode": self._template.id(page), "StartTtsParams": words, "Timeout": KEY_WAIT_MS}
        return "IvrCall", {**common, **start, **menu, "ByeCode": self._thanks}

    async def _ask(self, action: str, asked: Mapping[str, str]) -> dict[str, Any]:
        stamp = datetime.fromtimestamp(self._now(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        common = aliyun.common(action, VERSION, REGION, timestamp=stamp, nonce=secrets.token_hex(16))
        form = aliyun.signed({**common, **asked}, self._credential, "POST")
        answer = await self._http.ask("POST", self._url, data=form)
        row = answer.json()
        if not isinstance(row.get("Code"), str):
            if not answer.ok:
                raise refusal(answer)
            # The call was taken, or perhaps not: what came back is not Alibaba's answer.
            raise SendFailed("the answer is not one of Alibaba Cloud's", uncertain=True)
        return row

    def _refused(self, row: Mapping[str, Any]) -> SendFailed:
        code, message = str(row.get("Code")), str(row.get("Message") or "")
        said = without(message, (self._credential.id, self._credential.secret))
        reason = f"Alibaba {code}: {said} (request {row.get('RequestId') or '?'})"
        meaning = aliyun.meaning(code)
        if meaning is Failure.API_INTERNAL:
            return SendFailed(reason, uncertain=True)
        if meaning is Failure.API_THROTTLED:
            return SendFailed(reason, retry_after_s=_wait(code, message))
        if meaning is Failure.API_QUOTA:
            return SendFailed(reason, retry_after_s=_LONGEST_S)
        if meaning is Failure.API_CLOCK_SKEW:
            return SendFailed(f"{reason}; set this machine's clock", permanent=True)
        return SendFailed(reason, permanent=True)


def _wait(code: str, message: str) -> float:
    """How long a throttle lasts: business limits name their window, the API's own last a second."""
    if "LIMIT_CONTROL" not in code:
        return 1.0
    return min(_LONGEST_S, next((s for word, s in _WINDOWS if word in message.lower()), 60.0))


def _status(code: object) -> CallStatus | None:
    word = str(code or "")
    known = _STATUS.get(word)
    return known or (CallStatus.FAILED if len(word) == 6 and word.startswith("200") else None)


def _callback(row: Mapping[str, Any]) -> Callback | None:
    status = _status(row.get("status_code"))
    refs = tuple(filter(None, (str(row.get("call_id") or ""), str(row.get("out_id") or ""))))
    if status is None or not refs:
        return None
    return Callback(status=status, digits=keys_of(row.get("dtmf")), refs=refs)
