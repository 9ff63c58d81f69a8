"""Tencent Cloud's SendTtsVoice: TC3 signatures checked anew, five minutes of clock, templates with short variables."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from datetime import UTC, datetime
from typing import Any, ClassVar

from bot.domain.pager_kinds import PagerConfig
from tests.adapters.providers.base import Asked, Provider, Reply, Rung

LONGEST_VARIABLE = 20


class TencentServer(Provider):
    kind = "tencent_vms"
    secrets: ClassVar = {
        "SECRET_ID": "AKIDcanary-tencent",
        "SECRET_KEY": "canary-tencent-key",
        "CALLBACK_SECRET": "canary-tencent-path",
    }

    def config(self, **more: Any) -> PagerConfig:
        options = {"app_id": "1400006666", "template": "4356", "template_en": "4357"}
        return PagerConfig(name="p", kind=self.kind, url=self.url, options=options, secrets=self.secrets, **more)

    def handle(self, asked: Asked) -> Reply:
        if abs(time.time() - int(asked.headers["x-tc-timestamp"])) > 300:
            return self._error("AuthFailure.SignatureExpire", "The signature has expired.")
        if asked.headers.get("authorization") != self._authorization(asked):
            shown = asked.headers.get("authorization", "").partition("Credential=")[2].partition("/")[0]
            said = f"The provided credentials could not be validated. {shown}"
            return self._error("AuthFailure.SignatureFailure", said)
        row = asked.json
        assert (asked.headers["x-tc-action"], asked.headers["x-tc-version"]) == ("SendTtsVoice", "2020-09-02")
        if not re.fullmatch(r"\+\d{7,15}", row["CalledNumber"]):
            return self.refuses()
        if row["TemplateId"] not in ("4356", "4357"):
            return self._error("FailedOperation.TemplateIncorrectOrUnapproved", "template")
        if any(not v or len(v) > LONGEST_VARIABLE for v in row["TemplateParamSet"]):
            return self._error("InvalidParameterValue.ContentLengthLimit", "template variable too long")
        rung = self.place(row["SessionContext"], row["CalledNumber"], "|".join(row["TemplateParamSet"]))
        status = {"CallId": rung.ref, "SessionContext": rung.key}
        return Reply(200, {"Response": {"SendStatus": status, "RequestId": "req-1"}})

    def _authorization(self, asked: Asked) -> str:
        stamp = int(asked.headers["x-tc-timestamp"])
        day = datetime.fromtimestamp(stamp, UTC).strftime("%Y-%m-%d")
        named = f"content-type:{asked.headers['content-type']}\nhost:{asked.headers['host']}\n"
        digest = hashlib.sha256(asked.body).hexdigest()
        canonical = f"POST\n/\n\n{named}\ncontent-type;host\n{digest}"
        scope = f"{day}/vms/tc3_request"
        text = f"TC3-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = b"TC3" + self.secrets["SECRET_KEY"].encode()
        for part in (day, "vms", "tc3_request"):
            key = hmac.new(key, part.encode(), hashlib.sha256).digest()
        made = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
        who = f"TC3-HMAC-SHA256 Credential={self.secrets['SECRET_ID']}/{scope}"
        return f"{who}, SignedHeaders=content-type;host, Signature={made}"

    def refuses(self) -> Reply:
        return self._error("InvalidParameterValue.CalledNumberVerifyFail", "called number verify fail")

    def throttles(self) -> Reply:
        return self._error("LimitExceeded.DeliveryFrequencyLimit", "delivery frequency limit")

    def answers(self, rung: Rung, *, digits: str = "", forged: bool = False) -> dict[str, Any]:
        told = {"callid": rung.ref, "call_from": "", "mobile": rung.to[3:], "nationcode": rung.to[1:3]}
        row: dict[str, Any] = {"voicekey_callback": {**told, "keypress": digits}}
        if not digits:
            row = {"voiceprompt_callback": {**told, "result": "0", "accept_time": "1470196835", "fee": "1"}}
        secret = "guessed" if forged else self.secrets["CALLBACK_SECRET"]
        return {"headers": {}, "body": json.dumps(row).encode(), "secret": secret}

    def _error(self, code: str, message: str) -> Reply:
        return Reply(200, {"Response": {"Error": {"Code": code, "Message": message}, "RequestId": "req-2"}})
