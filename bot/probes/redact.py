"""The last look at what leaves the agent: none of its own secrets may be in it, in whatever spelling it came back.

A probe sends a secret only where the policy says, and the server there may echo it: in a header, a page, an error,
a certificate. Probes mask before they cut (`masking`, `api`); this pass is for what they have not thought of, so it
also knows a secret that was cut in two.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from urllib.parse import quote, quote_plus

from bot.domain.probe import Json, Outcome
from bot.probes.base import ProbeContext

MASK = "***"
PIECE = 4
"""Characters: a shorter secret is masked only where it stands as a word, and a shorter end of one is not known."""
_CORE = 6
_URL_SAFE = str.maketrans("+/", "-_")


class Redactor:
    """Replaces these secrets, however spelled, by "***"."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {s for s in secrets if s}
        self._forms = sorted({form for s in known if len(s) >= PIECE for form in _spelled(s)}, key=len, reverse=True)
        words = [re.escape(s) for s in known if len(s) < PIECE]
        self._words = re.compile(rf"(?<!\w)(?:{'|'.join(words)})(?!\w)") if words else None

    def text(self, text: str) -> str:
        """The text without them, also where it begins or ends in the middle of one."""
        return self._without(text, self._near(text))

    def outcome(self, outcome: Outcome) -> Outcome:
        """The outcome without them; nothing is copied where none is in it, which is nearly always."""
        if not self._forms and self._words is None:
            return outcome
        told = "\0".join(_texts(outcome.detail))
        near = self._near(told)
        if near or (self._words and self._words.search(told)):
            return replace(outcome, detail=self._value(outcome.detail, near))
        return outcome

    def _near(self, text: str) -> Sequence[str]:
        """The forms that may be there: what has neither end of one has no piece of it at its edge either."""
        return [form for form in self._forms if form[:PIECE] in text or form[-PIECE:] in text]

    def _without(self, text: str, forms: Sequence[str]) -> str:
        # Whole ones first: what looks like the edge of one secret may be the middle of another.
        for form in forms:
            if form in text:
                text = text.replace(form, MASK)
        for form in forms:
            text = _edges(text, form)
        return self._words.sub(MASK, text) if self._words else text

    def _value(self, value: Json, forms: Sequence[str]) -> Json:
        """Any JSON without them, keys included."""
        if isinstance(value, str):
            return self._without(value, forms)
        if isinstance(value, Mapping):
            return {self._without(str(key), forms): self._value(item, forms) for key, item in value.items()}
        return [self._value(item, forms) for item in value] if isinstance(value, (list, tuple)) else value


def redactor(ctx: ProbeContext, *more: str) -> Redactor:
    """The one for everything this context holds, and `more`."""
    keys = [part for key in ctx.credentials.values() for part in (key.id, key.secret)]
    logins = [part for login in ctx.logins.values() for part in (login.secret, f"{login.user}:{login.secret}")]
    return _made((*keys, *logins, *more))


@lru_cache(maxsize=8)
def _made(secrets: tuple[str, ...]) -> Redactor:
    return Redactor(secrets)


def _spelled(secret: str) -> Iterator[str]:
    for form in _written(secret):
        yield form
        if not form.isascii():
            yield from (ascii(form)[1:-1], form.encode("utf-8", "surrogatepass").decode("latin-1"))


def _written(secret: str) -> Iterator[str]:
    import html  # with its table of entities half a megabyte, which an agent without secrets need not carry

    raw = secret.encode("utf-8", "surrogatepass")
    yield from (secret, secret.lower(), secret.upper(), html.escape(secret))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    yield repr(secret)[1:-1]
    for spelled in (quote(raw, safe=""), quote(raw), quote_plus(raw), "".join(f"%{byte:02X}" for byte in raw)):
        yield spelled
        yield re.sub("%..", lambda found: found[0].lower(), spelled)
    yield from (raw.hex(), raw.hex().upper(), raw.hex(":"), raw.hex(" "))
    for core in _base64(raw):
        yield from (core, core.translate(_URL_SAFE))


def _base64(raw: bytes) -> Iterator[str]:
    """What the secret looks like inside Base64 of anything that holds it, for each of the three alignments."""
    yield base64.b64encode(raw).decode()
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + raw).decode()
        core = whole[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        if len(core) >= _CORE:
            yield core


def _edges(text: str, form: str) -> str:
    at = text.find(form[:PIECE], max(0, len(text) - len(form) + 1))
    while at >= 0:
        if form.startswith(text[at:]):
            text = text[:at] + MASK
            break
        at = text.find(form[:PIECE], at + 1)
    at = text.rfind(form[-PIECE:], 0, len(form) - 1)
    while at >= 0:
        if form.endswith(text[: at + PIECE]):
            return MASK + text[at + PIECE :]
        at = text.rfind(form[-PIECE:], 0, at + PIECE - 1)
    return text


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
