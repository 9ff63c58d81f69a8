"""Slack over HTTP: what people type reaches the door once, and what is not Slack's reaches nothing."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bot.adapters.slack import SlackPlatform
from bot.adapters.slack.guard import MAX_BODY, signature
from bot.domain.errors import ConfigError, StoreUnavailable
from bot.domain.platforms import SlackSettings
from bot.testing import FixedClock
from tests.chat.door import Door
from tests.chat.slack_bot import bot, until
from tests.chat.slack_server import encoded

FORM, JSON = "application/x-www-form-urlencoded", "application/json"


@pytest.mark.parametrize(
    ("typed", "command"),
    [
        ("/diag sms region=shanghai", "/diag sms region=shanghai"),
        ("/warroom diag sms", "/diag sms"),
        ("/warroom /diag sms", "/diag sms"),
        ("/warroom", "/warroom"),
        ("/warroom open", "/warroom open"),
        ("/warroom bind INC-7", "/warroom bind INC-7"),
        (
            "/note 5 &lt; 6 &amp; <@U0WANG|wang> saw <http://example.com|example.com>",
            "/note 5 < 6 & @U0WANG saw example.com",
        ),
    ],
)
async def test_a_slash_command_reaches_the_door_as_what_was_meant(typed: str, command: str) -> None:
    async with bot() as b:
        answer = await b.slack.types("C0OPS", "U0LIN", typed)
        (line,) = b.door.lines
    assert (answer.status, line.text) == (200, command)
    assert (line.who.platform, line.who.id, line.who.name) == ("slack", "U0LIN", "lin")
    assert (line.room, line.room_title) == ("slack:C0OPS", "ops")


async def test_people_see_which_command_was_given() -> None:
    async with bot() as b:
        assert (await b.slack.types("C0OPS", "U0LIN", "/diag sms")).body == {"response_type": "in_channel"}


async def test_a_mention_is_a_command_and_in_a_thread_it_is_answered_there() -> None:
    async with bot() as b:
        await b.slack.types("C0OPS", "U0LIN", "@warroom /diag sms")
        root = b.slack.said("C0OPS")[0]["ts"]
        await b.slack.types("C0OPS", "U0WANG", "@warroom note what <b> & c", thread=root)
        assert b.door.texts == ["/diag sms", "note what <b> & c"]
        assert b.door.lines[1].message_id.endswith(f"/{root}")


async def test_a_bare_mention_asks_for_help() -> None:
    async with bot() as b:
        await b.slack.types("C0OPS", "U0LIN", "@warroom")
        assert b.door.texts == ["/help"]


async def test_a_direct_message_needs_no_mention() -> None:
    async with bot() as b:
        channel = b.slack.space.direct("U0LIN").id
        await b.slack.types(channel, "U0LIN", "oncall")
        (line,) = b.door.lines
    assert (line.text, line.room) == ("oncall", f"slack:{channel}")


async def test_one_message_under_several_event_ids_is_one_command() -> None:
    async with bot() as b:
        event = b.slack.message("C0OPS", "U0LIN", "@warroom /ack")
        for n in range(3):
            assert (await b.slack.deliver({**event, "event_id": f"Ev{n}"})).status == 200
        assert (b.door.texts, len(b.door.again)) == (["/ack"], 2)


async def test_a_replayed_command_is_one_command_and_the_same_words_typed_twice_are_two() -> None:
    async with bot() as b:
        first = b.slack.slash("C0OPS", "U0LIN", "/note hello")
        await b.slack.deliver(first)
        await b.slack.deliver(first)
        await b.slack.types("C0OPS", "U0LIN", "/note hello")
        assert b.door.texts == ["/note hello", "/note hello"]


@pytest.mark.parametrize(
    "more", [{"bot_id": "B1"}, {"subtype": "message_changed"}, {"subtype": "bot_message"}, {"user": "U0WARROOM"}]
)
async def test_what_bots_say_and_what_is_edited_is_no_command(more: dict[str, Any]) -> None:
    async with bot() as b:
        event = b.slack.message(b.slack.space.direct("U0LIN").id, "U0LIN", "ack")
        event["event"] |= more
        assert (await b.slack.deliver(event)).status == 200
        assert b.door.lines == []


async def test_events_of_no_interest_are_acknowledged() -> None:
    async with bot() as b:
        assert (await b.slack.deliver(b.slack.event({"type": "member_joined_channel", "user": "U1"}))).status == 200
        assert (await b.slack.deliver({"type": "url_verification", "challenge": "abc", "token": "t"})).body == {
            "challenge": "abc"
        }


async def test_a_command_is_acknowledged_when_it_is_recorded_and_by_two_and_a_half_seconds_at_the_latest() -> None:
    async with bot() as b:
        b.door.gate.clear()
        answer = await b.slack.types("C0OPS", "U0LIN", "/diag sms")
        assert answer.status == 200
        assert answer.took_s > 2.4
        assert b.door.lines == []
        b.door.gate.set()
        await until(lambda: b.door.texts == ["/diag sms"])


async def test_a_command_that_cannot_be_recorded_says_so_to_whoever_typed_it() -> None:
    async with bot() as b:
        b.door.error = StoreUnavailable("the disk is full")
        answer = await b.slack.types("C0OPS", "U0LIN", "/diag sms")
        assert answer.status == 200
        assert answer.body["response_type"] == "ephemeral"
        assert "try again" in answer.body["text"]


async def test_a_mention_that_cannot_be_recorded_is_delivered_again() -> None:
    async with bot() as b:
        event = b.slack.message("C0OPS", "U0LIN", "@warroom /diag sms")
        b.door.error = StoreUnavailable("the disk is full")
        assert (await b.slack.deliver(event, retry=False)).status == 503
        b.door.error = None
        assert (await b.slack.deliver(event)).status == 200
        assert b.door.texts == ["/diag sms"]


async def test_a_hundred_commands_at_once_are_all_acknowledged() -> None:
    async with bot() as b:
        answers = await asyncio.gather(*(b.slack.types("C0OPS", "U0LIN", f"/note {n}") for n in range(100)))
        assert {answer.status for answer in answers} == {200}
        assert sorted(b.door.texts) == sorted(f"/note {n}" for n in range(100))
        assert b.slack.complaints == []


async def test_slack_being_down_swallows_no_command() -> None:
    async with bot() as b:
        b.slack.down = True
        assert (await b.slack.types("C0OPS", "U0LIN", "/diag sms")).status == 200
        assert b.door.texts == ["/diag sms"]
        assert b.slack.calls == []


# --- what is not Slack's


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Slack-Request-Timestamp": "nan"},
        {"X-Slack-Request-Timestamp": "1e3"},
        {"X-Slack-Request-Timestamp": ""},
        {"X-Slack-Request-Timestamp": "99999999999999999999"},
        {"X-Slack-Request-Timestamp": "-1"},
        {"X-Slack-Signature": "v0=" + "0" * 64},
        {"X-Slack-Signature": "v0=é"},
        {"X-Slack-Signature": ""},
        {"X-Slack-Signature": "v1=" + "0" * 64},
    ],
)
async def test_a_request_that_is_not_signed_right_is_refused(headers: dict[str, str]) -> None:
    async with bot() as b:
        body, kind = encoded(b.slack.slash("C0OPS", "U0LIN", "/ack"))
        sent = {**b.slack.signed(body, kind), **headers}
        answer = await b.slack.post(body, {k: v.encode().decode("latin-1") for k, v in sent.items()})
        assert answer.status == 401
        assert b.door.lines == []


@pytest.mark.parametrize(("off_s", "status"), [(-299, 200), (-301, 401), (299, 200), (302, 401)])
async def test_a_request_counts_for_five_minutes(off_s: int, status: int) -> None:
    async with bot() as b:
        body, kind = encoded(b.slack.slash("C0OPS", "U0LIN", "/ack"))
        headers = b.slack.signed(body, kind, at=time.time() + off_s)
        assert (await b.slack.post(body, headers)).status == status


async def test_a_body_changed_on_the_way_is_refused() -> None:
    async with bot() as b:
        body, kind = encoded(b.slack.slash("C0OPS", "U0LIN", "/ack"))
        assert (await b.slack.post(body + b"&x=1", b.slack.signed(body, kind))).status == 401


async def test_a_body_over_a_mebibyte_is_refused() -> None:
    async with bot() as b:
        body = b"command=%2Fnote&text=" + b"x" * MAX_BODY
        assert (await b.slack.post(body, b.slack.signed(body, FORM))).status == 413


MALFORMED = [
    (JSON, b""),
    (JSON, b"{"),
    (JSON, b"[]"),
    (JSON, b"null"),
    (JSON, b"[" * 100_000),
    (JSON, b'{"type": "nonsense"}'),
    (JSON, b'{"type": "event_callback"}'),
    (JSON, b'{"type": "event_callback", "event": []}'),
    (JSON, b'{"type": "event_callback", "event": {"type": 7}}'),
    (JSON, b'{"type": "event_callback", "event": {"type": "app_mention", "user": ["U1"], "channel": "C1"}}'),
    (JSON, b'{"type": "event_callback", "event": {"type": "app_mention", "user": "U1", "channel": "C1", "ts": "x"}}'),
    (JSON, b'{"type": "event_callback", "event": {"type": "reaction_added", "user": "U1", "item": 3}}'),
    (JSON, b'{"type": "url_verification"}'),
    (JSON, b'{"type": {"a": 1}}'),
    (JSON, b"\xff\xfe"),
    (FORM, b""),
    (FORM, b"payload=%7B"),
    (FORM, b"payload=[]"),
    (FORM, b"payload=" + b'{"type":"block_actions"}'),
    (FORM, b"payload=" + b'{"type":"block_actions","actions":["x"],"user":{"id":"U1"}}'),
    (
        FORM,
        b'payload={"type":"view_submission","view":{"callback_id":"declare","private_metadata":"1"},"user":{"id":"1"}}',
    ),
    (FORM, b"payload=" + b'{"type":"message_action","user":{"id":"U1"},"channel":null}'),
    (FORM, b"command=%2Fdiag"),
    (FORM, b"command=diag&user_id=U1&channel_id=C1"),
    (FORM, b"command=%2Fdiag&user_id=U1%00&channel_id=C1"),
    (FORM, b"&".join(b"a%d=1" % n for n in range(500))),
    ("text/plain", b"command=%2Fdiag"),
    ("", b"x"),
    ("multipart/form-data", b"x"),
]


@pytest.mark.parametrize(("kind", "body"), MALFORMED)
async def test_a_signed_but_malformed_body_is_refused_with_4xx(kind: str, body: bytes) -> None:
    async with bot() as b:
        answer = await b.slack.post(body, b.slack.signed(body, kind))
        assert 400 <= answer.status < 500
        assert b.door.lines == []


async def test_changed_real_deliveries_never_end_in_5xx() -> None:
    """Every field of every kind of delivery, replaced by what does not belong there."""
    async with bot() as b:
        kinds = [
            b.slack.slash("C0OPS", "U0LIN", "/diag sms"),
            b.slack.message("C0OPS", "U0LIN", "@warroom /diag sms"),
            {
                "type": "block_actions",
                "user": {"id": "U0LIN", "username": "lin"},
                "channel": {"id": "C0OPS", "name": "ops"},
                "container": {"message_ts": "1.2", "channel_id": "C0OPS"},
                "actions": [{"type": "button", "action_id": "do.1", "value": "/ack", "action_ts": "1.3"}],
                "response_url": "http://127.0.0.1:1/x",
                "trigger_id": "1.2.3",
            },
        ]
        for kind in kinds:
            for wrong in mutants(kind):
                body, content = encoded(wrong)
                answer = await b.slack.post(body, b.slack.signed(body, content))
                assert 200 <= answer.status < 500, (wrong, answer)


def mutants(value: Any) -> list[Any]:
    """The value with one thing in it replaced, for every thing in it."""
    if isinstance(value, dict):
        kept = [{k: v for k, v in value.items() if k != key} for key in value]
        return kept + [
            {**value, key: wrong} for key in value for wrong in [None, 7, [], {}, "\x00", *mutants(value[key])]
        ]
    return [[wrong] for one in value for wrong in mutants(one)] if isinstance(value, list) else []


async def test_slacks_own_example_of_a_signature_is_understood() -> None:
    vector = json.loads((Path(__file__).parents[1] / "data" / "vectors.json").read_text())["slack_v0"]
    made = signature(vector["signing_secret"].encode(), vector["timestamp"], vector["body"].encode())
    assert made == vector["signature"]
    clock = FixedClock(datetime.fromtimestamp(int(vector["timestamp"]), UTC))
    assert clock.now().timestamp() == int(vector["timestamp"])


# --- construction


def made(**how: Any) -> SlackPlatform:
    full = {"mode": "http", "bot_token": "xoxb-1", "signing_secret": "s", "app_token": "xapp-1", **how}
    return SlackPlatform(SlackSettings(**full), Door(), lang="en", clock=FixedClock())


@pytest.mark.parametrize(
    ("how", "missing"),
    [
        ({"bot_token": " "}, "WARROOM_SLACK_BOT_TOKEN"),
        ({"signing_secret": ""}, "WARROOM_SLACK_SIGNING_SECRET"),
        ({"mode": "socket", "app_token": ""}, "WARROOM_SLACK_APP_TOKEN"),
    ],
)
def test_a_missing_secret_is_an_error_that_names_it(how: dict[str, Any], missing: str) -> None:
    with pytest.raises(ConfigError, match=missing):
        made(**how)


def test_oauth_stays_off_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_CLIENT_ID", "1.2")
    monkeypatch.setenv("SLACK_CLIENT_SECRET", "s")
    platform = made()
    assert platform._app.oauth_flow is None
    assert platform._app.installation_store is None


def test_a_socket_needs_no_route() -> None:
    assert made(mode="socket").routes() == ()
