"""Configuration: one TOML file, every key also as `WARROOM_SECTION_KEY`; secrets only from the environment or files."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bot.app.alert_sources import AlertSource, read_source
from bot.app.chat_settings import SLACK_KEYS, WECOM_KEYS, level, read_groups, read_slack, read_wecom
from bot.app.patrol_rules import read_rules
from bot.domain.access import DEFAULT, Level
from bot.domain.errors import ConfigError
from bot.domain.page import Person
from bot.domain.pager_kinds import KINDS, TIMEOUT_S, PagerConfig, variable
from bot.domain.patrol import PatrolRules
from bot.domain.platforms import SlackSettings, WeComSettings
from bot.domain.text import Lang
from bot.domain.webhooks import key_of
from bot.wire.nats import PREFIX, NatsLogin, Server, server

SECTIONS: Mapping[str, tuple[str, ...]] = {
    "server": ("listen", "public_url", "language", "timezone", "heartbeat_url", "heartbeat_every", "meeting_url"),
    "database": ("url",),
    "agents": ("nats_url", "nats_prefix"),
    "paths": ("playbooks", "spool", "oncall"),
    "delivery": ("lease_s", "poll_s"),
    "patrol": (
        "every",
        "playbooks",
        "room",
        "open_incidents",
        "rounds",
        "of",
        "vantage_points",
        "certificate_days",
        "connections_share",
        "dns_share",
    ),
    "slack": SLACK_KEYS,
    "wecom": WECOM_KEYS,
    "access": ("default",),
    "chat": ("fallback", "mirror"),
}
SECRET_VARIABLES = frozenset({"WARROOM_DATABASE_PASSWORD", "WARROOM_DATABASE_PASSWORD_FILE"})
"""Of sections whose variables are keys otherwise."""
HAS_SECRETS = ("SLACK", "WECOM")
"""Sections whose variables are also secrets, which have names of their own."""
KUBERNETES = re.compile(r"SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?")
"""What Kubernetes sets for a service called "warroom-server", say."""
LISTS: Mapping[str, tuple[str, ...]] = {
    "pagers": (
        "name",
        "kind",
        "timeout_s",
        *dict.fromkeys(key for kind in KINDS.values() for key in (*kind.keys, *kind.more_keys)),
    ),
    "people": ("name", "phone", "language", "slack", "wecom", "email", "role"),
    "vendors": ("name", "room"),
    "vpcs": ("name", "dns_limit"),
    "alerts": (
        "name",
        "kind",
        "room",
        "playbook",
        "severity",
        "severities",
        "fields",
        "group_by",
        "window",
        "most",
    ),
    "changes": ("name", "kind"),
    "groups": ("id", "role"),
    "webhooks": ("name",),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangesConfig:
    """Somebody who posts changes; at least one of the two secrets is there."""

    name: str
    secret: str = field(default="", repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """Everything `warroom serve` needs to know."""

    host: str = "127.0.0.1"
    port: int = 8800
    public_url: str = ""
    lang: Lang = "zh"
    timezone: ZoneInfo = field(default_factory=lambda: ZoneInfo("Asia/Shanghai"))
    database_url: str = field(default="sqlite:///warroom.db", repr=False)
    playbooks: Path | None = None
    """The team's own folder; None takes the shipped one."""
    spool: Path = Path("warroom-spool")
    """What must not be lost while the database is away."""
    oncall: Path | None = None
    """A file or folder with people, schedules, policies, vendors and severities; None: `people` only."""
    pagers: tuple[PagerConfig, ...] = ()
    people: tuple[Person, ...] = ()
    changes: tuple[ChangesConfig, ...] = ()
    alerts: tuple[AlertSource, ...] = ()
    meeting_url: str = ""
    """The team's voice call; "{incident}" in it stands for the id."""
    heartbeat_url: str = field(default="", repr=False)
    heartbeat_s: float = 60.0
    lease_s: float = 10.0
    """How long a sender has a page to itself; longer than a provider's timeout."""
    poll_s: float = 1.0
    patrol: PatrolRules = field(default_factory=PatrolRules)
    vendors: Mapping[str, str] = field(default_factory=dict)
    api_token: str = field(default="", repr=False)
    agent_token: str = field(default="", repr=False)
    nats: Server | None = None
    """NATS for agents that use it, beside the WebSocket."""
    nats_login: NatsLogin = field(default_factory=NatsLogin)
    nats_prefix: str = PREFIX
    nats_ca_file: str = ""
    slack: SlackSettings | None = None
    wecom: WeComSettings | None = None
    groups: Mapping[str, Level] = field(default_factory=dict)
    """What members of a platform's group may do, by "platform:group"."""
    default_level: Level = DEFAULT
    fallback_room: str = ""
    """Where the traffic of an incident goes while its own platform is away."""
    mirrors: tuple[str, ...] = ()
    """Platforms on which every war room stands at once."""

    @property
    def url(self) -> str:
        """Where people reach the bot."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.public_url or f"http://{host}:{self.port}"

    @property
    def several(self) -> bool:
        """Whether several bots may work on the database: an SQLite file is one bot's."""
        return not self.database_url.startswith("sqlite")

    def secrets(self) -> tuple[str, ...]:
        """Every secret value, for redaction."""
        nats = (self.nats_login.password, self.nats_login.token)
        hooks = [s for p in self.pagers for s in p.all_secrets()]
        hooks += [s for c in self.changes for s in (c.secret, c.token)]
        hooks += [s for a in self.alerts for s in (a.secret, a.token)]
        hooks += [s for platform in (self.slack, self.wecom) if platform for s in platform.secrets()]
        database = unquote(urlsplit(self.database_url).password or "")
        return tuple(filter(None, (self.api_token, self.agent_token, self.heartbeat_url, database, *nats, *hooks)))


