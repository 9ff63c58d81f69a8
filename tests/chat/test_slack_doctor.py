"""`warroom doctor` on Slack: each thing that is wrong is named, with what breaks by it and the next step."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bot.adapters.slack import SlackPlatform
from bot.adapters.slack.doctor import NEEDED, WELCOME, scopes
from bot.domain.platforms import SlackSettings
from bot.testing import FixedClock
from tests.chat.door import Door
from tests.chat.slack_bot import settings
from tests.chat.slack_server import SlackServer, slack_server


async def examined(
    slack: SlackServer, mode: Any = "socket", *, off_s: float = 0.0, **how: Any
) -> tuple[list[str], list[str]]:
    """What is good, what is bad."""
    clock = FixedClock(datetime.now(UTC) + timedelta(seconds=off_s))
    full = SlackSettings(**{**{k: getattr(settings(slack, mode), k) for k in SlackSettings.__slots__}, **how})
    platform = SlackPlatform(full, Door(), lang="en", clock=clock)
    found = await platform.check()
    await platform.close()
    return [f.text for f in found if f.good], [f.text for f in found if not f.good]


@pytest.mark.parametrize("mode", ["socket", "http"])
async def test_all_is_well(mode: str) -> None:
    async with slack_server() as slack:
        good, bad = await examined(slack, mode)
        assert bad == []
        assert "connected to Team as @warroom" in good
        assert "every scope that is needed is there" in good
        assert not any("without the scope" in line for line in good)
        assert set(slack.methods()) <= {"auth.test", "apps.connections.open"}


@pytest.mark.parametrize("scope", NEEDED)
async def test_a_missing_scope_is_named_with_what_breaks(scope: str) -> None:
    async with slack_server() as slack:
        slack.space.scopes.remove(scope)
        _, (line,) = await examined(slack)
    assert f"scope {scope} is missing: {NEEDED[scope]}" in line
    assert "install the app again" in line


def test_what_one_can_do_without_is_told_and_is_no_fault() -> None:
    found = scopes(", ".join(NEEDED))
    assert all(f.good for f in found)
    assert len(found) == 1 + len(WELCOME)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"bot_token": "xoxp-1"}, "WARROOM_SLACK_BOT_TOKEN is a user token"),
        ({"bot_token": "xapp-1"}, "WARROOM_SLACK_BOT_TOKEN is an app-level token"),
        ({"app_token": "xoxb-1"}, "WARROOM_SLACK_APP_TOKEN is a bot token"),
        ({"bot_token": "xoxb-wrong"}, "invalid_auth (the bot token is not valid"),
        ({"app_token": "xapp-wrong"}, "WARROOM_SLACK_APP_TOKEN is not valid"),
        ({"api_url": "http://127.0.0.1:9/api/"}, "is http://127.0.0.1:9/api/ right"),
    ],
)
async def test_a_token_of_the_wrong_kind_or_an_address_that_is_wrong(how: dict[str, Any], words: str) -> None:
    async with slack_server() as slack:
        _, bad = await examined(slack, **how)
    assert any(words in line for line in bad), bad


async def test_an_app_token_without_its_scope() -> None:
    async with slack_server() as slack:
        slack.fail["apps.connections.open"] = deque(["missing_scope"])
        _, (line,) = await examined(slack)
    assert "connections:write" in line


async def test_a_signing_secret_that_is_a_token() -> None:
    async with slack_server() as slack:
        _, (line,) = await examined(slack, "http", signing_secret="xoxb-1")
    assert line.startswith("WARROOM_SLACK_SIGNING_SECRET is a token")


async def test_slack_that_is_down_or_hangs_is_told_from_one_that_refuses() -> None:
    async with slack_server() as slack:
        slack.down = True
        _, bad = await examined(slack, "http")
        assert "HTTP 503" in bad[0]


@pytest.mark.parametrize(("off_s", "words"), [(400, "400 s ahead"), (-400, "behind")])
async def test_a_clock_that_is_wrong(off_s: float, words: str) -> None:
    async with slack_server() as slack:
        _, bad = await examined(slack, off_s=off_s)
    assert any("clock" in line and words.split()[-1] in line for line in bad), bad


async def test_secrets_are_never_told() -> None:
    async with slack_server() as slack:
        slack.fail["auth.test"] = deque(["invalid_auth"])
        good, bad = await examined(slack)
        assert not any(secret in line for line in [*good, *bad] for secret in (slack.bot_token, slack.app_token))


async def test_oauth_settings_in_the_environment_are_pointed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_CLIENT_ID", "1.2")
    monkeypatch.setenv("SLACK_CLIENT_SECRET", "s")
    async with slack_server() as slack:
        good, _ = await examined(slack)
    assert any("SLACK_CLIENT_ID" in line for line in good)


async def test_people_whom_slack_does_not_know_are_named() -> None:
    async with slack_server() as slack:
        platform = SlackPlatform(settings(slack, "socket"), Door(), lang="en", clock=FixedClock(datetime.now(UTC)))
        found = await platform.check(["U0LIN", "U0GHOST"])
        await platform.close()
    (bad,) = [f.text for f in found if not f.good]
    assert "U0GHOST" in bad
    assert "Copy member ID" in bad
