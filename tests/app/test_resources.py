"""Migrations and playbooks are found in a checkout and in an installation."""

from __future__ import annotations

from pathlib import Path

import pytest

import bot
from bot.app.resources import data_folder
from bot.domain.errors import ConfigError


def test_a_checkout_has_its_migrations_at_the_top() -> None:
    assert (data_folder("migrations") / "env.py").is_file()


def test_an_installation_has_them_inside_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "bot"
    (package / "_data" / "migrations").mkdir(parents=True)
    monkeypatch.setattr(bot, "__file__", str(package / "__init__.py"))
    assert data_folder("migrations") == package / "_data" / "migrations"
    with pytest.raises(ConfigError, match="playbooks"):
        data_folder("playbooks")
