"""Typed parameters: what a hub sends is read strictly, and every refusal names the parameter."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from bot.domain.probe import Json
from bot.probes.base import BadParams

_NAME = re.compile(r"(?!.*(?:^|\.)(?:[0-9]+|0[xX][0-9A-Fa-f]*)\.?$)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
"""A host name in ASCII whose last label is no number, decimal or hexadecimal: one that is, is some spelling of an
IPv4 address (WHATWG URL, "ends in a number"), and a resolver library would read it as one."""

_REGION = re.compile(r"[A-Za-z0-9-]+")


@dataclass(frozen=True, kw_only=True, slots=True)
class Url:
    """An http(s) URL taken apart; `target` is path and query as they go on the request line."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """The value of the Host header: the port only when it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = 443 if self.scheme == "https" else 80
        return host if self.port == default else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Place:
    """Where to dial: an address, or a host whose name the agent itself resolves first."""

    address: str | None
    host: str

    def __str__(self) -> str:
        return self.host or self.address or ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Takes:
    """What a parameter may be, as far as its reader says: bounds of a number, a few words, what holds without it."""

    default: Json = None
    low: int | None = None
    high: int | None = None
    words: tuple[str, ...] = ()


class UnknownParams(BadParams):
    """Parameters nobody asked for; `known` are those the kind does know, and what each takes."""

    def __init__(self, names: Sequence[str], known: Mapping[str, Takes]) -> None:
        super().__init__(f"unknown parameter {', '.join(names)[:200]}; known are {', '.join(known)}")
        self.names = tuple(names)
        self.known = dict(known)


