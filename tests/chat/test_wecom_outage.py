"""WeCom away, refusing, forgetting tokens, or its one connection lost: what is said arrives in order, and once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.chat.wecom_server import WeComServer
from tests.chat.whole_bot import Whole, whole_bot

pytestmark = pytest.mark.timeout(240)
OPS, ALONE = "wecom:bot/ops", "wecom:app/lin"
LINES = [f"line {n:02}" for n in range(8)]


@asynccontextmanager
async def on_wecom(folder: Path, **more: Any) -> AsyncIterator[tuple[WeComServer, Whole]]:
    async with WeComServer(**more) as wecom, whole_bot(folder, wecom=wecom.settings()) as whole:
        wecom.caller.base = whole.bot.config.url
        if wecom.mode == "socket":
            await asyncio.wait_for(wecom.robot.subscribed.wait(), 30)
        yield wecom, whole


def noted(wecom: WeComServer, room: str = OPS) -> list[str]:
    """The notes people see in the room, in their order."""
    return re.findall(r"noted \([^)]*\): (line \d+)", "\n".join(wecom.shown(room)))


async def note(wecom: WeComServer, lines: list[str], room: str = OPS, user: str = "lin") -> None:
    for line in lines:
        await wecom.types(room, user, f"/note {line}")


async def shows(wecom: WeComServer, whole: Whole, lines: list[str] = LINES, room: str = OPS) -> None:
    """Wait until the last of them is there, and some seconds more in case one comes again."""

    async def there() -> bool:
        return len(noted(wecom, room)) >= len(lines)

    await whole.until(there, lambda: f"{wecom.shown(room)}\n{wecom.complaints}", 60)
    await asyncio.sleep(2)
    assert noted(wecom, room) == lines


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """WeCom says to wait a minute; here a second does."""
    monkeypatch.setattr("bot.adapters.wecom.trouble.FREQUENCY_WAIT_S", 1.0)


# --- the robot


@pytest.mark.parametrize(("code", "forgetful"), [(1000, False), (0, True)], ids=["closed", "broken off and forgotten"])
async def test_a_connection_that_ends_in_the_middle_loses_and_repeats_nothing(
    tmp_path: Path, code: int, forgetful: bool
) -> None:
    async with on_wecom(tmp_path) as (wecom, whole):
        wecom.robot.forgetful = forgetful
        await note(wecom, LINES[:3])
        await wecom.robot.cut(code)
        await note(wecom, LINES[3:6])
        await wecom.robot.cut(code)
        await note(wecom, LINES[6:])
        await shows(wecom, whole)
        assert wecom.robot.connections == 3


async def test_a_second_connection_takes_over_and_when_it_is_gone_everything_comes(tmp_path: Path) -> None:
    async with on_wecom(tmp_path) as (wecom, whole):
        await note(wecom, LINES[:3])
        await wecom.robot.take_over(wecom.bot_url, wecom.ca_file)
        await note(wecom, LINES[3:])
        await shows(wecom, whole)


async def test_while_wecom_takes_no_connection_what_was_heard_waits_with_its_answer(tmp_path: Path) -> None:
    async with on_wecom(tmp_path) as (wecom, whole):
        wecom.robot.down = True
        await asyncio.gather(note(wecom, LINES[:3]), cut_soon(wecom))
        await asyncio.sleep(4)
        wecom.robot.down = False
        await note(wecom, LINES[3:])
        await shows(wecom, whole)


async def cut_soon(wecom: WeComServer) -> None:
    await asyncio.sleep(0.01)
    await wecom.robot.cut(0)


@pytest.mark.usefixtures("hurried")
async def test_a_storm_of_too_often_loses_nothing_and_keeps_the_order(tmp_path: Path) -> None:
    async with on_wecom(tmp_path) as (wecom, whole):
        wecom.robot.fail = [45009] * 8
        await note(wecom, LINES)
        await shows(wecom, whole)
        assert wecom.robot.fail == []


async def test_an_answer_whose_arrival_is_unknown_is_not_said_twice(tmp_path: Path) -> None:
    async with on_wecom(tmp_path) as (wecom, whole):
        await note(wecom, LINES[:2])
        await shows(wecom, whole, LINES[:2])
        wecom.robot.lose = ["aibot_respond_msg"] * 3
        await note(wecom, LINES[2:])
        await shows(wecom, whole)
        assert wecom.robot.lose == []


# --- the application


@pytest.mark.usefixtures("hurried")
async def test_what_the_application_could_not_say_is_said_in_order_and_once_when_it_can(tmp_path: Path) -> None:
    async with on_wecom(tmp_path) as (wecom, whole):
        qyapi = wecom.qyapi
        for fault in ("down", "too often", "token", "address", "lost"):
            user = f"user-{fault.replace(' ', '-')}"
            wecom.world.add_user(user)
            room = f"wecom:app/{user}"
            qyapi.down, qyapi.allowed_ip = fault == "down", fault != "address"
            if fault == "too often":
                qyapi.fail["message/send"] = [45009] * 3
            elif fault == "token":
                qyapi.revoke()
                qyapi.fail["message/send"] = [42001, 40014, 42001]
            elif fault == "lost":
                qyapi.reset.add("message/send")
            await note(wecom, LINES[:4], room, user)
            await asyncio.sleep(1)
            qyapi.down, qyapi.allowed_ip = False, True
            qyapi.reset.clear()
            await note(wecom, LINES[4:], room, user)
            await shows(wecom, whole, room=room)
        assert [c for c in wecom.complaints if "40014" not in c] == []


async def test_wecom_is_answered_in_time_while_its_own_api_hangs(tmp_path: Path) -> None:
    async with on_wecom(tmp_path) as (wecom, whole):
        wecom.qyapi.hang.add("*")
        await note(wecom, LINES[:4], ALONE)
        assert [status for _, status, _ in wecom.caller.answered] == [200] * 4
        wecom.qyapi.hang.clear()
        wecom.qyapi.released.set()
        await shows(wecom, whole, LINES[:4], ALONE)
