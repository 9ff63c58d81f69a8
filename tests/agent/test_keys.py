from __future__ import annotations

import logging
import stat
from pathlib import Path

import pytest

from bot.agent.keys import default_folder, own_key
from bot.domain.errors import ConfigError


def test_an_agent_keeps_its_key_in_a_file_only_it_can_read(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "warroom"
    first = own_key("sh-vm", folder)
    (path,) = folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert path.read_bytes() == first.seed
    assert own_key("sh-vm", folder).public == first.public


def test_each_agent_of_a_machine_has_its_own_key(tmp_path: Path) -> None:
    assert own_key("sh-vm", tmp_path).public != own_key("sh-pod", tmp_path).public


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/b", "上海-vm", "a\x00b", "n" * 80])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "state"
    own_key(name, folder)
    assert [p.parent for p in folder.iterdir()] == [folder]
    assert [p.name for p in tmp_path.iterdir()] == ["state"]


def test_a_file_that_is_no_key_is_left_alone_and_the_key_lives_for_this_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "agent-sh-vm.key"
    path.write_bytes(b"short")
    assert own_key("sh-vm", tmp_path).public != own_key("sh-vm", tmp_path).public
    assert path.read_bytes() == b"short"
    assert "is not a key of 32 bytes" in caplog.text


def test_where_no_file_can_be_kept_the_agent_still_has_a_key(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    assert own_key("sh-vm", tmp_path / "file").public
    (tmp_path / "agent-sh-pod.key").mkdir()
    assert own_key("sh-pod", tmp_path).public
    assert [r.levelno for r in caplog.records] == [logging.WARNING] * 2


def test_with_a_single_use_token_a_key_that_cannot_be_kept_is_not_used(tmp_path: Path) -> None:
    kept = own_key("sh-vm", tmp_path / "state", once=True)
    assert own_key("sh-vm", tmp_path / "state", once=True).public == kept.public
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "agent-sh-pod.key").mkdir()
    (tmp_path / "agent-bj-vm.key").write_bytes(b"short")
    for name, folder in (("sh-vm", tmp_path / "file"), ("sh-pod", tmp_path), ("bj-vm", tmp_path)):
        with pytest.raises(ConfigError, match=r"used up by a key that is lost.*Give --state a folder"):
            own_key(name, folder, once=True)


def test_the_folder_follows_the_desktop_specification(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "warroom"
    monkeypatch.setenv("XDG_STATE_HOME", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".local" / "state" / "warroom"
