from __future__ import annotations

import json
import logging
import stat
from pathlib import Path

import pytest

from bot.agent.known_hub import MAX_ADDRESSES, HubMemory, KnownHub

URL = "wss://warroom.example"


def memory(folder: Path | None, *, agent: str = "sh-vm", url: str = URL) -> HubMemory:
    return HubMemory(folder, agent=agent, url=url)


def test_what_is_known_of_a_hub_outlives_the_process(tmp_path: Path) -> None:
    first = memory(tmp_path / "state")
    assert first.known == KnownHub()
    first.trust("key-1")
    first.reached("10.0.0.1")
    first.reached("10.0.0.2")
    assert memory(tmp_path / "state").known == KnownHub(public_key="key-1", addresses=("10.0.0.2", "10.0.0.1"))
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_each_agent_and_each_hub_is_remembered_for_itself(tmp_path: Path) -> None:
    memory(tmp_path).trust("key-1")
    assert memory(tmp_path, agent="sh-pod").known == KnownHub()
    assert memory(tmp_path, url="wss://other.example").known == KnownHub()


def test_the_address_that_answered_last_is_tried_first_and_only_so_many_are_kept(tmp_path: Path) -> None:
    one = memory(tmp_path)
    for last in range(20):
        one.reached(f"10.0.0.{last}")
    one.reached("10.0.0.15")
    one.reached("10.0.0.15")
    assert one.known.addresses[:3] == ("10.0.0.15", "10.0.0.19", "10.0.0.18")
    assert len(memory(tmp_path).known.addresses) == MAX_ADDRESSES


def test_another_key_is_said_and_the_addresses_stay(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    one = memory(tmp_path)
    one.reached("10.0.0.1")
    one.trust("key-1")
    assert caplog.text == ""
    one.trust("key-2")
    assert "the hub has another key than before" in caplog.text
    assert memory(tmp_path).known == KnownHub(public_key="key-2", addresses=("10.0.0.1",))


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "7", '{"url": 7}', f'{{"url": "{URL}", "addresses": 7}}', "\x00", '"text"']
)
def test_a_file_that_cannot_be_read_is_a_hub_that_is_met_anew(
    tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "hub-sh-vm.json").write_text(content)
    assert memory(tmp_path).known == KnownHub()
    assert not [r for r in caplog.records if r.levelno > logging.WARNING]


def test_bytes_that_are_no_text_are_a_hub_that_is_met_anew(tmp_path: Path) -> None:
    (tmp_path / "hub-sh-vm.json").write_bytes(b"\xff\xfe\xff")
    assert memory(tmp_path).known == KnownHub()


def test_only_literals_are_dialled_whatever_the_file_says(tmp_path: Path) -> None:
    row = {"url": URL, "public_key": "k", "addresses": ["10.0.0.1", "evil.example", "", "7", "fe80::1%eth0", "::1"]}
    (tmp_path / "hub-sh-vm.json").write_text(json.dumps(row))
    assert memory(tmp_path).known.addresses == ("10.0.0.1", "fe80::1%eth0", "::1")


def test_where_no_file_can_be_kept_it_is_remembered_for_this_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", None):
        one = memory(folder)
        one.trust("key-1")
        one.reached("10.0.0.1")
        assert one.known == KnownHub(public_key="key-1", addresses=("10.0.0.1",))
    assert "for this run only" in caplog.text
