"""Keep secrets out of everything that is written down: logs, chat, timeline, exports."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Iterable, Mapping
from datetime import date
from enum import Enum
from typing import Any
from urllib.parse import quote

MASK = "•••"
SHORTEST = 6
"""Characters; a shorter secret would mask ordinary words and is not registered."""

MOST_KEYS = 4096

_SECRET_FIELD = re.compile(
    r"(?:^|_)(?:authorization|cookie|password|passwd|secret|token|api_?key|secret_?key|private_?key|access_?key)$"
)
_PATTERNS = (
    # An Authorization header with a scheme; the bare word is ordinary English and stays.
    (
        re.compile(r"(?i)(authorization\W{1,4}(?:basic|bearer|token|digest|tc3-\S+|aws4-\S+)\s+)[^\r\n\"']+"),
        r"\1" + MASK,
    ),
    (re.compile(r"(?i)\b(bearer\s+)[\w.~+/=-]{8,}"), r"\1" + MASK),
    (re.compile(r"(?i)((?:set-)?cookie\s*:\s*)\w[^\r\n=;]*=[^\r\n]+"), r"\1" + MASK),
    (
        re.compile(r"(?i)([?&\s](?:access_token|corpsecret|api_?key|token|secret|password|signature)=)[^&\s\"']+"),
        r"\1" + MASK,
    ),
    # Typed or pasted by people: `password=...`, `"secret_key": "..."`, `密码：...`. A word without a digit is prose.
    (
        re.compile(
            r"(?i)((?:\b|_)(?:password|passwd|pwd|secret|secret_?key|access_?key|api_?key|token|密码|口令)"
            r"[\"']?\s?[=:：]\s?[\"']?)(?=[^\s\"'&,;，；]*\d)[^\s\"'&,;，；•]{6,}"
        ),
        r"\1" + MASK,
    ),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), MASK),
    (re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-)\w{16,}"), MASK),
    (re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}"), MASK),
    (re.compile(r"(\w://[^\s/:@]*:)[^\s/@]+(?=@)"), r"\1" + MASK),
    (re.compile(r"\b(whsec_|xox[a-z]-|xapp-)[\w+/=-]{8,}"), r"\1" + MASK),
)
_HINTS = re.compile(
    r"(?i)authorization|bearer|cookie|=|://|whsec_|xox|xapp-|passw|pwd|secret|token|_?key|密码|口令|gh[pousr]_|github_pat|glpat-|eyj"
)


class Redactor:
    """Replaces registered secrets and fields that look like credentials by "•••".

    `secrets` are the values known at start; each is also found in its URL-quoted and base64 spelling.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._spelled: tuple[str, ...] = ()
        self._keys: dict[str, tuple[str, bool]] = {}
        """Keys of mappings seen before: as they may be shown, and whether what they hold is a secret."""
        self.add(*secrets)

    def add(self, *secrets: str) -> None:
        """Register more values, such as a token that was just issued."""
        for secret in secrets:
            if len(secret) >= SHORTEST:
                self._known |= {secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()}
        self._keys.clear()
        self._spelled = tuple(self._known | {json.dumps(one, ensure_ascii=False)[1:-1] for one in self._known})
        if self._known:
            longest_first = sorted(self._known, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def knows(self, text: str) -> bool:
        """Whether a registered secret stands in the text, also as JSON writes it; much faster than masking."""
        return any(secret in text for secret in self._spelled)

    def text(self, text: str) -> str:
        """The text without secrets, and without what no database stores: NUL and lone surrogates."""
        if self._pattern is not None:
            text = self._pattern.sub(MASK, text)
        if _HINTS.search(text):
            for pattern, replacement in _PATTERNS:
                text = pattern.sub(replacement, text)
        if not text.isascii():
            text = text.encode("utf-8", "replace").decode()
        return text.replace("\x00", "\ufffd")

    def value(self, value: Any) -> Any:
        """The value as plain JSON without secrets: datetimes as ISO 8601, sets sorted, NaN as null."""
        if type(value) is str:
            return self.text(value)
        if isinstance(value, Enum):
            return self.value(value.value)
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, Mapping):
            fields = [(*self._key(str(k)), v) for k, v in value.items()]
            return {
                k: MASK if secret and v and isinstance(v, (str, bytes)) else self.value(v) for k, secret, v in fields
            }
        if isinstance(value, (set, frozenset)):
            return [self.value(v) for v in sorted(value, key=str)]
        if isinstance(value, Iterable):
            return [self.value(v) for v in value]
        return value.isoformat() if isinstance(value, date) else self.text(str(value))

    def _key(self, key: str) -> tuple[str, bool]:
        known = self._keys.get(key)
        if known is None:
            known = self.text(key), _SECRET_FIELD.search(key.lower().replace("-", "_")) is not None
            if len(self._keys) < MOST_KEYS:
                self._keys[key] = known
        return known
