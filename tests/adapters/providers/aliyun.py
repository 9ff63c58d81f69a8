"""Alibaba Cloud's dyvmsapi: RPC signatures checked anew, nonces used once, 1/min 5/h 20/day for each number."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections import defaultdict
from typing import Any, ClassVar
from urllib.parse import quote

from bot.domain.pager_kinds import PagerConfig
from tests.adapters.providers.base import Asked, Provider, Reply, Rung

WINDOWS = ((60, 1, "分钟"), (3600, 5, "小时"), (86400, 20, "天"))


class AliyunServer(Provider):
    kind = "aliyun_vms"
    secrets: ClassVar = {
        "ACCESS_KEY_ID": "LTAIcanary-aliyun",
        "ACCESS_KEY_SECRET": "canary-aliyun-secret",
        "CALLBACK_SECRET": "canary-aliyun-path",
    }

    def __init__(self) -> None:
        super().__init__()
        self.now = time.time()
        self.nonces: set[str] = set()
        self.tries: dict[str, list[float]] = defaultdict(list)
        self.over: dict[str, str] = {}
        """State by call, for QueryCallDetailByCallId."""

    def config(self, **more: Any) -> PagerConfig:
        options = {"template": "TTS_1", "show_number": "057100000000", "key_template": "TTS_9"}
        return PagerConfig(name="p", kind=self.kind, url=self.url, options=options, secrets=self.secrets, **more)

    def handle(self, asked: Asked) -> Reply:
        form = asked.form
        if form["SignatureNonce"] in self.nonces:
            return self._error("SignatureNonceUsed", "Specified signature nonce was used already.", status=400)
        self.nonces.add(form["SignatureNonce"])
        if form.pop("Signature") != self._signature(form):
            said = f"Specified signature is not matched with our calculation. server string to sign is:{form}"
            return self._error("SignatureDoesNotMatch", said, status=400)
        if form["Action"] == "QueryCallDetailByCallId":
            return self._detail(form)
        return self._call(form)

    def _call(self, form: dict[str, str]) -> Reply:
        ivr = form["Action"] == "IvrCall"
        words = json.loads(form["StartTtsParams" if ivr else "TtsParam"])
        mainland = len(form["CalledNumber"]) == 11 and form["CalledNumber"].startswith("1")
        if not form["CalledNumber"].isdigit() or (ivr and not mainland):
            return self.refuses()
        if len(form.get("OutId", "").encode()) > 15 or (ivr and not form.get("CalledShowNumber")):
            return self._error("isv.INVALID_PARAMETERS", "参数异常")
        if any(not value or len(value) > 20 for value in words.values()):
            return self._error("isv.PARAM_LENGTH_LIMIT", "参数超出长度限制")
        if not form["StartCode" if ivr else "TtsCode"].startswith("TTS_"):
            return self._error("isv.TTS_TEMPLATE_ILLEGAL", "文本转语音模板不合法")
        tried = self.tries[form["CalledNumber"]]
        for seconds, most, word in WINDOWS:
            if sum(1 for at in tried if at > self.now - seconds) >= most:
                return self._error("isv.BUSINESS_LIMIT_CONTROL", f"触发{word}级流控Permits:{most}")
        tried.append(self.now)
        if ivr:
            assert (form["MenuKeyMap.1.Key"], form["MenuKeyMap.2.Key"]) == ("1", "2")
        rung = self.place(form["OutId"], form["CalledNumber"], "|".join(words.values()))
        return Reply(200, {"Code": "OK", "Message": "OK", "RequestId": "REQ-1", "CallId": rung.ref})

    def _detail(self, form: dict[str, str]) -> Reply:
        if form["ProdId"] not in ("11000000300006", "11000000300005") or len(form["QueryDate"]) != 13:
            return self._error("isv.INVALID_PARAMETERS", "参数异常")
        state = self.over.get(form["CallId"])
        data = "" if state is None else json.dumps({"state": state, "stateDesc": "", "callee": "1390000"})
        return Reply(200, {"Code": "OK", "Message": "OK", "RequestId": "REQ-2", "Data": data})

    def _signature(self, form: dict[str, str]) -> str:
        pairs = "&".join(f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in sorted(form.items()))
        text = f"POST&%2F&{quote(pairs, safe='~')}"
        key = f"{self.secrets['ACCESS_KEY_SECRET']}&".encode()
        return base64.b64encode(hmac.new(key, text.encode(), "sha1").digest()).decode()

    def refuses(self) -> Reply:
        return self._error("isv.MOBILE_NUMBER_ILLEGAL", "号码不合法")

    def throttles(self) -> Reply:
        return self._error("isv.BUSINESS_LIMIT_CONTROL", "触发小时级流控Permits:5")

    def answers(self, rung: Rung, *, digits: str = "", forged: bool = False) -> dict[str, Any]:
        row = {"call_id": rung.ref, "out_id": rung.key, "status_code": "300000" if digits else "200103", "dtmf": digits}
        secret = "guessed" if forged else self.secrets["CALLBACK_SECRET"]
        return {"headers": {}, "body": json.dumps([row]).encode(), "secret": secret}

    def _error(self, code: str, message: str, *, status: int = 200) -> Reply:
        row = {"Code": code, "Message": message, "RequestId": "REQ-3", "HostId": "dyvmsapi.aliyuncs.com"}
        return Reply(status, row)
