"""Reading the agent's policy file strictly: an unknown key is an error, for a typo must not open a door."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from bot.agent.addresses import no_network
from bot.domain.errors import ConfigError
from bot.probes.base import BadParams, Login
from bot.probes.params import endpoint, literal, show
from bot.probes.resolving.query_log import FORMATS
from bot.probes.table import KINDS

_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
GROUPS = ("host", "vpc", "public", "coredns")
"""Groups of resolvers: the machine's own, the VPC's, public ones, and CoreDNS' pods asked past the cluster address."""
RESOLV_CONF = Path("/etc/resolv.conf")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """An allow rule. `ports` are inclusive ranges; None means any, for ports and for kinds; a file must say so."""

    network: Network
    ports: tuple[tuple[int, int], ...] | None = None
    kinds: frozenset[str] | None = None

    def covers(self, kind: str, ip: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> bool:
        """Whether the rule allows this. ICMP has no port: a rule that names the kind covers it."""
        if ip not in self.network or (self.kinds is not None and kind not in self.kinds):
            return False
        if self.ports is None or (port == 0 and self.kinds is not None):
            return True
        return any(low <= port <= high for low, high in self.ports)


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """Limits of this agent's own load, whatever the hub asks.

    `dns_per_server_...` hold for each DNS server, and are shared by the `vpc_agents` agents of the VPC, each of
    which takes its part; `sockets...` hold for everything a probe opens, queries included.
    """

    concurrent: int = 64
    probes_per_second: float = 50
    dns_per_second: float = 50
    dns_per_server_per_second: float = 20
    dns_per_server_in_flight: int = 64
    vpc_agents: int = 1
    sockets: int = 512
    sockets_per_second: float = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """A policy file, read. `named` are the resolvers it names, which is leave enough to ask them."""

    allow: tuple[Rule, ...] = ()
    public: bool = True
    kinds: frozenset[str] | None = None
    resolvers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    named: frozenset[tuple[str, int]] = frozenset()
    source: str = ""
    ca_file: Path | None = None
    capture: bool = False
    query_log: tuple[Path, str] | None = None
    logins: Mapping[str, Login] = field(default_factory=dict)
    budget: Budget = field(default_factory=Budget)


def read(path: Path) -> Settings:
    """Read and check a policy file. Raises ConfigError."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        value = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read ({exc.strerror})") from exc
    except (YAMLError, ValueError, RecursionError) as exc:  # a date that is none, an int too long, a nest too deep
        raise ConfigError(f"{path}: not YAML: {' '.join(str(exc).split())[:300]}") from exc
    return _File(path).settings({} if value is None else value)


def nameservers(path: Path) -> tuple[str, ...]:
    """The nameserver lines of a resolv.conf (resolv.conf(5)); none where it cannot be read."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    found = []
    for words in (line.split() for line in lines):
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                found.append(literal(words[1], "nameserver"))
            except BadParams:
                continue
    return tuple(dict.fromkeys(found))


class _File:
    """One file being read; every method names the key in what it raises."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def _wrong(self, key: str, reason: str) -> ConfigError:
        return ConfigError(f"{self._path}: {key}: {reason}" if key else f"{self._path}: {reason}")

    def settings(self, value: Any) -> Settings:
        known = ["allow", "public", "kinds", "resolvers", "source", "tls", "capture", "query_log", "logins", "budget"]
        top = self._keys("", value, known)
        resolvers = self._resolvers(top.get("resolvers"))
        public = top.get("public", "allow")
        if public not in ("allow", "deny"):
            raise self._wrong("public", f"must be allow or deny, not {public!r}")
        rules = top.get("allow") or []
        if not isinstance(rules, list):
            raise self._wrong("allow", "must be a list of rules")
        return Settings(
            allow=tuple(self._rule(f"allow[{i}]", rule) for i, rule in enumerate(rules)),
            public=public == "allow",
            kinds=self._kinds("kinds", top.get("kinds", "any")),
            resolvers=resolvers,
            named=frozenset(endpoint(text, "resolvers", port=53) for group in resolvers.values() for text in group),
            source=self._address("source", top["source"]) if top.get("source") else "",
            ca_file=self._ca_file(top.get("tls")),
            capture=self._flag("capture", top.get("capture", False)),
            query_log=self._query_log(top.get("query_log")),
            logins=self._logins(top.get("logins")),
            budget=self._budget(top.get("budget")),
        )

    def _keys(self, key: str, value: Any, known: list[str]) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise self._wrong(key, f"must be a mapping with {', '.join(known)}")
        for name in value:
            if name not in known:
                raise self._wrong(f"{key}.{name}" if key else str(name), f"unknown key; known are {', '.join(known)}")
        return value

    def _rule(self, key: str, value: Any) -> Rule:
        rule = self._keys(key, value, ["network", "ports", "kinds"])
        try:
            network = ipaddress.ip_network(str(rule.get("network")))
        except (ValueError, TypeError) as exc:
            raise self._wrong(f"{key}.network", no_network(str(rule.get("network")))) from exc
        return Rule(
            network=network,
            ports=self._ports(f"{key}.ports", self._said(key, rule, "ports")),
            kinds=self._kinds(f"{key}.kinds", self._said(key, rule, "kinds")),
        )

    def _said(self, key: str, rule: Mapping[str, Any], name: str) -> Any:
        # Never by omission: a rule that is cut short must not open more than one that is complete.
        if rule.get(name) is None:
            raise self._wrong(f"{key}.{name}", f'is missing: name the {name}, or write "{name}: any"')
        return rule[name]

    def _ports(self, key: str, value: Any) -> tuple[tuple[int, int], ...] | None:
        if value == "any":
            return None
        found = []
        for item in value if isinstance(value, list) else [value]:
            spelled = _PORTS.fullmatch(str(item))
            if spelled is None or isinstance(item, bool):
                raise self._wrong(key, f"{item!r} is neither a port nor a range like 8000-9000")
            pair = int(spelled[1]), int(spelled[2] or spelled[1])
            if not 0 < pair[0] <= pair[1] < 65536:
                raise self._wrong(key, f"{item!r} is not within 1 to 65535")
            found.append(pair)
        if not found:
            raise self._wrong(key, 'must name a port, or be "any"')
        return tuple(found)

    def _kinds(self, key: str, value: Any) -> frozenset[str] | None:
        if value == "any":
            return None
        items = value if isinstance(value, list) else [value]
        if not items:
            raise self._wrong(key, 'must name a kind, or be "any"')
        for item in items:
            if not isinstance(item, str) or item not in KINDS:
                raise self._wrong(key, f"unknown kind {item!r}; known are {', '.join(KINDS)}")
        return frozenset(items)

    def _address(self, key: str, value: Any) -> str:
        try:
            return literal(str(value), key)
        except BadParams as exc:
            raise self._wrong(key, f"must be an IP address, not {value!r}") from exc

    def _resolvers(self, value: Any) -> dict[str, tuple[str, ...]]:
        groups = self._keys("resolvers", {} if value is None else value, list(GROUPS))
        return {name: self._endpoints(f"resolvers.{name}", items) for name, items in groups.items()}

    def _endpoints(self, key: str, value: Any) -> tuple[str, ...]:
        items = value if isinstance(value, list) else [value]
        if not items:
            raise self._wrong(key, "must name at least one resolver")
        try:
            return tuple(show(*endpoint(str(item), key, port=53)) for item in items)
        except BadParams as exc:
            raise self._wrong(key, "must be addresses like 10.0.0.2 or 10.0.0.2:53") from exc

    def _file(self, key: str, value: Any) -> Path:
        if not isinstance(value, str) or not value or not value.isprintable():
            raise self._wrong(key, "must be a path")
        return self._path.parent / value

    def _ca_file(self, value: Any) -> Path | None:
        if value is None:
            return None
        path = self._file("tls.ca_file", self._keys("tls", value, ["ca_file"]).get("ca_file"))
        if not path.is_file():
            raise self._wrong("tls.ca_file", f"there is no file {path}")
        return path

    def _flag(self, key: str, value: Any) -> bool:
        if not isinstance(value, bool):
            raise self._wrong(key, f"must be true or false, not {value!r}")
        return value

    def _query_log(self, value: Any) -> tuple[Path, str] | None:
        if value is None:
            return None
        log = self._keys("query_log", value, ["path", "format"])
        form = log.get("format", "coredns")
        if not isinstance(form, str) or form not in FORMATS:
            raise self._wrong("query_log.format", f"must be one of {', '.join(FORMATS)}, not {form!r}")
        return self._file("query_log.path", log.get("path")), form

    def _logins(self, value: Any) -> dict[str, Login]:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise self._wrong("logins", "must be a mapping of names to logins")
        return {str(name): self._login(f"logins.{name}", login) for name, login in value.items()}

    def _login(self, key: str, value: Any) -> Login:
        login = self._keys(key, value, ["kind", "for", "user", "secret_file", "secret_env"])
        kinds = self._kinds(f"{key}.kind", login.get("kind"))
        if kinds is None or len(kinds) != 1:
            raise self._wrong(f"{key}.kind", "must be one kind of probe")
        places = login.get("for")
        endpoints = frozenset(str(place).rstrip("/") for place in (places if isinstance(places, list) else [places]))
        if not places or not all("://" in place or ":" in place for place in endpoints):
            raise self._wrong(f"{key}.for", 'must name where it may go: "10.0.0.5:3306" or "https://host[:port]"')
        if any(place.startswith("http://") for place in endpoints):
            raise self._wrong(f"{key}.for", "must be https: a password or token is not sent in the clear")
        user = login.get("user", "")
        if not isinstance(user, str):
            raise self._wrong(f"{key}.user", "must be text")
        return Login(kind=next(iter(kinds)), endpoints=endpoints, user=user, secret=self._secret(key, login))

    def _secret(self, key: str, login: Mapping[str, Any]) -> str:
        if ("secret_file" in login) == ("secret_env" in login):
            raise self._wrong(key, "needs secret_file or secret_env, and not both")
        if "secret_env" in login:
            name = str(login["secret_env"])
            secret = os.environ.get(name, "") if name.isascii() else ""
            if not secret:
                raise self._wrong(f"{key}.secret_env", f"{login['secret_env']} is not set")
            return secret
        path = self._file(f"{key}.secret_file", login["secret_file"])
        try:
            return path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as exc:
            raise self._wrong(f"{key}.secret_file", f"{path} cannot be read ({type(exc).__name__})") from exc

    def _budget(self, value: Any) -> Budget:
        limits = self._keys("budget", {} if value is None else value, list(Budget.__dataclass_fields__))
        whole = {f.name for f in fields(Budget) if f.type == "int"}
        for name, number in limits.items():
            if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number <= 100_000:
                raise self._wrong(f"budget.{name}", f"must be a positive number, not {number!r}")
            if name in whole and number != int(number):
                raise self._wrong(f"budget.{name}", f"must be a whole number, not {number!r}")
        # What is not written follows what is: who asks for more probes does not mean them to run out of sockets.
        default = Budget()
        implied = {
            "sockets": max(default.sockets, 8 * limits.get("concurrent", 0)),
            "sockets_per_second": max(default.sockets_per_second, 4 * limits.get("probes_per_second", 0)),
        }
        given = {**implied, **limits}
        exact: dict[str, Any] = {name: int(n) if name in whole else float(n) for name, n in given.items()}
        return Budget(**exact)
