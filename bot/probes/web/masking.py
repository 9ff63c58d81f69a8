"""Keeping other people's secrets, and other people, out of what a probe tells of their log lines.

The agent masks before anything leaves it, for the hub, the chat and the timeline are read by more people than the
logs are. What is masked wrongly costs a reader a detail; what is not masked cannot be taken back: in doubt, mask.
Every pattern is linear in the line, which `logs` bounds.
"""

from __future__ import annotations

import json
import re

from bot.domain.probe import Json

MASK = "***"
_SENSITIVE = (
    r"passw(?:or)?d|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|secret[_-]?key|private[_-]?key|secret[_-]?id"
    r"|signature|sign|sig|session(?:[_-]?id)?|cookie|credentials?|jwt|otp|captcha|verify[_-]?code|auth[_-]?code"
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*"), MASK),
    # A whole header: its scheme stays, for "Basic" instead of "Bearer" is a cause worth seeing.
    (
        re.compile(
            r"(?i)((?:proxy-)?authorization[\"'\\]{0,4}\s{0,4}[:=]\s{0,4}[\"'\\]{0,4}(?:[a-z0-9-]+ )?)[^\"'\r\n]+"
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(?i)((?:set-)?cookie[\"'\\]{0,4}\s{0,4}[:=]\s{0,4}[\"'\\]{0,4})[^\"'\r\n]+"), rf"\1{MASK}"),
    (re.compile(r"(?i)\b((?:bearer|basic) )[\w.~+/=-]{6,}"), rf"\1{MASK}"),
    (
        re.compile(
            rf"(?i)((?:{_SENSITIVE})[\"'\\]{{0,4}}\s{{0,4}}[:=]\s{{0,4}})"
            r"(?:\\?\"[^\"\\]*\\?\"?|'[^']*'?|[^\s\"'&,;})\]]+)"
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"(\w://[^\s/:@]{0,80}:)[^\s/@]+(?=@)"), rf"\1{MASK}"),
    (re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]+(?:\.[\w-]*)?"), MASK),
    # Access keys by their vendors' prefixes: Tencent, AWS, Alibaba, GitHub, Slack, Standard Webhooks, Stripe and kin.
    (
        re.compile(
            r"\bAKID[A-Za-z0-9]{8,}|\bA(?:KIA|SIA)[A-Z0-9]{12,}|\bLTAI[A-Za-z0-9]{8,}|\bgh[pousr]_\w{16,}"
            r"|\bxox[a-z]-[\w-]{8,}|\bxapp-[\w-]{8,}|\bwhsec_[\w+/=-]{8,}|\b[sr]k[_-](?:live[_-]|test[_-])?\w{16,}"
        ),
        MASK,
    ),
    # Codes that were sent to a phone: whoever reads one in time is logged in.
    (re.compile(r"(?i)((?:验证码|校验码|动态码|verification code|passcode)\D{0,12})\d{4,8}(?!\d)"), rf"\1{MASK}"),
    (re.compile(r"(?i)(?<!\d)\d{4,8}(?!\d)(?=\D{0,6}(?:验证码|校验码|动态码|is your [a-z ]{0,20}code))"), MASK),
    # People: mobile numbers of China and E.164, identity cards (GB 11643), e-mail addresses.
    (re.compile(r"(?<![\d.])((?:\+?0{0,2}86[- ]?)?1[3-9]\d)[- ]?\d{4}[- ]?(\d{4})(?!\d)"), r"\1****\2"),
    (re.compile(r"(\+\d{2,3})[\d -]{4,12}(\d{2})(?!\d)"), r"\1****\2"),
    (re.compile(r"(?<!\d)\d{17}[\dXx](?![\dA-Za-z])"), MASK),
    (re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@(?=[\w-]{1,63}\.)"), f"{MASK}@"),
    # Opaque runs that look like nothing but a token or a digest.
    (re.compile(r"(?<![\w-])[0-9A-Fa-f]{40,}(?![\w-])"), MASK),
)
_SENSITIVE_FIELD = re.compile(rf"(?i)(?:.*[^a-z])?(?:{_SENSITIVE}|authorization)s?|.*(?:Token|Secret|Password|Key)")
_OPAQUE = re.compile(r"[\w+/-]{40,}={0,2}")


def of_others(line: str) -> str:
    """A log line without what looks like a credential or names a person. `line` must be of bounded length."""
    for pattern, put in _PATTERNS:
        line = pattern.sub(put, line)
    return _OPAQUE.sub(_opaque, line)


def json_of_others(line: str) -> str:
    """A line that is JSON, with the values of sensitive fields masked whatever they are, and in one spelling.

    An escaped quote or letter would hide a secret from the patterns. Any other line is returned as it is.
    """
    if not line.startswith(("{", "[")):
        return line
    try:
        return json.dumps(_fields_masked(json.loads(line)), ensure_ascii=False)
    except (ValueError, RecursionError):
        return line


def _fields_masked(value: Json) -> Json:
    if isinstance(value, dict):
        return {k: MASK if _SENSITIVE_FIELD.fullmatch(k) else _fields_masked(v) for k, v in value.items()}
    return [_fields_masked(item) for item in value] if isinstance(value, list) else value


def _opaque(found: re.Match[str]) -> str:
    """A long run of small and capital letters and digits is a token; a path or a long name is not."""
    run = found[0]
    digits = sum(c.isdigit() for c in run)
    mixed = any(c.islower() for c in run) and any(c.isupper() for c in run)
    return MASK if mixed and digits >= 3 and run.count("/") <= len(run) // 20 else run