class Reader:
    """Reads the parameters of one probe. Call `done` last: a parameter nobody asked for is an error."""

    def __init__(self, params: Mapping[str, Json]) -> None:
        self._params = params
        self._seen: dict[str, Takes] = {}

    def done(self) -> None:
        """Raise UnknownParams if a parameter was given that the kind does not know."""
        unknown = sorted(str(name) for name in self._params if name not in self._seen)
        if unknown:
            raise UnknownParams(unknown, dict(sorted(self._seen.items())))

    def given(self, name: str) -> bool:
        """Whether the parameter is there and not null."""
        self._seen.setdefault(name, Takes())
        return self._params.get(name) is not None

    def _get(self, name: str) -> Json:
        if not self.given(name):
            raise BadParams(f"{name} is missing")
        return self._params[name]

    def text(self, name: str, default: str | None = None, *, limit: int = 500) -> str:
        """Printable text of 1..limit characters."""
        self._seen.setdefault(name, Takes(default=default))
        if default is not None and not self.given(name):
            return default
        value = self._get(name)
        if not isinstance(value, str) or not 0 < len(value) <= limit or not value.isprintable():
            raise BadParams(f"{name} must be printable text of 1 to {limit} characters")
        return value

    def integer(self, name: str, default: int | None = None, *, low: int, high: int) -> int:
        """A whole number within bounds."""
        self._seen.setdefault(name, Takes(default=default, low=low, high=high))
        if default is not None and not self.given(name):
            return default
        value = self._get(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise BadParams(f"{name} must be a whole number from {low} to {high}")
        return value

    def seconds(self, name: str, default: int, *, low: int = 1, high: int = 30_000) -> float:
        """A parameter given in milliseconds (`..._ms`), read as seconds."""
        return self.integer(name, default, low=low, high=high) / 1000

    def flag(self, name: str, default: bool) -> bool:
        """True or false."""
        self._seen.setdefault(name, Takes(default=default))
        value = self._params[name] if self.given(name) else default
        if not isinstance(value, bool):
            raise BadParams(f"{name} must be true or false")
        return value

    def choice(self, name: str, known: Iterable[str], default: str | None = None) -> str:
        """One of a few words."""
        known = tuple(known)
        self._seen.setdefault(name, Takes(default=default, words=known))
        value = self.text(name, default)
        if value not in known:
            raise BadParams(f"{name} must be one of {', '.join(known)}")
        return value

    def region(self, name: str = "region", default: str = "") -> str:
        """A vendor's name of a region: one word, for it travels in a header."""
        value = self.text(name, default, limit=40)
        if value and not _REGION.fullmatch(value):
            raise BadParams(f"{name} must be the name of a region")
        return value

    def address(self, name: str = "address") -> str:
        """An IP literal, in canonical spelling."""
        return literal(self.text(name, limit=64), name)

    def optional_address(self, name: str = "address") -> str | None:
        """An IP literal, or None when it is not given."""
        return self.address(name) if self.given(name) else None

    def place(self) -> Place:
        """`address` (an IP literal: DNS is out of the path) or `host` (a name, or a literal all the same)."""
        if self.given("address") == self.given("host"):
            raise BadParams("give either address (an IP address) or host (a name), and not both")
        if self.given("address"):
            return Place(self.address(), "")
        host = self.text("host", limit=253)
        named = _host(host, "host")
        return Place(None if _NAME.fullmatch(named) else named, host)

    def port(self, name: str = "port", default: int | None = None) -> int:
        """A port number."""
        return self.integer(name, default, low=1, high=65535)

    def texts(self, name: str, *, limit: int = 8) -> tuple[str, ...]:
        """One text or a list of them."""
        value = self._get(name)
        items = value if isinstance(value, (list, tuple)) else [value]
        if not 0 < len(items) <= limit:
            raise BadParams(f"{name} must be 1 to {limit} items")
        return tuple(Reader({name: item}).text(name) for item in items)

    def statuses(self, name: str) -> tuple[int, ...]:
        """HTTP status codes: one or a list; empty when not given."""
        if not self.given(name):
            return ()
        value = self._params[name]
        items: Sequence[Json] = value if isinstance(value, (list, tuple)) else [value]
        return tuple(Reader({name: item}).integer(name, low=100, high=599) for item in items[:50])

    def mapping(self, name: str) -> Mapping[str, Json]:
        """A JSON object; empty when not given."""
        value = self._params[name] if self.given(name) else {}
        if not isinstance(value, Mapping):
            raise BadParams(f"{name} must be an object")
        return value

    def url(self, name: str = "url") -> Url:
        """An absolute http or https URL without credentials in it."""
        value = self.text(name, limit=2000)
        try:
            parts = urlsplit(value)
            port = parts.port
        except ValueError as exc:
            raise BadParams(f"{name} is not a URL") from exc
        if parts.scheme not in ("http", "https") or not parts.hostname or not value.isascii() or " " in value:
            raise BadParams(f"{name} must be an absolute http or https URL in ASCII")
        if parts.username is not None or parts.password is not None:
            raise BadParams(f"{name} must not carry credentials")
        if port == 0:
            raise BadParams(f"{name} must have a port from 1 to 65535")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        default = 443 if parts.scheme == "https" else 80
        host = _host(parts.hostname, name)
        return Url(scheme=parts.scheme, host=host, port=port or default, target=target)


def _host(text: str, name: str) -> str:
    """A DNS name as it is written, or an IP literal in canonical spelling. Raises BadParams."""
    if len(text) <= 253 and _NAME.fullmatch(text):
        return text
    try:
        return literal(text, name)
    except BadParams as exc:
        raise BadParams(f"{name} must have a DNS name or an IP address for its host, not {text[:80]!r}") from exc


def literal(text: str, name: str) -> str:
    """The canonical spelling of an IP literal. Raises BadParams for names, hex, octal and short forms, and zones."""
    try:
        ip = ipaddress.ip_address(text)
    except ValueError as exc:
        raise BadParams(f"{name} must be an IP address, not {text[:80]!r}") from exc
    if "%" in text:
        raise BadParams(f"{name} must be an IP address without a zone")
    return str(ip)


def endpoint(text: str, name: str, *, port: int) -> tuple[str, int]:
    """Read "ip", "ip:port", "v6" or "[v6]:port"; `port` is used where none is written."""
    host, number = text, ""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        number = rest.removeprefix(":")
    elif text.count(":") == 1:
        host, _, number = text.partition(":")
    if number and not (number.isascii() and number.isdigit() and 0 < int(number) < 65536):
        raise BadParams(f"{name} has no valid port: {text[:80]!r}")
    return literal(host, name), int(number) if number else port


def show(address: str, port: int) -> str:
    """The inverse of `endpoint`: "ip:port" or "[v6]:port"."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
