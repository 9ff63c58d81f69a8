"""War rooms in Slack: named, filled and put away, and never lost once they exist."""

from __future__ import annotations

import re
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.adapters.slack.rooms import channel_name
from bot.domain.chat import NewRoom
from bot.domain.errors import SendFailed
from tests.chat.slack_bot import bot, settings
from tests.chat.slack_server import slack_server
from tests.chat.whole_bot import whole_bot

WANTED = NewRoom(
    incident="INC-42",
    title="INC-42 SMS cannot be sent",
    lang="en",
    members=("U0LIN", "U0WANG"),
    topic="sev1 · SMS cannot be sent",
    link="https://warroom.example",
)


async def test_a_room_has_a_name_people_a_topic_and_the_way_to_the_console() -> None:
    async with bot() as b:
        made = await b.platform.create_room(WANTED)
        channel = b.slack.space.channels[made.key.removeprefix("slack:")]
        assert (made.left_out, made.note) == ((), "")
        assert channel.name == "inc-42-sms-cannot-be-sent"
        assert channel.members == ["U0WARROOM", "U0LIN", "U0WANG"]
        assert channel.topic == "sev1 · SMS cannot be sent"
        assert channel.bookmarks == [{"title": "Warroom INC-42", "link": "https://warroom.example"}]
        assert b.slack.complaints == []


@pytest.mark.parametrize("kind", ["public", "private"])
async def test_who_may_see_a_war_room_is_configured(kind: str) -> None:
    async with bot(settings={"war_rooms": kind}) as b:
        made = await b.platform.create_room(WANTED)
        channel = b.slack.space.channels[made.key.removeprefix("slack:")]
        assert (channel.private, channel.members[1:]) == (kind == "private", ["U0LIN", "U0WANG"])
        assert b.slack.complaints == []


@pytest.mark.timeout(120)
async def test_whoever_opens_a_private_war_room_is_in_it_though_nobody_wrote_their_account_down(tmp_path: Path) -> None:
    async with slack_server(mode="http") as slack:
        private = settings(slack, war_rooms="private")
        async with whole_bot(tmp_path, slack=private, people=()) as whole:
            slack.events_url = f"{whole.bot.config.url}/slack/events"
            await slack.types("C0OPS", "U0WANG", "/warroom open")

            async def made() -> bool:
                return any("U0WANG" in c.members for c in slack.space.channels.values() if c.private)

            await whole.until(made, lambda: slack.shown("C0OPS"))
            assert slack.complaints == []


async def test_a_name_that_is_taken_gets_another_ending() -> None:
    async with bot() as b:
        keys = [(await b.platform.create_room(WANTED)).key.removeprefix("slack:") for _ in range(6)]
        names = [b.slack.space.channels[key].name for key in keys[:4]]
        assert names == [f"inc-42-sms-cannot-be-sent{end}" for end in ("", "-2", "-3", "-4")]
        assert len(set(keys)) == 6


async def test_two_hundred_and_fifty_people_come_in_hundreds() -> None:
    async with bot() as b:
        people = [f"U0P{n:03}" for n in range(250)]
        for user in people:
            b.slack.add_user(user, user.lower())
        made = await b.platform.create_room(NewRoom(incident="INC-1", title="x", members=tuple(people)))
        assert b.slack.methods().count("conversations.invite") == 3
        assert len(b.slack.space.channel(made.key.removeprefix("slack:")).members) == 251


async def test_who_cannot_be_invited_is_left_out_and_named_and_the_others_come() -> None:
    async with bot() as b:
        b.slack.space.cannot_invite = {"U0CHEN": "user_is_restricted"}
        members = ("U0LIN", "U0GONE", "U0CHEN", "U0WANG", "U0WARROOM")
        made = await b.platform.create_room(NewRoom(incident="INC-1", title="x", members=members, lang="en"))
        assert sorted(made.left_out) == ["U0CHEN", "U0GONE"]
        assert made.note == "could not be invited: @U0GONE, @U0CHEN"
        assert b.slack.space.channel(made.key.removeprefix("slack:")).members == ["U0WARROOM", "U0LIN", "U0WANG"]


async def test_where_slack_refuses_all_for_one_they_are_invited_one_by_one() -> None:
    async with bot() as b:
        b.slack.fail["conversations.invite"] = deque(["user_is_bot"])
        made = await b.platform.create_room(NewRoom(incident="INC-1", title="x", members=("U0LIN", "U0GONE")))
        assert made.left_out == ("U0GONE",)


@pytest.mark.parametrize("method", ["conversations.invite", "conversations.setTopic", "bookmarks.add"])
async def test_what_fails_afterwards_does_not_lose_the_room(method: str) -> None:
    async with bot() as b:
        b.slack.storm[method] = 30
        made = await b.platform.create_room(WANTED)
        assert made.key.removeprefix("slack:") in b.slack.space.channels
        assert method in made.note
        assert bool(made.left_out) == (method == "conversations.invite")


async def test_a_slack_that_hangs_afterwards_does_not_lose_the_room_either() -> None:
    async with bot() as b:
        b.slack.hang.add("conversations.invite")
        made = await b.platform.create_room(WANTED)
        assert made.left_out == ("U0LIN", "U0WANG")
        assert "in time" in made.note


async def test_where_no_room_can_be_made_the_reason_is_told() -> None:
    async with bot() as b:
        b.slack.space.scopes.remove("channels:manage")
        with pytest.raises(SendFailed, match="channels:manage") as caught:
            await b.platform.create_room(WANTED)
        assert caught.value.permanent


async def test_a_room_is_put_away_and_putting_it_away_again_is_no_error() -> None:
    async with bot() as b:
        await b.platform.archive("slack:C0OPS")
        await b.platform.archive("slack:C0OPS")
        assert b.slack.space.channels["C0OPS"].archived


@pytest.mark.parametrize(
    ("template", "title", "name"),
    [
        ("inc-{number}-{title}", "短信发不出去", "inc-42"),
        ("inc-{number}-{title}", "SMS 发不出去 (prod)", "inc-42-sms-prod"),
        ("{date}_{title}", "a", "20260115_a"),
        ("War Room {number}", "a", "war-room-42"),
        ("{title}", "短信", "inc-42"),
        ("{nonsense}{title}", "x" * 200, "x" * 80),
    ],
)
def test_names_are_what_slack_allows(template: str, title: str, name: str) -> None:
    assert channel_name(template, {"number": "42", "title": title, "date": "20260115"}) == name


@given(st.text(max_size=60), st.text(max_size=200), st.text(max_size=10))
def test_whatever_they_are_made_of(template: str, title: str, number: str) -> None:
    name = channel_name(template, {"number": number, "title": title, "date": "20260115"})
    assert re.fullmatch(r"[a-z0-9_-]{1,80}", name)