def load(path: Path | None, environ: Mapping[str, str], *, sections: Collection[str] = ()) -> Config:
    """Read the file (None: `warroom.toml` if it is there) and the environment. Raises ConfigError.

    With `sections` the values of others are left out, and no secret is asked for.
    """
    table = _table(path)
    _check_keys(table, path)
    _check_variables(environ)
    if sections:
        table = {name: value for name, value in table.items() if name in sections}
        begins = tuple(f"WARROOM_{name.upper()}_" for name in sections)
        environ = {name: value for name, value in environ.items() if name.startswith(begins)}

    def value(section: str, key: str, default: str = "") -> str:
        given = environ.get(f"WARROOM_{section}_{key}".upper())
        return given if given is not None else str(table.get(section, {}).get(key, default))

    host, port = _listen(value("server", "listen", "127.0.0.1:8800"))
    language = value("server", "language", "zh")
    if language not in ("zh", "en"):
        raise ConfigError(f'server.language is {language!r}; it must be "zh" or "en"')
    folder = value("paths", "playbooks")
    return Config(
        host=host,
        port=port,
        public_url=_public_url(value("server", "public_url")),
        lang="zh" if language == "zh" else "en",
        timezone=_zone(value("server", "timezone", "Asia/Shanghai")),
        database_url=_database(value("database", "url", "sqlite:///warroom.db"), secret("DATABASE_PASSWORD", environ)),
        playbooks=Path(folder) if folder else None,
        spool=Path(value("paths", "spool") or "warroom-spool"),
        oncall=Path(oncall) if (oncall := value("paths", "oncall")) else None,
        pagers=_pagers(table.get("pagers", []), environ),
        people=tuple(_person(row) for row in table.get("people", [])),
        changes=tuple(_changes(row, environ) for row in table.get("changes", [])),
        alerts=tuple(
            read_source(row, lambda name: _hook_secrets("alerts", name, environ)) for row in table.get("alerts", [])
        ),
        meeting_url=_meeting(value("server", "meeting_url")),
        heartbeat_url=_heartbeat(value("server", "heartbeat_url")),
        heartbeat_s=_seconds(
            value("server", "heartbeat_every", "60s").removesuffix("s"), "server.heartbeat_every", least=1, most=3600
        ),
        lease_s=_seconds(value("delivery", "lease_s", "10"), "delivery.lease_s", least=0.5, most=600),
        poll_s=_seconds(value("delivery", "poll_s", "1"), "delivery.poll_s", least=0.05, most=60),
        patrol=read_rules(value, table.get("vpcs", [])),
        vendors={
            _need(row, "name", "vendors").lower(): _need(row, "room", "vendors") for row in table.get("vendors", [])
        },
        api_token=secret("API_TOKEN", environ),
        agent_token=secret("AGENT_TOKEN", environ),
        nats=server(url, "agents.nats_url") if (url := value("agents", "nats_url")) else None,
        nats_login=_nats_login(environ),
        nats_prefix=value("agents", "nats_prefix", PREFIX) or PREFIX,
        nats_ca_file=environ.get("WARROOM_NATS_CA_FILE", ""),
        slack=read_slack(value, lambda name: secret(name, environ)),
        wecom=read_wecom(value, lambda name: secret(name, environ), table.get("webhooks", [])),
        groups=read_groups(table.get("groups", [])),
        default_level=level(value("access", "default"), "access.default"),
        fallback_room=_fallback(value("chat", "fallback")),
        mirrors=tuple(dict.fromkeys(re.findall(r"[a-z]+", value("chat", "mirror")))),
    )


def _nats_login(environ: Mapping[str, str]) -> NatsLogin:
    given = {key: secret(f"NATS_{key}", environ) for key in ("USER", "PASSWORD", "TOKEN")}
    return NatsLogin.read({**given, "CREDS_FILE": environ.get("WARROOM_NATS_CREDS_FILE", "")})


