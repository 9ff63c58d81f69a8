"""Slack on its worst night, with the real outbox in between: nothing is lost, said twice or out of order."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.adapters.store import SqlStore
from bot.app.deliver import Deliverer
from bot.app.outgoing import chat_row
from bot.bootstrap import SystemClock
from bot.domain.incident import Room
from bot.domain.message import Bullets, Message, Paragraph
from bot.domain.text import same
from tests.chat.slack_bot import Bot, bot, eventually

ROOMS = [Room(key="slack:C0OPS", title="ops", lang="en"), Room(key="slack:C0TWO", title="two", lang="en")]


@asynccontextmanager
async def delivering(folder: Path, b: Bot) -> AsyncIterator[SqlStore]:
    """A deliverer between a store and the platform."""
    store = SqlStore(f"sqlite:///{folder / 'faults.db'}")
    await store.upgrade()
    async with store.begin() as tx:
        for room in ROOMS:
            await tx.rooms.save(room)
    b.slack.add_channel("C0TWO", "two")
    stop = asyncio.Event()
    deliverer = Deliverer(store, {"slack": b.platform}, [], SystemClock(), poll_s=0.1)
    running = asyncio.create_task(deliverer.run(stop))
    try:
        yield store
    finally:
        stop.set()
        deliverer.wake()
        await running
        await store.close()


async def say(store: SqlStore, room: str, key: str, text: str, *, below: int = 0) -> None:
    """Queue a message; `below` folded lines make it one of two parts."""
    items = tuple(same(f"{text} evidence {n}") for n in range(below))
    blocks = (Paragraph(text=same(text)), *((Bullets(items=items, folded=True),) if items else ()))
    async with store.begin() as tx:
        row = chat_row(Message(key=key, room=room, blocks=blocks), due_at=SystemClock().now())
        await tx.outbox.add(row)


def shows(b: Bot, channel: str, wanted: list[str]) -> Callable[[], Awaitable[bool]]:
    async def now() -> bool:
        return b.shown(channel) == wanted

    return now


async def test_while_slack_is_down_nothing_is_lost_and_the_order_stays(tmp_path: Path) -> None:
    async with bot(gap_s=0.05, how={"strict_rate": False}) as b, delivering(tmp_path, b) as store:
        await say(store, "slack:C0OPS", "m0", "before")
        await eventually(shows(b, "C0OPS", ["before"]))
        b.slack.down = True
        for n in range(5):
            await say(store, "slack:C0OPS", f"d{n}", f"during {n}")
        await say(store, "slack:C0OPS", "m0", "before, edited twice")
        await asyncio.sleep(1.0)
        b.slack.down = False
        await eventually(shows(b, "C0OPS", ["before, edited twice", *(f"during {n}" for n in range(5))]), within_s=60)


async def test_a_storm_of_429_in_one_channel_leaves_the_other_alone(tmp_path: Path) -> None:
    async with bot(gap_s=0.05, how={"strict_rate": False}) as b, delivering(tmp_path, b) as store:
        answer = b.slack._answer

        def stormy(method: str, args: dict[str, object], shown: str) -> object:
            if args.get("channel") == "C0OPS":
                return 2.0
            return answer(method, args, shown)  # type: ignore[arg-type]

        b.slack._answer = stormy  # type: ignore[method-assign, assignment]
        for n in range(3):
            await say(store, "slack:C0OPS", f"a{n}", f"held up {n}")
        for n in range(3):
            await say(store, "slack:C0TWO", f"b{n}", f"on time {n}")
        await eventually(shows(b, "C0TWO", [f"on time {n}" for n in range(3)]))
        assert b.shown("C0OPS") == []
        b.slack._answer = answer  # type: ignore[method-assign]
        await eventually(shows(b, "C0OPS", [f"held up {n}" for n in range(3)]), within_s=60)


@pytest.mark.parametrize("seed", range(3))
async def test_a_night_of_everything_at_random(tmp_path: Path, seed: int) -> None:
    """Resets after the act, 429, 5xx and errors that pass, while cards are edited; at the end all is as it should."""
    dice = random.Random(seed)
    async with bot(gap_s=0.02, how={"strict_rate": False}) as b, delivering(tmp_path, b) as store:
        weather = asyncio.create_task(bad_weather(b, dice))
        wanted: dict[str, dict[str, str]] = {room.key: {} for room in ROOMS}
        for turn in range(30):
            room, key = dice.choice(ROOMS).key, f"m{dice.randrange(6)}"
            wanted[room][key] = f"{key} turn {turn}"
            await say(store, room, key, wanted[room][key], below=5 if dice.random() < 0.3 else 0)
            await asyncio.sleep(dice.random() * 0.1)
        weather.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await weather
        clear(b)

        async def all_as_wanted() -> bool:
            for room in ROOMS:
                main = [line for line in b.shown(room.key.partition(":")[2]) if not line.startswith("  ↳")]
                if sorted(main) != sorted(wanted[room.key].values()):
                    return False
            return True

        try:
            await eventually(all_as_wanted, within_s=90)
        except TimeoutError:
            raise AssertionError((wanted, [b.shown(r.key.partition(":")[2]) for r in ROOMS])) from None


async def bad_weather(b: Bot, dice: random.Random) -> None:
    """One thing after the other goes wrong for a moment."""
    while True:
        method = dice.choice(["chat.postMessage", "chat.update"])
        match dice.randrange(4):
            case 0:
                b.slack.storm[method] = 1
            case 1:
                b.slack.reset.add(method)
            case 2:
                b.slack.down = True
            case _:
                b.slack.fail[method] = deque(["internal_error"])
        await asyncio.sleep(dice.random() * 0.2)
        clear(b)
        await asyncio.sleep(dice.random() * 0.2)


def clear(b: Bot) -> None:
    b.slack.storm.clear()
    b.slack.reset.clear()
    b.slack.fail.clear()
    b.slack.down = False


@pytest.mark.parametrize("mode", ["http", "socket"])
async def test_secrets_stay_out_of_the_log_at_debug_level_too(mode: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with bot(mode) as b:
        await b.slack.types("C0OPS", "U0LIN", "/diag sms")
        await b.says(Paragraph(text=same("x")))
        b.slack.down = True
        with contextlib.suppress(Exception):
            await b.says(Paragraph(text=same("y")), key="m2")
    assert not any(secret in caplog.text for secret in (b.slack.bot_token, b.slack.app_token, b.slack.signing_secret))
