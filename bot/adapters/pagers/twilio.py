"""Twilio Programmable Voice: a call that reads the page aloud and takes one key.

Sources: Twilio documentation, "Call resource", "TwiML Gather" and "Webhooks security". Twilio knows no key of ours:
after an uncertain answer its list of calls is asked, and where even that fails the phone may ring twice.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl, quote, urlsplit
from xml.sax.saxutils import escape, quoteattr

from bot.adapters.pagers.http import MAX_BODY, Answer, Http, callback_to, keys_of, number, refusal, unreadable
from bot.adapters.pagers.twilio_signature import check_signature
from bot.app.ports import Given, Heard
from bot.domain.errors import SendFailed
from bot.domain.page import DIGIT_ACK, DIGIT_ESCALATE, Callback, CallLimit, CallStatus, Page
from bot.domain.pager_kinds import PagerConfig
from bot.domain.spoken import PRESS, PRESSED_ACK, PRESSED_ESCALATE, PRESSED_KEPT, spoken
from bot.domain.text import Lang, Text

API = "https://api.twilio.com"
FOUND_WITHIN_S = 45.0
"""A call to the person this young may be the one of whose fate we do not know: the longest wait between two tries is
30 s."""
_VOICES: Mapping[Lang, tuple[str, str]] = {"zh": ("cmn-CN", "Polly.Zhiyu"), "en": ("en-US", "Polly.Joanna")}
_STATUS = {
    "ringing": CallStatus.RINGING,
    "in-progress": CallStatus.ANSWERED,
    "completed": CallStatus.COMPLETED,
    "busy": CallStatus.BUSY,
    "no-answer": CallStatus.NO_ANSWER,
    "failed": CallStatus.FAILED,
    "canceled": CallStatus.COMPLETED,
}
"""queued and initiated say nothing that we do not know; canceled is what our hang-up makes of a call that rings."""
_MEANS = {
    20003: "account_sid or WARROOM_PAGER_..._AUTH_TOKEN is wrong",
    20429: "too many requests",
    21210: "`from` is not a verified number of this account",
    21211: "not a number that can be called",
    21212: "`from` is not a number",
    21214: "the number cannot be reached",
    21215: "this country is not enabled under Voice Geographic Permissions",
    21219: "a trial account calls verified numbers only",
}
_REMEMBERED = 1000
T = TypeVar("T")


class TwilioPager:
    """Implements `Pager`, `HangsUp`, `Finds`, `Tells` and `Listens`. `keys`: whether a pressed key can come back."""

    def __init__(self, config: PagerConfig, *, keys: bool, now: Callable[[], float] = time.time) -> None:
        self.name = config.name
        self.limits: Sequence[CallLimit] = ()
        self._from = config.options["from"]
        sid = config.options["account_sid"]
        base = (config.url or API).rstrip("/")
        self._calls = f"{base}/2010-04-01/Accounts/{quote(sid, safe='')}/Calls"
        self._auth = (sid, config.secrets["AUTH_TOKEN"])
        self._tokens = [t for t in (config.secrets["AUTH_TOKEN"], config.secrets.get("OLD_AUTH_TOKEN", "")) if t]
        self._voices = {lang: (tag, config.options.get(f"voice_{lang}", "") or v) for lang, (tag, v) in _VOICES.items()}
        self._keys = keys
        self._now = now
        self._http = Http(config.timeout_s)
        self._placed: OrderedDict[str, str] = OrderedDict()
        self._refused: OrderedDict[str, None] = OrderedDict()

    async def call(self, page: Page) -> str:
        """Place the call; returns its CallSid."""
        to = number(page)
        form: dict[str, Any] = {"To": to, "From": self._from, "Twiml": self._twiml(page)}
        if self._keys:
            form |= {
                "StatusCallback": self._callback(page),
                "StatusCallbackMethod": "POST",
                "StatusCallbackEvent": ["ringing", "answered", "completed"],
            }
        self._refused.pop(page.key, None)
        try:
            answer = await self._http.ask("POST", f"{self._calls}.json", data=form, auth=self._auth)
            if not answer.ok:
                raise _refused(answer)
        except SendFailed as error:
            if not error.uncertain:
                _keep(self._refused, page.key, None)
            raise
        sid = str(answer.json().get("sid") or "")
        if sid:
            _keep(self._placed, sid, page.key)
        return sid or page.key

    async def find(self, page: Page) -> str | None:
        """The call to this person of the last 45 s, unless it is known to be another page's.

        A guess, since Twilio keeps nothing of ours with a call. None at once when the last try is known to have failed.
        """
        if page.key in self._refused:
            return None
        since = datetime.fromtimestamp(self._now() - FOUND_WITHIN_S, UTC)
        # By time it can only be asked for the day a call has started on, and one that waits in its queue has not.
        query = {"To": number(page), "From": self._from, "PageSize": "20"}
        answer = await self._http.ask("GET", f"{self._calls}.json", params=query, auth=self._auth)
        if not answer.ok:
            raise _refused(answer)
        calls = answer.json().get("calls")
        for call in calls if isinstance(calls, list) else ():
            sid, made = str(call.get("sid") or ""), _time(call.get("date_created"))
            if sid and made is not None and made >= since and self._placed.get(sid, page.key) == page.key:
                _keep(self._placed, sid, page.key)
                return sid
        return None

    async def hang_up(self, ref: str) -> None:
        """End the call, whether it rings or somebody listens."""
        answer = await self._http.ask("POST", self._one(ref), data={"Status": "completed"}, auth=self._auth)
        if not answer.ok and answer.status != 404:
            raise _refused(answer)

    async def status(self, ref: str) -> CallStatus | None:
        """How the call stands."""
        answer = await self._http.ask("GET", self._one(ref), auth=self._auth)
        if not answer.ok:
            raise _refused(answer)
        return _STATUS.get(str(answer.json().get("status")))

    def read(self, given: Given) -> Heard:
        """What Twilio reports of a call, or the key somebody has pressed. The answer is what the voice says next."""
        if len(given.body) > MAX_BODY:
            raise unreadable(Text(f"超过 {MAX_BODY} 字节", f"longer than {MAX_BODY} bytes"))
        pairs = parse_qsl(given.body.decode("utf-8", "replace"), keep_blank_values=True)
        form = dict(pairs)
        check_signature(given, pairs, self._tokens)
        query = dict(parse_qsl(urlsplit(given.url).query))
        key = query.get("key", "")
        lang: Lang = "en" if query.get("lang") == "en" else "zh"
        if not key:
            raise unreadable(Text("地址里没有 key", "the address has no key"))
        digits = keys_of(form.get("Digits"))
        status = CallStatus.ANSWERED if digits else _STATUS.get(form.get("CallStatus", ""))
        said = (Callback(key=key, status=status, digits=digits),) if status else ()
        answer = self._next(digits, given.url, lang) if "Digits" in form else _response("")
        kept = _response(self._say(PRESSED_KEPT.in_(lang), lang)) if digits in (DIGIT_ACK, DIGIT_ESCALATE) else ""
        return Heard(said=said, answer=answer, kept=kept, media_type="text/xml", insists=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.close()

    def _one(self, ref: str) -> str:
        return f"{self._calls}/{quote(ref, safe='')}.json"

    def _callback(self, page: Page) -> str:
        return f"{callback_to(page, self.name)}?key={quote(page.key, safe='')}&lang={page.person.lang}"

    def _twiml(self, page: Page) -> str:
        lang, words = page.person.lang, spoken(page, keys=self._keys)
        if not self._keys:
            return _response(self._say(words, lang, times=3))
        return _response(self._gather(words, lang, self._callback(page)))

    def _gather(self, words: str, lang: Lang, action: str) -> str:
        return (
            f'<Gather numDigits="1" timeout="10" action={quoteattr(action)} method="POST">'
            f"{self._say(words, lang, times=3)}</Gather>"
        )

    def _say(self, words: str, lang: Lang, *, times: int = 1) -> str:
        tag, voice = self._voices[lang]
        return f'<Say language="{tag}" voice={quoteattr(voice)} loop="{times}">{escape(words)}</Say>'

    def _next(self, digits: str, url: str, lang: Lang) -> str:
        if digits == DIGIT_ACK:
            return _response(self._say(PRESSED_ACK.in_(lang), lang))
        if digits == DIGIT_ESCALATE:
            return _response(self._say(PRESSED_ESCALATE.in_(lang), lang))
        return _response(self._gather(PRESS.in_(lang), lang, url))


def _keep(known: OrderedDict[str, T], key: str, value: T) -> None:
    known[key] = value
    while len(known) > _REMEMBERED:
        known.popitem(last=False)


def _refused(answer: Answer) -> SendFailed:
    code = answer.json().get("code")
    if not isinstance(code, int):
        return refusal(answer)
    # Twilio's sentence has the person's number in it.
    why = _MEANS.get(code, f"see https://www.twilio.com/docs/api/errors/{code}")
    return refusal(answer, f"Twilio {code}: {why}")


def _response(inner: str) -> str:
    return f'<?xml version="1.0" encoding="UTF-8"?><Response>{inner}</Response>'


def _time(word: object) -> datetime | None:
    try:
        at = parsedate_to_datetime(str(word))
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    except ValueError:
        return None