def _check_keys(table: Mapping[str, Any], path: Path | None) -> None:
    """Every section is what it must be and every key is known: a typo must not be a default. Raises ConfigError."""
    known = {*SECTIONS, *LISTS}
    for section, value in table.items():
        if section not in known:
            raise ConfigError(_unknown(f"[{section}]", section, known, path))
        rows = value if section in LISTS else [value]
        shape = f"[[{section}]]" if section in LISTS else f"[{section}]"
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ConfigError(f"{path or 'warroom.toml'}: {section} must be written as {shape} with its keys below")
        keys = LISTS.get(section) or SECTIONS[section]
        for key in (key for row in rows for key in row):
            if key not in keys:
                where = f"{shape} {key}" if section in LISTS else f"{section}.{key}"
                raise ConfigError(_unknown(where, key, keys, path))


def _check_variables(environ: Mapping[str, str]) -> None:
    """As with the file: a variable of a section that names no key is a typo, not a default. Raises ConfigError."""
    for name in sorted(environ):
        section, _, key = name.removeprefix("WARROOM_").partition("_")
        keys = SECTIONS.get(section.lower(), ()) if name.startswith("WARROOM_") and key else ()
        if section in HAS_SECRETS or name in SECRET_VARIABLES or not keys or key.lower() in keys:
            continue
        if KUBERNETES.fullmatch(key):
            continue
        near = difflib.get_close_matches(key.lower(), keys, n=1)
        known = near or sorted(keys)
        hint = " or ".join(f"WARROOM_{section}_{one.upper()}" for one in known)
        raise ConfigError(f"unknown variable {name}; {'did you mean' if near else 'known:'} {hint}{'?' * bool(near)}")


def _public_url(word: str) -> str:
    if word and not word.startswith(("https://", "http://")):
        raise ConfigError(f'server.public_url is {word!r}; it must read "https://warroom.example"')
    return word.rstrip("/")


def _timeout(row: Mapping[str, Any], name: str) -> float:
    given = row.get("timeout_s", TIMEOUT_S)
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 < given <= 60:
        raise ConfigError(f"[[pagers]] {name}: timeout_s is {given!r}; it must be a number of seconds up to 60")
    return float(given)


def _meeting(word: str) -> str:
    if word and not word.startswith(("https://", "http://")):
        raise ConfigError(f'server.meeting_url is {word!r}; it must read "https://meet.example/{{incident}}"')
    return word


def _database(url: str, password: str) -> str:
    """The URL with the password in it, which has a secret of its own so that the URL can stand where all read it."""
    if not password:
        return url
    parts = urlsplit(url)
    if not parts.scheme.startswith("postgres") or not parts.username:
        raise ConfigError(
            "WARROOM_DATABASE_PASSWORD goes with database.url = postgresql://USER@HOST/DB, which it is not"
        )
    if parts.password is not None:
        raise ConfigError("there are two passwords of the database: in its url and in WARROOM_DATABASE_PASSWORD")
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user}:{quote(password, safe='')}@{host}").geturl()


def _heartbeat(word: str) -> str:
    if word and not word.startswith(("https://", "http://")):
        raise ConfigError("server.heartbeat_url must be an http or https address that is called while the bot is well")
    return word


def _seconds(word: str, key: str, *, least: float, most: float) -> float:
    try:
        given = float(word)
    except ValueError:
        given = -1.0
    if not least <= given <= most:
        raise ConfigError(f"{key} is {word!r}; it must be a number of seconds from {least:g} to {most:g}")
    return given


def secret(name: str, environ: Mapping[str, str]) -> str:
    """WARROOM_<name>, or what is in the file WARROOM_<name>_FILE names; "" when neither is set. Raises ConfigError."""
    given = environ.get(f"WARROOM_{name}", "").strip()
    file = environ.get(f"WARROOM_{name}_FILE", "")
    if given or not file:
        return given
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"WARROOM_{name}_FILE {file}: {exc}") from exc


def _table(path: Path | None) -> dict[str, Any]:
    default = path is None
    path = path or Path("warroom.toml")
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as exc:
        if default:
            return {}
        raise ConfigError(f"{path}: no such file; `warroom serve` without --config uses defaults") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: {exc}") from exc
    except OSError as exc:
        raise ConfigError(f"{path}: {exc.strerror}") from exc


def _unknown(what: str, word: str, known: Any, path: Path | None) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(known))}"
    return f"{path or 'warroom.toml'}: unknown key {what}; {hint}"


def _listen(word: str) -> tuple[str, int]:
    host, _, port = word.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f'server.listen is {word!r}; it must read "127.0.0.1:8800"')
    return host.strip("[]"), int(port)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as exc:
        raise ConfigError(f'server.timezone {name!r} is unknown; use a name such as "Asia/Shanghai"') from exc


