"""`warroom db upgrade`, `warroom doctor` and `warroom oncall`."""

from __future__ import annotations

import json
import os
import secrets
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bot.adapters.agents.nats_dial import trouble
from bot.adapters.config import Config, load
from bot.adapters.oncall import Loaded, load_files
from bot.adapters.pagers import make
from bot.adapters.playbooks import load_hypotheses, load_playbooks
from bot.adapters.postmortem import FileScribe, lacking
from bot.adapters.store import SqlStore
from bot.adapters.store.engine import sqlite_file
from bot.app.ports import Checks
from bot.app.resources import data_folder
from bot.app.rota import document, standing
from bot.app.times import read_moment
from bot.bootstrap import SystemClock, chat_platforms, nats_address, oncall_base
from bot.domain.chat import Captured, Inbound
from bot.domain.errors import ConfigError, SendFailed, StoreUnavailable, UserError, WarroomError
from bot.domain.page import Page, Person
from bot.domain.pager_kinds import KINDS
from bot.domain.pager_report import report
from bot.domain.text import Text

NAMES = ("server", "paths", "people", "vendors")
"""What on-call files are read with; checking them in CI needs no secret of the bot's."""


async def upgrade(path: Path | None) -> int:
    """Migrate; says what was done."""
    config = load(path, os.environ)
    store = SqlStore(config.database_url)
    try:
        await store.upgrade()
        problem = await store.check()
    except StoreUnavailable as exc:
        problem = str(exc)
    finally:
        await store.close()
    print(f"database: {problem or 'up to date'}", file=sys.stderr if problem else sys.stdout)
    return 1 if problem else 0


async def doctor(path: Path | None) -> int:
    """Check everything that can be checked without serving; exit 1 when something must be mended."""
    config = load(path, os.environ)
    problems = 0
    for good, line in [
        (True, f"configuration: {path or 'warroom.toml or defaults'}"),
        await _database(config),
        _spool(config),
        _heartbeat(config),
        await _nats(config),
        _playbooks(config),
        _directory(config),
        await _postmortems(config),
        (
            bool(config.api_token),
            "WARROOM_API_TOKEN: " + ("set" if config.api_token else "not set; API and sign-in need it"),
        ),
        (
            True,
            "WARROOM_AGENT_TOKEN: "
            + ("set" if config.agent_token else "not set; each new agent needs a token of `warroom agent enroll`"),
        ),
        _callbacks(config),
        *_phones(config),
        *await _chats(config),
    ]:
        print(f"{'ok  ' if good else 'MEND'} {line}")
        problems += not good
    return 1 if problems else 0


def oncall_check(files: list[Path], path: Path | None) -> int:
    """Read on-call files as `warroom serve` would; prints what is wrong, else what there is and what to know."""
    config = load(path, os.environ, sections=NAMES)
    try:
        loaded = _oncall(files, config)
    except ConfigError as exc:
        print(exc, file=sys.stderr)
        return 1
    found = loaded.directory
    counts = [(len(getattr(found, s)), s) for s in ("people", "schedules", "policies", "vendors")]
    print(f"ok: {', '.join(f'{n} {word}' for n, word in counts)}")
    for note in loaded.notes:
        print(f"note: {note}")
    return 0


def oncall_show(files: list[Path], path: Path | None, *, at: str, as_json: bool) -> int:
    """Who is on call at a moment, by the files alone. Raises ConfigError."""
    config, now = load(path, os.environ, sections=NAMES), datetime.now(UTC)
    loaded = _oncall(files, config)
    try:
        moment = read_moment(at, now=now, zone=config.timezone)
    except UserError as exc:
        raise ConfigError(f"--at: {exc}") from exc
    rows = [document(s, moment, ()) for s in loaded.directory.schedules.values()]
    if as_json:
        print(json.dumps(rows, ensure_ascii=False, indent=2))
        return 0
    for schedule in loaded.directory.schedules.values():
        print(standing(schedule, moment, ()).en)
    if not rows:
        print(
            "no schedule; people are called in turn: " + (", ".join(loaded.directory.people) or "nobody is configured")
        )
    return 0


def _oncall(files: list[Path], config: Config) -> Loaded:
    paths = files or ([config.oncall] if config.oncall else [])
    return load_files(paths, base=oncall_base(config), now=datetime.now(UTC))


def _directory(config: Config) -> tuple[bool, str]:
    try:
        loaded = _oncall([], config)
    except ConfigError as exc:
        return False, f"on-call: {exc}"
    found = loaded.directory
    said = "; ".join(loaded.notes if config.oncall else ())
    return True, f"on-call: {len(found.people)} people, {len(found.schedules)} schedules" + (
        f" ({said})" if said else ""
    )


async def _postmortems(config: Config) -> tuple[bool, str]:
    try:
        FileScribe(config.templates)
    except ConfigError as exc:
        return False, f"postmortems: {exc}"
    lacks = await lacking(chinese=True)
    whose = f"templates in {config.templates}" if config.templates else "the shipped templates"
    return True, f"postmortems: {whose}; " + (lacks.en if lacks else "md, html, json and pdf")


class _Nobody:
    """A door that nothing comes through: looking at a platform takes nothing in."""

    async def said(self, inbound: Inbound) -> None:
        """Nothing."""

    async def captured(self, captured: Captured) -> bool:
        """Nothing."""
        return False


async def _no() -> bool:
    return False


