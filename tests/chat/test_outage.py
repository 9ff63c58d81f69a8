"""A chat platform that is away, or asks for pauses: nothing is lost, rooms keep their order, and people are told."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.chat.slack_bot import settings as slack_settings
from tests.chat.slack_server import SlackServer, slack_server
from tests.chat.whole_bot import Whole, whole_bot

pytestmark = pytest.mark.timeout(240)
CHANNEL, LIN = "C0OPS", "U0LIN"


@asynccontextmanager
async def on_slack(folder: Path) -> AsyncIterator[tuple[SlackServer, Whole]]:
    async with slack_server(mode="http") as slack, whole_bot(folder, slack=slack_settings(slack)) as whole:
        slack.events_url = f"{whole.bot.config.url}/slack/events"
        yield slack, whole


def noted(slack: SlackServer) -> list[str]:
    """The notes the channel shows, in their order."""
    return re.findall(r"noted \([^)]*\): (line \d+)", "\n".join(slack.shown(CHANNEL)))


async def types(slack: SlackServer, *texts: str) -> None:
    for text in texts:
        assert (await slack.types(CHANNEL, LIN, text)).status == 200, text


async def shows(slack: SlackServer, whole: Whole, count: int) -> None:
    async def there() -> bool:
        return len(noted(slack)) >= count

    await whole.until(there, lambda: "\n".join(slack.shown(CHANNEL)), 120)


LINES = [f"line {n:02}" for n in range(8)]


async def test_while_slack_is_away_commands_are_taken_and_afterwards_their_answers_stand_in_order(
    tmp_path: Path,
) -> None:
    async with on_slack(tmp_path) as (slack, whole):
        slack.down = True
        await types(slack, *(f"/note {line}" for line in LINES))
        await asyncio.sleep(1)
        assert noted(slack) == []
        slack.down = False
        await shows(slack, whole, len(LINES))
        assert noted(slack) == LINES


async def test_a_storm_of_pauses_loses_nothing_and_keeps_the_order(tmp_path: Path) -> None:
    async with on_slack(tmp_path) as (slack, whole):
        slack.storm["*"] = 1
        await types(slack, *(f"/note {line}" for line in LINES))
        await asyncio.sleep(3)
        slack.storm.clear()
        await shows(slack, whole, len(LINES))
        assert noted(slack) == LINES


async def test_one_channel_that_is_throttled_holds_up_no_other(tmp_path: Path) -> None:
    async with on_slack(tmp_path) as (slack, whole):
        slack.add_channel("C0WAR", "war", LIN)
        await types(slack, *(f"/note {line}" for line in LINES))  # one a second: eight seconds
        assert (await slack.types("C0WAR", LIN, "/note urgent")).status == 200

        async def urgent() -> bool:
            return "urgent" in "\n".join(slack.shown("C0WAR"))

        await whole.until(urgent, lambda: slack.shown("C0WAR"))
        assert len(noted(slack)) < len(LINES), "the other channel is still at it"
        await shows(slack, whole, len(LINES))


async def test_an_answer_whose_arrival_is_unknown_is_not_said_twice_in_a_row_of_many(tmp_path: Path) -> None:
    async with on_slack(tmp_path) as (slack, whole):
        slack.reset.add("chat.postMessage")
        await types(slack, "/note line 00")
        await asyncio.sleep(1)
        slack.reset.clear()
        await types(slack, "/note line 01")
        await shows(slack, whole, 2)
        found: list[Any] = noted(slack)
        assert found[-1] == "line 01"
        assert found.count("line 01") == 1