def _fallback(word: str) -> str:
    if word and not all(word.partition(":")):
        raise ConfigError(f'chat.fallback is {word!r}; it must be a room such as "slack:C024BE91L"')
    return word


def _need(row: Mapping[str, Any], key: str, where: str) -> str:
    found = str(row.get(key, "")).strip()
    if not found:
        raise ConfigError(f"[[{where}]] {row.get('name', '')}: {key} is missing".replace(" :", ":"))
    return found


def _pagers(rows: Sequence[Mapping[str, Any]], environ: Mapping[str, str]) -> tuple[PagerConfig, ...]:
    pagers = tuple(_pager(row, environ) for row in rows)
    names = [pager.name for pager in pagers]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"[[pagers]] {name}: there are two of this name; callbacks could not tell them apart")
    kinds = [(name, KINDS[pager.kind]) for name, pager in zip(names, pagers, strict=True)]
    known = {f"WARROOM_{variable(name, one)}" for name, kind in kinds for one in (*kind.secrets, *kind.more_secrets)}
    for given in sorted(environ):
        ours = any(given.startswith(f"WARROOM_{variable(name, '')}") for name in names)
        if ours and given.removesuffix("_FILE") not in known:
            near = difflib.get_close_matches(given, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(known))}"
            raise ConfigError(f"unknown variable {given}; {hint}")
    return pagers


def _pager(row: Mapping[str, Any], environ: Mapping[str, str]) -> PagerConfig:
    name, word = _need(row, "name", "pagers"), _need(row, "kind", "pagers")
    kind = KINDS.get(word)
    if kind is None:
        near = difflib.get_close_matches(word, KINDS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(KINDS)}"
        raise ConfigError(f"[[pagers]] {name}: kind {word!r} is unknown; {hint}")
    keys = (*kind.keys, *kind.more_keys)
    given = {key: str(value).strip() for key, value in row.items() if key not in ("name", "kind", "timeout_s")}
    for key in given:
        if key not in keys:
            raise ConfigError(f"[[pagers]] {name}: kind {word} has no key {key!r}; it has {', '.join(keys)}")
    secrets = {one: secret(variable(name, one), environ) for one in (*kind.secrets, *kind.more_secrets)}
    missing = [key for key in kind.keys if not given.get(key)]
    missing += [f"WARROOM_{variable(name, one)}" for one in kind.secrets if not secrets[one]]
    if missing:
        raise ConfigError(f"[[pagers]] {name}: kind {word} is half configured: {', '.join(missing)} not set")
    for one in ("SECRET", "OLD_SECRET"):
        if secrets.get(one):
            key_of(secrets[one])
    return PagerConfig(
        name=name,
        kind=word,
        url=_pager_url(given.pop("url", ""), name),
        secret=secrets.pop("SECRET", ""),
        timeout_s=_timeout(row, name),
        options={key: value for key, value in given.items() if value},
        secrets={key: value for key, value in secrets.items() if value},
    )


def _pager_url(word: str, name: str) -> str:
    if word and not word.startswith(("https://", "http://")):
        raise ConfigError(f'[[pagers]] {name}: url is {word!r}; it must read "https://phone.example/call"')
    return word


def _hook_secrets(section: str, name: str, environ: Mapping[str, str]) -> tuple[str, str]:
    """(Standard Webhooks secret, bearer token) of somebody who posts to us; at least one must be set."""
    variable = f"{section.upper()}_{name.upper().replace('-', '_')}"
    key, token = secret(f"{variable}_SECRET", environ), secret(f"{variable}_TOKEN", environ)
    if not key and not token:
        raise ConfigError(
            f"[[{section}]] {name}: set WARROOM_{variable}_SECRET (whsec_... of Standard Webhooks) or "
            f"WARROOM_{variable}_TOKEN (a bearer token)"
        )
    if key:
        key_of(key)
    return key, token


def _changes(row: Mapping[str, Any], environ: Mapping[str, str]) -> ChangesConfig:
    name, kind = _need(row, "name", "changes"), str(row.get("kind", "generic"))
    if kind != "generic":
        raise ConfigError(f'[[changes]] {name}: kind {kind!r} is not built; this version has "generic"')
    key, token = _hook_secrets("changes", name, environ)
    return ChangesConfig(name=name, secret=key, token=token)


def _person(row: Mapping[str, Any]) -> Person:
    lang: Lang = "en" if row.get("language") == "en" else "zh"
    accounts = {key: str(row.get(key, "")) for key in ("slack", "wecom", "email", "role")}
    return Person(name=_need(row, "name", "people"), phone=str(row.get("phone", "")), lang=lang, **accounts)
