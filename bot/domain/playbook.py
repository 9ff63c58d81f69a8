"""What to ask when a service is in trouble. Values only; `bot.adapters.playbooks` reads the YAML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bot.domain.text import Text

DATABASES = ("mysql", "redis", "postgres")
"""Schemes of targets that are databases, each with the kind of probe of that name."""
SERVICE_KINDS = frozenset({"http", "api", "object_store", *DATABASES})
"""Kinds of probe by which a service itself is asked; the others look at the way to it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """An endpoint by URL: `https://host[:port][/path]`, or `mysql://`, `redis://` or `postgres://host[:port]`."""

    key: str
    url: str
    scheme: str
    host: str
    port: int
    database: str = ""
    """The path of a `postgres://` URL."""

    @property
    def tls(self) -> bool:
        """Whether the endpoint speaks TLS."""
        return self.scheme == "https"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One line under `probe:` or `then:`, its options checked and with defaults filled in."""

    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """A vantage point that must have answered before anything may be called healthy; "" matches any."""

    vantage: str = ""
    region: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ErrorMeaning:
    """What one of the service's own error codes really says: that a dependency fails, or that our code does."""

    means: Literal["dependency", "our code"]
    text: Text


@dataclass(frozen=True, kw_only=True, slots=True)
class Playbook:
    """A service, what to probe about it, and whom to tell."""

    name: str
    title: Text
    vendor: str = ""
    env: tuple[str, ...] = ()
    targets: Mapping[str, Target] = field(default_factory=dict)
    own: tuple[str, ...] = ()
    """Targets that are our own service; all others are what it depends on."""
    controls: tuple[Target, ...] = ()
    internal: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    then: tuple[Step, ...] = ()
    expect: tuple[Expected, ...] = ()
    owners: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, ErrorMeaning] = field(default_factory=dict)
    """By error code; a code also stands for its sub-codes, `InternalError` for `InternalError.Timeout`."""
    escalate: str = ""
    resolvers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Resolvers to use for "vpc" and "public" where the agent's own policy names none."""
