"""Messages kept for the timeline, and the form that declares an incident."""

from __future__ import annotations

import json
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest

from bot.adapters.slack.modal import form
from bot.adapters.slack.read import declaration, read
from bot.domain.incident import Room
from bot.domain.message import Paragraph
from bot.domain.text import same
from tests.chat.slack_bot import Bot, bot, settings
from tests.chat.slack_limits import check_view
from tests.chat.slack_server import slack_server
from tests.chat.whole_bot import whole_bot

MODES: list[Literal["http", "socket"]] = ["http", "socket"]


def spoken(b: Bot, text: str, *, user: str = "U0WANG", thread: str = "") -> str:
    """Somebody says something among people; its ts."""
    channel = b.slack.space.channels["C0OPS"]
    return str(
        b.slack.space.post(channel, {"user": user, "text": text, **({"thread_ts": thread} if thread else {})})["ts"]
    )


@pytest.mark.parametrize("mode", MODES)
async def test_a_reaction_keeps_a_message_with_its_author_and_its_own_time(mode: Literal["http", "socket"]) -> None:
    async with bot(mode) as b:
        ts = spoken(b, "dns &amp; <@U0LIN|lin> is slow")
        assert (await b.slack.marks("C0OPS", "U0LIN", ts)).status == 200
        (kept,) = b.door.kept
    assert (kept.text, kept.author.id, kept.by.id) == ("dns & @lin is slow", "U0WANG", "U0LIN")
    assert (kept.room, kept.at) == ("slack:C0OPS", datetime.fromtimestamp(float(ts), UTC))
    assert kept.link == f"https://team.slack.example/archives/C0OPS/p{ts.replace('.', '')}"


async def test_only_the_chosen_reaction_keeps_and_a_skin_tone_does_not_matter() -> None:
    async with bot(settings={"reaction": "raised_hands"}) as b:
        ts = spoken(b, "x")
        await b.slack.marks("C0OPS", "U0LIN", ts, "memo")
        assert b.door.kept == []
        await b.slack.marks("C0OPS", "U0LIN", ts, "raised_hands::skin-tone-3")
        assert len(b.door.kept) == 1


async def test_a_message_kept_by_two_people_in_three_ways_is_kept_once() -> None:
    async with bot() as b:
        ts = spoken(b, "found it")
        await b.slack.marks("C0OPS", "U0LIN", ts)
        await b.slack.marks("C0OPS", "U0CHEN", ts)
        await b.slack.pins("C0OPS", "U0LIN", ts)
        await b.slack.keeps("C0OPS", "U0LIN", ts)
        assert len(b.door.kept) == 1
        assert [body["text"] for _, body in b.slack.responses] == ["it is in the timeline already"]


async def test_a_message_in_a_thread_is_found() -> None:
    async with bot() as b:
        root = spoken(b, "what happened?")
        ts = spoken(b, "the resolver", thread=root)
        await b.slack.marks("C0OPS", "U0LIN", ts)
        assert [kept.text for kept in b.door.kept] == ["the resolver"]


async def test_the_shortcut_keeps_a_message_and_what_is_said_of_it_goes_under_it() -> None:
    async with bot() as b:
        await b.slack.keeps("C0OPS", "U0LIN", spoken(b, "found it"))
        (kept,) = b.door.kept
        assert (kept.text, kept.by.name) == ("found it", "lin")
        await b.says(Paragraph(text=same("lin put this in the timeline")), answers=kept.message_id)
        assert b.shown() == ["<U0WANG> found it", "  ↳ lin put this in the timeline"]


async def test_what_the_bot_pins_itself_is_nothing_to_keep() -> None:
    async with bot() as b:
        await b.says(Paragraph(text=same("summary")), pinned=True)
        await b.slack.pins("C0OPS", "U0WARROOM", b.slack.said("C0OPS")[0]["ts"])
        assert b.door.kept == []


async def test_while_slack_cannot_be_asked_for_the_message_the_event_comes_again() -> None:
    async with bot() as b:
        ts = spoken(b, "found it")
        b.slack.fail["conversations.history"] = deque(["internal_error", "fatal_error"])
        answer = await b.slack.marks("C0OPS", "U0LIN", ts)
        assert (answer.status, answer.tries) == (200, 3)
        assert [kept.text for kept in b.door.kept] == ["found it"]


async def test_a_file_is_kept_by_its_name() -> None:
    async with bot() as b:
        channel = b.slack.space.channels["C0OPS"]
        said = b.slack.space.post(channel, {"user": "U0LIN", "text": "", "files": [{"name": "graph.png"}]})
        await b.slack.marks("C0OPS", "U0LIN", said["ts"])
        assert [kept.text for kept in b.door.kept] == ["📎 graph.png"]


# --- the form


