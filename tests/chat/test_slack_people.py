"""What Slack tells of people, how they are reached alone, and names that are found when DNS is away."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from bot.adapters.slack.resolver import RememberingResolver
from bot.domain.chat import Profile
from bot.domain.errors import SendFailed
from bot.domain.incident import Room
from bot.domain.message import Paragraph
from bot.domain.page import Person
from bot.domain.text import same
from tests.chat.slack_bot import bot


async def test_a_profile_has_name_address_mobile_language_and_groups_and_is_asked_for_once() -> None:
    async with bot() as b:
        b.slack.space.groups = {"S0DBA": ["U0LIN"], "S0OPS": ["U0LIN", "U0WANG"]}
        for _ in range(3):
            found = await b.platform.profile("U0LIN")
        assert found == Profile(
            name="lin", email="lin@example.com", mobile="+86 138 0000 0000", lang="zh", groups=("S0DBA", "S0OPS")
        )
        assert b.slack.methods() == ["users.info", "usergroups.list"]


async def test_an_unknown_account_has_no_profile() -> None:
    async with bot() as b:
        assert await b.platform.profile("U0NOBODY") is None


async def test_without_leave_to_read_groups_and_addresses_the_rest_is_told() -> None:
    async with bot() as b:
        b.slack.space.scopes.remove("usergroups:read")
        b.slack.space.scopes.remove("users:read.email")
        assert await b.platform.profile("U0WANG") == Profile(name="wang", lang="en")


async def test_where_slack_does_not_answer_that_is_an_error_and_not_nobody() -> None:
    async with bot() as b:
        b.slack.down = True
        with pytest.raises(SendFailed):
            await b.platform.profile("U0LIN")


async def test_somebody_is_reached_alone() -> None:
    async with bot() as b:
        key = b.platform.direct_room(Person(name="lin", slack="U0LIN"))
        assert key == "slack:U0LIN"
        room = Room(key=key, title="lin", lang="en")
        ref = await b.says(Paragraph(text=same("calling you")), room=room)
        await b.says(Paragraph(text=same("wang has it")), room=room, ref=ref)
        assert b.shown("U0LIN") == ["wang has it"]
        assert b.slack.methods().count("conversations.open") == 1
        assert b.platform.direct_room(Person(name="x")) is None


async def test_somebody_is_reached_without_the_scope_for_it_too() -> None:
    async with bot() as b:
        b.slack.space.scopes.remove("im:write")
        room = Room(key="slack:U0LIN", title="lin", lang="en")
        ref = await b.says(Paragraph(text=same("calling you")), room=room)
        await b.says(Paragraph(text=same("wang has it")), room=room, ref=ref)
        assert b.shown("U0LIN") == ["wang has it"]


# --- names


class Names(AbstractResolver):
    """`answer` is an address, an error, or None: no answer at all."""

    def __init__(self) -> None:
        self.answer: str | OSError | None = "192.0.2.1"
        self.asked = 0

    async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        self.asked += 1
        if self.answer is None:
            await asyncio.Event().wait()
        if isinstance(self.answer, OSError):
            raise self.answer
        return [ResolveResult(hostname=host, host=str(self.answer), port=port, family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("answer", [OSError("SERVFAIL"), None])
async def test_a_name_that_was_known_is_found_while_dns_is_away(
    answer: OSError | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.adapters.slack.resolver.FRESH_S", 0.0)
    names = Names()
    resolver = RememberingResolver(names, patience_s=0.1)
    assert (await resolver.resolve("slack.example"))[0]["host"] == "192.0.2.1"
    names.answer = answer
    assert (await resolver.resolve("slack.example"))[0]["host"] == "192.0.2.1"
    await resolver.close()


async def test_a_name_that_was_never_known_is_an_error_and_a_fresh_answer_is_not_asked_for_again() -> None:
    names = Names()
    resolver = RememberingResolver(names)
    for _ in range(3):
        await resolver.resolve("slack.example")
    assert names.asked == 1
    names.answer = OSError("NXDOMAIN")
    with pytest.raises(OSError, match="NXDOMAIN"):
        await resolver.resolve("other.example")
    await resolver.close()
