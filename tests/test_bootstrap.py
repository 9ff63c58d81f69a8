"""Putting the bot together: what is kept between starts, and what is said when it cannot begin."""

from __future__ import annotations

import logging
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from bot.adapters.config import Config
from bot.bootstrap import build, listen
from bot.domain.errors import ConfigError, PlaybookError


def config(folder: Path) -> Config:
    return Config(port=0, database_url=f"sqlite:///{folder / 'warroom.db'}", api_token="canary-boot-7Kq")


def test_a_taken_port_is_an_error_that_names_it() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1:{port}: .*choose another server.listen"):
            listen(Config(port=port))


def test_port_0_becomes_the_port_that_was_given() -> None:
    listener, told = listen(Config(port=0))
    assert told.port == listener.getsockname()[1] != 0
    assert told.url.endswith(f":{told.port}")
    listener.close()


async def test_links_that_were_handed_out_are_good_after_a_restart_and_for_nobody_else(tmp_path: Path) -> None:
    links = []
    for folder in (tmp_path / "a", tmp_path / "a", tmp_path / "b"):
        folder.mkdir(exist_ok=True)
        bot = await build(config(folder))
        links.append(bot.parts.ack_link("INC-1:1:lin:1"))
        await bot._store.close()
    first, again, elsewhere = links
    assert first == again
    assert first != elsewhere


async def test_a_database_that_cannot_be_used_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="database: "):
        await build(replace(config(tmp_path), database_url=f"sqlite:///{tmp_path}/no/such/folder/w.db"))


async def test_a_broken_playbook_stops_the_start_with_its_line(tmp_path: Path) -> None:
    ours = tmp_path / "ours"
    ours.mkdir()
    (ours / "bad.yaml").write_text("playbook: bad\ntitel: x\n")
    with pytest.raises(PlaybookError, match=r"bad\.yaml:2:1: titel: unknown key"):
        await build(replace(config(tmp_path), playbooks=ours))


async def test_secrets_do_not_reach_the_log(tmp_path: Path) -> None:
    lines: list[str] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    handler = Keep()
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        bot = await build(config(tmp_path))
        logging.getLogger("warroom").warning("somebody sent %s", "canary-boot-7Kq")
        await bot._store.close()
    finally:
        root.removeHandler(handler)
    assert lines == ["somebody sent •••"]