async def _chats(config: Config) -> list[tuple[bool, str]]:
    lines = []
    for name, platform in chat_platforms(config, _Nobody(), SystemClock(), holds=_no).items():
        if isinstance(platform, Checks):
            lines += [(found.good, f"{name}: {found.text}") for found in await platform.check(_accounts(config, name))]
        await platform.close()
    return lines


def _accounts(config: Config, platform: str) -> Sequence[str]:
    """The accounts of everybody who may be asked for there."""
    people: Iterable[Person]
    try:
        people = _oncall([], config).directory.people.values()
    except ConfigError:
        people = config.people  # What is wrong with the files has a line of its own.
    return list(dict.fromkeys(filter(None, (person.account(platform) for person in people))))


async def _database(config: Config) -> tuple[bool, str]:
    file = sqlite_file(config.database_url)
    if file is not None and not file.exists():
        # Looking would make it.
        if file.parent.is_dir() and os.access(file.parent, os.W_OK | os.X_OK):
            return True, f"database: {file} is not there yet; `warroom serve` makes it"
        return False, f"database: {file} is not there, and {file.parent.absolute()} is no folder we may write"
    store = SqlStore(config.database_url)
    try:
        problem = await store.check()
    finally:
        await store.close()
    return problem is None, f"database: {problem or 'reachable, migrated, writable'}"


def _spool(config: Config) -> tuple[bool, str]:
    """Whether alerts could be kept while the database is away; looking makes nothing."""
    there = next(p for p in (config.spool.absolute(), *config.spool.absolute().parents) if p.exists())
    writable = there.is_dir() and os.access(there, os.W_OK | os.X_OK)
    waiting = len(list(config.spool.glob("*.bad"))) if config.spool.is_dir() else 0
    said = f"spool: {config.spool} " + ("is ready" if writable else f"cannot be written ({there}); set paths.spool")
    return writable, said + (f"; {waiting} files were set aside: look at them" if waiting else "")


def _heartbeat(config: Config) -> tuple[bool, str]:
    every = f"every {config.heartbeat_s:g} s" if config.heartbeat_url else "none; nobody notices when the bot is gone"
    return True, f"heartbeat: {every}" + ("" if config.heartbeat_url else " (set server.heartbeat_url)")


async def _nats(config: Config) -> tuple[bool, str]:
    try:
        address = nats_address(config)
    except ConfigError as exc:
        return False, f"NATS: {exc}"
    if address is None:
        several = "; a second bot on this database would not see them" if config.several else ""
        return True, f"NATS: none configured; agents come to this server by WebSocket{several}"
    problem = await trouble(address)
    return not problem, f"NATS: {address.server.url} {'cannot be used: ' + problem if problem else 'lets the bot in'}"


def _playbooks(config: Config) -> tuple[bool, str]:
    try:
        folder = config.playbooks or data_folder("playbooks")
        names = load_playbooks(folder)
        causes = load_hypotheses(folder)
    except WarroomError as exc:
        return False, f"playbooks: {exc}"
    return bool(names), f"playbooks: {', '.join(names)} and {len(causes)} hypotheses"


def _callbacks(config: Config) -> tuple[bool, str]:
    if not config.pagers or config.public_url:
        return True, f"public address: {config.public_url or 'none'}"
    return True, (
        "public address: none; phone providers cannot report pressed keys, so people must acknowledge in the chat "
        "(set server.public_url)"
    )


def _phones(config: Config) -> Sequence[tuple[bool, str]]:
    if not config.pagers:
        return [(True, "phones: none configured; /page cannot call anybody")]
    lines = [(True, f"phones, in this order: {', '.join(p.name for p in config.pagers)}")]
    lines += [(True, report(pager, config.url)) for pager in config.pagers]
    nobody = [p.name for p in config.people if not p.phone]
    if nobody and any(KINDS[p.kind].names_people for p in config.pagers):
        lines.append((False, f"people: {', '.join(nobody)}: no phone, so nobody can call them"))
    return lines


async def ring(path: Path | None, who: str, through: str) -> int:
    """Call somebody now, for a test, through one provider; exit 1 when it does not take the call."""
    config = load(path, os.environ)
    people = {p.name.lower(): p for p in config.people}
    person = people.get(who.lower())
    if person is None:
        raise ConfigError(f"[[people]] has no {who!r}; it has: {', '.join(p.name for p in config.people) or 'nobody'}")
    chosen = [p for p in config.pagers if not through or p.name == through][:1]
    if not chosen:
        known = ", ".join(p.name for p in config.pagers) or "none"
        raise ConfigError(f"[[pagers]] has no {through!r}; it has: {known}" if through else "[[pagers]]: none")
    pager = make(chosen[0], public_url=config.url)
    title = Text("这是一次测试呼叫", "this is a test call").in_(person.lang)
    key = f"TEST-{secrets.token_hex(4)}:0:{person.name}:1"
    page = Page(
        key=key, incident=key.partition(":")[0], severity="", title=title, text=title, person=person,
        callback_url=f"{config.url}/hooks/phone/",
    )  # fmt: skip
    try:
        ref = await pager.call(page)
    except SendFailed as exc:
        print(f"{chosen[0].name} does not call {person.name}: {exc}", file=sys.stderr)
        return 1
    finally:
        await pager.close()
    print(f"{chosen[0].name} takes the call to {person.name} (reference {ref}); keys pressed in a test do nothing")
    return 0
