"""The manifests make an app that has what the bot needs and nothing else, and the pages show what is true."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from bot.adapters.slack.doctor import NEEDED, WELCOME
from bot.adapters.slack.platform import PATH
from bot.app.dispatch import VERBS

DOCS = Path(__file__).parents[2] / "docs"
FILES = ["slack-manifest.yaml", "slack-manifest-http.yaml"]


def manifest(name: str) -> Any:
    return YAML(typ="safe").load((DOCS / name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", FILES)
def test_the_app_has_the_scopes_the_doctor_asks_for(name: str) -> None:
    assert set(manifest(name)["oauth_config"]["scopes"]["bot"]) == {*NEEDED, *WELCOME}


@pytest.mark.parametrize("name", FILES)
def test_its_commands_are_commands_of_ours(name: str) -> None:
    commands = manifest(name)["features"]["slash_commands"]
    names = [command["command"].removeprefix("/") for command in commands]
    assert names[0] == "warroom"
    assert set(names) <= set(VERBS)
    assert {"diag", "incident", "page", "ack", "escalate", "oncall", "note"} <= set(names)
    for command in commands:
        assert len(command["description"]) <= 2000
        assert command["should_escape"]


@pytest.mark.parametrize("name", FILES)
def test_it_is_within_slacks_limits_for_manifests(name: str) -> None:
    app = manifest(name)
    about, features = app["display_information"], app["features"]
    assert (len(about["name"]) <= 35, len(about["description"]) <= 140) == (True, True)
    assert len(features["bot_user"]["display_name"]) <= 80
    assert [len(s["name"]) <= 24 and len(s["description"]) <= 150 for s in features["shortcuts"]] == [True]
    assert features["app_home"]["messages_tab_read_only_enabled"] is False
    assert len(features["slash_commands"]) <= 50


def test_the_two_differ_by_the_address_and_the_mode_only() -> None:
    def without(value: Any) -> Any:
        if isinstance(value, dict):
            left = {k: without(v) for k, v in value.items()}
            return {k: v for k, v in left.items() if k not in ("url", "request_url", "socket_mode_enabled")}
        return [without(v) for v in value] if isinstance(value, list) else value

    socket, http = manifest(FILES[0]), manifest(FILES[1])
    assert without(socket) == without(http)
    assert (socket["settings"]["socket_mode_enabled"], http["settings"]["socket_mode_enabled"]) == (True, False)
    places = [c["url"] for c in http["features"]["slash_commands"]]
    places += [http["settings"][part]["request_url"] for part in ("event_subscriptions", "interactivity")]
    assert all(place.endswith(PATH) for place in places)
    assert "request_url" not in socket["settings"]["interactivity"]


def test_both_pages_show_the_same_configuration() -> None:
    english, chinese = ((DOCS / f"slack{end}.md").read_text(encoding="utf-8") for end in ("", ".zh-CN"))
    assert english.count("```") == chinese.count("```")
    assert english.count("\n| ") == chinese.count("\n| ")