async def test_the_form_offers_the_severities_of_the_team(tmp_path: Path) -> None:
    (tmp_path / "severities.yaml").write_text("severities: {sev0: {room: true}, minor: {page: false}}\n")
    async with (
        slack_server(mode="http") as slack,
        whole_bot(tmp_path, slack=settings(slack), oncall=tmp_path / "severities.yaml") as whole,
    ):
        slack.events_url = f"{whole.bot.config.url}/slack/events"
        await slack.types("C0OPS", "U0LIN", "/incident declare")
        (view,) = slack.space.views.values()
        (choice,) = (b["element"]["options"] for b in view["blocks"] if b["block_id"] == "severity")
        assert [option["value"] for option in choice] == ["minor", "sev0", "sev1", "sev2", "sev3", "sev4"]
        await slack.submits("U0LIN", title="a slow page", severity="minor", env="")

        async def declared() -> bool:
            return "INC-1" in "\n".join(slack.shown("C0OPS"))

        await whole.until(declared, lambda: slack.shown("C0OPS"))
        assert "minor" in "\n".join(slack.shown("C0OPS"))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("typed", ["/incident declare", "/warroom incident declare", "/Incident  Declare "])
async def test_declare_without_a_title_asks_for_it(mode: Literal["http", "socket"], typed: str) -> None:
    async with bot(mode) as b:
        await b.slack.types("C0OPS", "U0LIN", typed)
        assert b.door.lines == []
        (view,) = b.slack.space.views.values()
        assert view["title"]["text"] == "Declare an incident"
        await b.slack.submits("U0LIN", title="SMS down since 22:31", severity="sev1", env="prod, test")
        (line,) = b.door.lines
    assert line.text == '/incident declare "SMS down since 22:31" sev1 env=prod,test'
    assert (line.room, line.room_title, line.who.id) == ("slack:C0OPS", "ops", "U0LIN")
    assert b.slack.complaints == []


async def test_a_form_sent_twice_declares_once() -> None:
    async with bot() as b:
        await b.slack.types("C0OPS", "U0LIN", "/incident declare")
        await b.slack.submits("U0LIN", title="x")
        await b.slack.submits("U0LIN", title="x")
        assert b.door.texts == ['/incident declare "x" sev2']


async def test_a_replayed_command_neither_opens_a_second_form_nor_declares() -> None:
    async with bot() as b:
        command = b.slack.slash("C0OPS", "U0LIN", "/incident declare")
        assert [(await b.slack.deliver(command)).status for _ in range(3)] == [200, 200, 200]
        assert (len(b.slack.space.views), b.door.lines) == (1, [])


async def test_declare_with_a_title_asks_nothing() -> None:
    async with bot() as b:
        await b.slack.types("C0OPS", "U0LIN", "/incident declare SMS down")
        assert (b.door.texts, b.slack.space.views) == (["/incident declare SMS down"], {})


@pytest.mark.parametrize("how", ["down", "hang"])
async def test_where_the_form_cannot_be_opened_it_is_declared_without(how: str) -> None:
    async with bot() as b:
        b.slack.down = how == "down"
        b.slack.hang = {"views.open"} if how == "hang" else set()
        answer = await b.slack.types("C0OPS", "U0LIN", "/incident declare")
        assert (answer.status, answer.took_s < 3) == (200, True)
        assert b.door.texts == ["/incident declare"]


async def test_the_form_speaks_the_language_of_the_room() -> None:
    async with bot() as b:
        await b.says(Paragraph(text=same("x")), room=Room(key="slack:C0OPS", title="ops", lang="zh"))
        await b.slack.types("C0OPS", "U0LIN", "/incident declare")
        (view,) = b.slack.space.views.values()
        assert view["title"]["text"] == "登记故障"


@pytest.mark.parametrize(
    ("title", "severity", "env", "command"),
    [
        ("DNS", "sev1", "prod", '/incident declare "DNS" sev1 env=prod'),
        ("back to sev1", "sev3", "", '/incident declare "back to sev1" sev3'),
        (' a\n"b" ', "", "prod test", '/incident declare "a "b"" env=prod,test'),
        ("", "sev2", "", "/incident declare sev2"),
    ],
)
def test_a_filled_in_form_is_the_command_it_stands_for(title: str, severity: str, env: str, command: str) -> None:
    values: dict[str, Any] = {
        "title": {"value": {"type": "plain_text_input", "value": title}},
        "severity": {"value": {"type": "static_select", "selected_option": {"value": severity}}},
        "env": {"value": {"type": "plain_text_input", "value": env or None}},
    }
    assert declaration(values) == command


@pytest.mark.parametrize("severities", [(), ("sev1",), tuple(f"s{n}" for n in range(300))])
def test_the_form_is_one_slack_opens(severities: tuple[str, ...]) -> None:
    body = {"command": "/incident", "text": "declare", "user_id": "U1", "channel_id": "C1", "trigger_id": "1.2"}
    line = read({**body, "channel_name": "x" * 5000})
    view = form(line, severities[:100], "zh")  # type: ignore[arg-type]
    check_view(view)
    assert json.loads(view["private_metadata"])["channel"] == "C1"
