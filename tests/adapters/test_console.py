"""The console over HTTP: who may see what, how a room reads, and what reaches an open browser."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest

from bot.adapters.console.guard import host_of
from bot.adapters.console.platform import LIMIT, ConsolePlatform
from bot.adapters.console.render import SYMBOLS, Renderer, cell_view, span
from bot.adapters.console.sessions import CODE_LIFE_S, COOKIE, LIFE_S, TRIES, Sessions, clean_name
from bot.adapters.console.words import COMMANDS, KINDS, WORDS
from bot.domain.chat import NewRoom
from bot.domain.errors import SendFailed, UserError
from bot.domain.incident import EntryKind, Impact, IncidentState, Room, StatusUpdate, VendorCase
from bot.domain.message import Bullets, Code, Header, MatrixCell, Message, Paragraph
from bot.domain.text import Text, same
from tests.browser.console_night import (
    ONSET,
    QUIET_ROOM,
    ROOM,
    TOKEN,
    Console,
    Night,
    progress,
    served,
    typed,
    verdict,
)

OUR_TAGS = {"article", "p", "b", "time", "div", "header", "svg", "use", "h3", "span", "details", "summary", "small"}
OUR_TAGS |= {"ul", "li", "pre", "code", "a"}
OURS = {"X-Warroom": "console", "Sec-Fetch-Site": "same-origin"}


@asynccontextmanager
async def signed_in(
    night: Night | None = None, *, lab: bool = False
) -> AsyncIterator[tuple[httpx.AsyncClient, Console]]:
    async with (
        served(night, lab=lab) as console,
        httpx.AsyncClient(base_url=console.url, trust_env=False, timeout=30) as client,
    ):
        await client.get(f"/login?code={console.sessions.new_code('xiaolin')}")
        yield client, console


async def events(client: httpx.AsyncClient, room: str, count: int) -> AsyncIterator[dict[str, Any]]:
    """The next messages of a room; ends after `count`."""
    async with client.stream("GET", "/console/events", params={"room": room}) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for line in answer.aiter_lines():
            if line.startswith("data: ") and count:
                yield json.loads(line.removeprefix("data: "))
                count -= 1
            if not count:
                return


async def test_a_stranger_is_led_to_the_login_and_back_to_where_they_wanted_to_go() -> None:
    async with served() as console, httpx.AsyncClient(base_url=console.url, trust_env=False) as client:
        answer = await client.get("/incidents/INC-42?lang=en")
        assert (answer.status_code, answer.headers["location"]) == (
            303,
            "/login?next=%2Fincidents%2FINC-42%3Flang%3Den",
        )
        form = {"name": "小林", "token": TOKEN, "next": "/incidents/INC-42"}
        answer = await client.post("/login", data=form, headers={"Origin": console.url})
        assert (answer.status_code, answer.headers["location"]) == (303, "/incidents/INC-42")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "小林" in (await client.get("/agents")).text


@pytest.mark.parametrize("path", ["/console/rooms/x/messages", "/console/events?room=x", "/console/rail"])
async def test_scripts_without_a_session_get_401_and_no_page(path: str) -> None:
    async with served() as console, httpx.AsyncClient(base_url=console.url, trust_env=False) as client:
        answer = await client.get(path)
        assert answer.status_code == 401
        assert set(answer.json()["error"]) == {"zh", "en"}


async def test_a_link_from_another_site_asks_once_more_because_the_strict_cookie_stayed_at_home() -> None:
    async with served() as console, httpx.AsyncClient(base_url=console.url, trust_env=False) as client:
        answer = await client.get("/incidents/INC-42", headers={"Sec-Fetch-Site": "cross-site"})
        assert answer.status_code == 200
        assert 'http-equiv="refresh" content="0"' in answer.text
        assert "INC-42" not in answer.text


async def test_a_login_code_works_once() -> None:
    async with served() as console, httpx.AsyncClient(base_url=console.url, trust_env=False) as client:
        code = console.sessions.new_code()
        assert (await client.get(f"/login?code={code}")).status_code == 303
        assert (await client.get(f"/login?code={code}")).status_code == 403


@pytest.mark.parametrize("where", ["//evil.example/", "/\\evil.example", "https://evil.example/", ""])
async def test_a_login_leads_to_our_own_pages_only(where: str) -> None:
    async with served() as console, httpx.AsyncClient(base_url=console.url, trust_env=False) as client:
        answer = await client.get("/login", params={"code": console.sessions.new_code(), "next": where})
        assert answer.headers["location"] == "/"


async def test_a_timeline_is_searched_and_a_long_one_is_turned_page_by_page() -> None:
    night = Night()
    night.timeline_ += [replace(night.timeline_[7], seq=n, zh=f"备注 {n}") for n in range(1, 301)]
    async with signed_in(night) as (client, _):
        found = (await client.get("/incidents/INC-42")).text
        assert found.count('class="entry"') == 200
        assert re.search(r'href="/incidents/INC-42\?before=101" rel="prev">更早', found)
        assert "110–309 条，共 309" in found
        found = (await client.get("/timeline", params={"room": ROOM, "q": "备注 17", "kind": "note"})).text
        assert found.count('class="entry"') == 13
        assert f'<input type="hidden" name="room" value="{ROOM}">' in found
        assert '<option value="note" selected>' in found
        assert "kind=note" in re.search('data-live="([^"]*timeline[^"]*)"', found)[1]  # type: ignore[index]
        found = (await client.get("/timeline", params={"room": ROOM, "kind": "nots"})).text
        assert 'role="alert">没有找到类型' in found
        night.timeline_ = [replace(night.timeline_[7], seq=1, zh="<b>旧</b>")]
        data = {"corrects": 1, "says": "<b>新</b>"}
        night.timeline_ += [replace(night.timeline_[0], seq=2, kind=EntryKind.CORRECTION, data=data)]
        found = (await client.get("/incidents/INC-42")).text
        assert "&lt;b&gt;新&lt;/b&gt; <small" in found
        assert "<s>&lt;b&gt;旧&lt;/b&gt;</s>" in found


async def test_guessing_the_token_is_stopped_even_for_the_right_guess() -> None:
    async with served() as console, httpx.AsyncClient(base_url=console.url, trust_env=False) as client:
        origin = {"Origin": console.url}
        wrong = [await client.post("/login", data={"name": "x", "token": "no"}, headers=origin) for _ in range(TRIES)]
        assert {answer.status_code for answer in wrong} == {403}
        answer = await client.post("/login", data={"name": "x", "token": TOKEN}, headers=origin)
        assert answer.status_code == 429


async def test_a_foreign_page_cannot_sign_anybody_in_or_out() -> None:
    async with signed_in() as (client, _):
        for path in ("/login", "/logout"):
            for headers in ({}, {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
                answer = await client.post(path, data={"name": "x", "token": TOKEN}, headers=headers)
                assert answer.status_code == 403
        assert (await client.get("/agents")).status_code == 200


async def test_signing_out_ends_the_session_for_good() -> None:
    async with signed_in() as (client, console):
        kept = client.cookies[COOKIE]
        await client.post("/logout", headers={"Origin": console.url})
        client.cookies.set(COOKIE, kept)
        assert (await client.get("/agents")).status_code == 303


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8800", "127.0.0.1.evil.example", ""])
async def test_a_name_that_is_not_ours_gets_nothing(host: str) -> None:
    async with signed_in() as (client, _):
        for path in ("/", "/login", "/console/rail", "/console/static/console.js"):
            assert (await client.get(path, headers={"Host": host})).status_code in (400, 421)


def test_a_host_header_is_read_with_port_and_brackets() -> None:
    assert host_of("Warroom.Example:8800") == "warroom.example"
    assert host_of("[::1]:8800") == "::1"


async def test_every_answer_forbids_inline_scripts_foreign_sources_and_framing() -> None:
    async with signed_in() as (client, _):
        for path in (
            "/",
            "/incidents/INC-42",
            "/login",
            "/console/rail",
            "/console/static/console.css",
            "/incidents/no",
        ):
            headers = (await client.get(path)).headers
            assert "default-src 'self'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"


async def test_pages_hold_no_inline_script_style_or_handler_and_nothing_from_elsewhere() -> None:
    night = Night()
    await night.fill()
    async with signed_in(night, lab=True) as (client, _):
        for path in ("/", "/incidents", "/incidents/INC-42", "/timeline", "/agents", "/login"):
            page = (await client.get(path)).text
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=", page), path
            assert not re.search(r"(src|href)=\"(https?:)?//", page), path


@pytest.mark.parametrize("path", ["/console/static/../web.py", "/console/static/%2e%2e%2fweb.py", "/console/static/x"])
async def test_only_our_own_static_files_are_served(path: str) -> None:
    async with signed_in() as (client, _):
        assert (await client.get(path)).status_code == 404


async def test_static_files_are_sent_once() -> None:
    async with signed_in() as (client, _):
        first = await client.get("/console/static/console.js")
        assert first.headers["content-type"].startswith("text/javascript")
        again = await client.get("/console/static/console.js", headers={"If-None-Match": first.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


async def test_what_is_typed_reaches_the_application_with_its_author_and_the_browser_s_id() -> None:
    async with signed_in() as (client, console):
        answer = await client.post(f"/console/rooms/{ROOM}/say", json={"text": "/diag sms", "id": "b-1"}, headers=OURS)
        assert (answer.status_code, answer.json()) == (202, {"id": "b-1"})
        assert console.night.typed == [(ROOM, "xiaolin", "/diag sms", "b-1")]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"X-Warroom": "console"},
        {"X-Warroom": "console", "Sec-Fetch-Site": "cross-site"},
        {"X-Warroom": "console", "Sec-Fetch-Site": "same-site"},
        {"X-Warroom": "console", "Origin": "http://evil.example"},
        {"X-Warroom": "console", "Origin": "null"},
    ],
)
async def test_a_command_another_site_sends_with_our_cookie_is_refused(headers: dict[str, str]) -> None:
    async with signed_in(lab=True) as (client, console):
        body = {"text": "/ack", "id": "b-1"}
        for path in (f"/console/rooms/{ROOM}/say", f"/console/rooms/{ROOM}/language", "/lab/lift"):
            assert (await client.post(path, json=body, headers=headers)).status_code == 403
        assert console.night.typed == []
        assert console.lab.active


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"text": 1, "id": "x"}',
        b'{"text": "x"}',
        b'{"text": " ", "id": "x"}',
        json.dumps({"text": "x" * 4001, "id": "x"}).encode(),
        json.dumps({"text": "x", "id": "y" * 81}).encode(),
    ],
)
async def test_a_malformed_line_is_refused_in_words(body: bytes) -> None:
    async with signed_in() as (client, console):
        answer = await client.post(f"/console/rooms/{ROOM}/say", content=body, headers=OURS)
        assert answer.status_code == 400
        assert answer.json()["error"]["zh"]
        assert console.night.typed == []


async def test_a_refusal_of_the_application_comes_back_in_its_own_words() -> None:
    night = Night(refuse=UserError("unknown_playbook", Text("没有找到 smss", 'playbook "smss" not found')))
    async with signed_in(night) as (client, _):
        answer = await client.post(f"/console/rooms/{ROOM}/say", json={"text": "/diag smss", "id": "1"}, headers=OURS)
        assert (answer.status_code, answer.json()["error"]["en"]) == (422, 'playbook "smss" not found')


async def test_with_the_database_away_pages_and_scripts_say_so_and_come_back() -> None:
    async with signed_in(Night(store_down=True)) as (client, console):
        page = await client.get("/")
        assert page.status_code == 503
        assert "数据库" in page.text
        assert (await client.get(f"/console/rooms/{ROOM}/messages")).status_code == 503
        console.night.store_down = False
        assert (await client.get("/")).status_code == 200


async def test_a_room_reads_in_its_own_language_and_can_change_it() -> None:
    night = Night()
    await night.fill()
    async with signed_in(night) as (client, _):
        page = (await client.get("/", params={"room": ROOM})).text
        assert "最可能：上海 VPC 的 DNS 被云厂商限频（93%）" in page
        assert '<html lang="zh-CN">' in page
        await client.post(f"/console/rooms/{ROOM}/language", json={"lang": "en"}, headers=OURS)
        page = (await client.get("/", params={"room": ROOM})).text
        assert "Most likely: the cloud rate-limits DNS" in page
        assert "最可能" not in page
        assert '<html lang="en">' in page
        assert "Agents" in (await client.get("/agents")).text
        answer = await client.post(f"/console/rooms/{ROOM}/language", json={"lang": "fr"}, headers=OURS)
        assert answer.status_code == 400


async def test_rooms_and_incidents_that_do_not_exist_are_said_to() -> None:
    async with signed_in() as (client, _):
        for path in ("/?room=no", "/timeline?room=no", "/incidents/INC-9", "/console/rooms/no/messages"):
            assert (await client.get(path)).status_code == 404
        answer = await client.get("/console/events", params={"room": "no"})
        assert answer.status_code == 404


async def test_messages_come_with_key_revision_time_and_html() -> None:
    night = Night()
    await night.fill()
    async with signed_in(night) as (client, _):
        rows = (await client.get(f"/console/rooms/{ROOM}/messages")).json()
        assert [row["key"] for row in rows] == ["t-1", "t-2", "run-1"]
        assert {**rows[1], "html": ""} == {
            "key": "t-2",
            "rev": 1,
            "at": "2026-01-15T15:01:00+00:00",
            "author": "xiaolin",
            "html": "",
        }
        assert '<time datetime="2026-01-15T15:01:00+00:00">23:01</time>' in rows[1]["html"]


async def test_an_open_browser_gets_messages_of_its_room_and_edits_under_the_same_key() -> None:
    async with signed_in() as (client, console):
        stream = events(client, ROOM, 2)
        first = asyncio.ensure_future(anext(stream))
        while not console.night.platform.connections:
            await asyncio.sleep(0.01)
        await console.night.post(typed("other", "lin", "elsewhere", QUIET_ROOM))
        await console.night.post(progress(3))
        assert ((await first)["key"], (await first)["rev"]) == ("run-2", 1)
        second = asyncio.ensure_future(anext(stream))
        await console.night.post(progress(12))
        row = await second
        assert (row["key"], row["rev"]) == ("run-2", 2)
        assert "12/18" in row["html"]
        await stream.aclose()


async def test_a_message_that_was_overtaken_by_its_edit_arrives_as_the_edit() -> None:
    async with signed_in() as (client, console):
        night = console.night
        stream = events(client, ROOM, 1)
        first = asyncio.ensure_future(anext(stream))
        while not night.platform.connections:
            await asyncio.sleep(0.01)
        night.said[ROOM] = {"run-2": (progress(18), 9, ONSET)}
        await night.platform.put(progress(1), night.rooms_[ROOM], None)
        row = await first
        assert (row["rev"], "18/18" in row["html"]) == (9, True)
        await stream.aclose()


async def test_with_the_database_away_what_is_said_still_arrives_marked_as_not_recorded() -> None:
    async with signed_in() as (client, console):
        stream = events(client, ROOM, 1)
        first = asyncio.ensure_future(anext(stream))
        while not console.night.platform.connections:
            await asyncio.sleep(0.01)
        console.night.store_down = True
        await console.night.platform.put(verdict(), console.night.rooms_[ROOM], None)
        row = await first
        assert (row["key"], row["rev"]) == ("run-1", None)
        await stream.aclose()


async def test_the_server_stops_promptly_although_browsers_are_listening() -> None:
    async with signed_in() as (client, console):
        stream = events(client, ROOM, 1)
        waiting = asyncio.ensure_future(anext(stream, None))
        while not console.night.platform.connections:
            await asyncio.sleep(0.01)
        console.server.should_exit = True
        assert await asyncio.wait_for(waiting, 12) is None


async def test_closing_the_platform_ends_streams_at_once_and_refuses_more() -> None:
    async with signed_in() as (client, console):
        platform = console.night.platform
        waiting = asyncio.ensure_future(anext(events(client, ROOM, 1), None))
        while not platform.connections:
            await asyncio.sleep(0.01)
        platform.close()
        assert await asyncio.wait_for(waiting, 10) is None
        with pytest.raises(SendFailed):
            await platform.put(verdict(), Room(key=ROOM, title=""), None)


async def test_a_stream_ends_when_its_session_is_signed_out() -> None:
    async with signed_in() as (client, console):
        waiting = asyncio.ensure_future(anext(events(client, ROOM, 1), None))
        while not console.night.platform.connections:
            await asyncio.sleep(0.01)
        console.sessions.revoke(client.cookies[COOKIE])
        assert await asyncio.wait_for(waiting, 12) is None


async def test_a_browser_that_falls_too_far_behind_is_dropped_and_others_go_on() -> None:
    platform, room = ConsolePlatform(), Room(key=ROOM, title="")
    with platform.subscribe(ROOM) as slow, platform.subscribe(ROOM) as quick:
        for n in range(LIMIT + 1):
            await platform.put(typed(f"k-{n}", "x", "x"), room, None)
            quick.take()
        assert (slow.ended, quick.ended, platform.connections) == (True, False, 1)


async def test_edits_waiting_for_a_browser_become_one() -> None:
    platform = ConsolePlatform()
    with platform.subscribe(ROOM) as subscription:
        for done in range(18):
            assert await platform.put(progress(done), Room(key=ROOM, title=""), "run-2") == "run-2"
        messages, _ = subscription.take()
        assert messages == {"run-2": progress(17)}


def room_for(title: str) -> NewRoom:
    return NewRoom(incident="INC-42", title=title)


async def test_new_rooms_get_keys_of_their_own_even_for_the_same_title() -> None:
    platform = ConsolePlatform()
    keys = {(await platform.create_room(room_for("INC-42 短信不可用 / SMS!"))).key for _ in range(50)}
    assert len(keys) == 50
    assert all(re.fullmatch(r"console:inc-42-sms-[0-9a-f]{6}", key) for key in keys)
    assert (await platform.create_room(room_for("短信"))).key.startswith("console:room-")


def test_a_session_is_signed_expires_and_survives_nothing_forged() -> None:
    now = [1000.0]
    sessions = Sessions(api_token=TOKEN, now=lambda: now[0])
    cookie = sessions.issue("小林")
    assert sessions.user(cookie) == "小林"
    body, _, signature = cookie.rpartition(".")
    for forged in (
        None,
        "",
        ".",
        "x.y",
        f"{body}.{signature[:-1]}",
        f"{body}x.{signature}",
        f"{body}.é",
        f".{signature}",
    ):
        assert sessions.user(forged) is None
    assert Sessions(api_token=TOKEN).user(cookie) is None
    assert Sessions(api_token=TOKEN, secret=b"k" * 32).user(Sessions(api_token="", secret=b"k" * 32).issue("a")) == "a"
    now[0] += LIFE_S
    assert sessions.user(cookie) is None


def test_a_login_code_lives_ten_minutes() -> None:
    now = [1000.0]
    sessions = Sessions(api_token=TOKEN, now=lambda: now[0])
    in_time, late = sessions.new_code("a"), sessions.new_code("b")
    now[0] += CODE_LIFE_S - 1
    assert sessions.redeem(in_time) == "a"
    now[0] += 1
    assert sessions.redeem(late) is None
    assert sessions.redeem("never issued") is None


def test_without_an_api_token_no_token_fits() -> None:
    assert not Sessions(api_token="").token_fits("")
    assert not Sessions(api_token=TOKEN).token_fits(TOKEN + " ")


def test_a_name_is_one_printable_line() -> None:
    assert clean_name(" 小林\n\x1b[31m\u202e ") == "小林[31m"
    assert len(clean_name("x" * 99)) == 40


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "javascript:alert(1)",
        "`<b>`",
        "https://x/<script>",
    ],
)
def test_hostile_text_is_inert_wherever_it_stands(hostile: str) -> None:
    said = same(hostile)
    blocks = (
        Header(text=said, sub=said),
        Paragraph(text=said, label=said),
        Bullets(items=(said,), label=said, folded=True),
        Code(text=hostile),
    )
    html = Renderer().message(Message(key=hostile, room=ROOM, author=hostile, blocks=blocks), 1, ONSET, "zh")
    assert set(re.findall(r"<([a-z][a-z0-9]*)", html)) <= OUR_TAGS
    assert "javascript:" not in "".join(re.findall(r'href="([^"]*)"', html))


def test_addresses_and_incidents_in_text_become_links() -> None:
    said = same("INC-17：见 https://status.example/a?b=1&c=2，谢谢")
    html = Renderer().message(Message(key="k", room=ROOM, blocks=(Paragraph(text=said),)), 1, ONSET, "zh")
    assert '<a href="/incidents/INC-17">INC-17</a>' in html
    assert 'href="https://status.example/a?b=1&amp;c=2" rel="noopener noreferrer"' in html


def test_the_matrix_is_a_real_table_with_a_heading_for_each_row_column_and_region() -> None:
    html = Renderer().message(verdict(), 1, ONSET, "zh")
    assert html.count('scope="row"') == 8
    assert html.count('scope="col"') == 5
    assert html.count('scope="colgroup"') == 3
    assert html.count('tabindex="0"') == 2  # the scrolling region, and one cell to step in from
    assert 'aria-label="DNS·VPC, 上海 pod: 部分成功 11%. 4/40 成功，其余超时"' in html


def test_every_state_of_a_cell_differs_by_shape_and_by_name() -> None:
    views = [
        cell_view(MatrixCell(state=state), same("DNS"), same("pod"), None, "en")
        for state in SYMBOLS
        if state != "pending"
    ]
    assert len({(v.symbol, v.dial is not None) for v in views}) == len(views)
    assert len({v.label for v in views}) == len(views)


def test_a_cell_shows_its_sign_once() -> None:
    seen = cell_view(MatrixCell(state="up", text="✓*"), same("TLS"), same("pod"), None, "zh")
    assert (seen.symbol, seen.text) == ("✓", "*")
    assert cell_view(MatrixCell(state="none", text="–"), same("TLS"), same("pod"), None, "zh").text == ""


def test_hypotheses_are_ranked_with_shares_and_weights_that_carry_their_sign() -> None:
    html = Renderer().message(verdict(), 1, ONSET, "en")
    assert "93%" in html
    assert "&lt;1%" in html
    assert "+3.4" in html
    assert "−4.2" in html


def test_every_word_exists_in_both_languages() -> None:
    words = [*WORDS.values(), *KINDS.values(), *(about for _, about in COMMANDS)]
    assert all(word.zh and word.en for word in words)
    assert set(KINDS) == {kind.value for kind in EntryKind}


@pytest.mark.parametrize(("seconds", "said"), [(8, "8 s"), (61, "1 min"), (6660, "1 h 51 min"), (4 * 86400, "4 days")])
def test_durations_read_as_people_say_them(seconds: float, said: str) -> None:
    assert span(seconds).en == said


async def test_the_incident_page_counts_from_its_start_and_says_that_nobody_has_acknowledged() -> None:
    async with signed_in() as (client, console):
        page = (await client.get("/incidents/INC-42?lang=en")).text
        assert "nobody yet" in page
        assert "23:01:16" in page
        assert "+00:35" in page
        assert "2026-01-16" in page
        console.night.incidents_ = [replace(console.night.incidents_[0], acked_at=ONSET, acked_by="lin")]
        piece = (await client.get("/incidents/INC-42?fragment=1&lang=en")).text
        assert "nobody yet" not in piece
        assert "<html" not in piece


async def test_lost_agents_are_shown_as_lost() -> None:
    async with signed_in() as (client, _):
        page = (await client.get("/agents?lang=en")).text
        assert "4/5 ready" in page
        assert 'data-state="lost">lost' in page


async def test_what_an_agent_cannot_do_is_said_below_in_its_own_words() -> None:
    async with signed_in() as (client, console):
        assert "What some of them cannot do" not in (await client.get("/agents?lang=en")).text
        first, *others = console.night.agents_
        console.night.agents_ = [replace(first, lacks=("ping: <no> capability", "dns: none")), *others]
        page = (await client.get("/agents?lang=en")).text
        assert "What some of them cannot do" in page
        assert f"<li><b>{first.name}</b> ping: &lt;no&gt; capability; dns: none</li>" in page


async def test_the_lab_is_behind_the_same_session() -> None:
    async with served(lab=True) as console, httpx.AsyncClient(base_url=console.url, trust_env=False) as client:
        assert (await client.get("/lab/state")).status_code == 401
    async with signed_in() as (client, _):
        assert (await client.get("/lab/state")).status_code == 404
        assert "data-lab" not in (await client.get("/")).text


async def test_the_incident_page_shows_who_does_what_and_who_is_hit() -> None:
    async with signed_in() as (client, console):
        console.night.incidents_ = [
            replace(
                console.night.incidents_[0],
                state=IncidentState.MITIGATED,
                roles={"commander": ("lin",), "responder": ("chen", "wang")},
                environments=("prod",),
                impact=Impact(text="no <login> codes", customers=("acme",), amount="3,000/h"),
                vendors=(VendorCase(name="tencent", asked_at=ONSET, ticket="T-1"),),
                update=StatusUpdate(text="switched over", by="lin", at=ONSET),
                update_due_at=ONSET,
            )
        ]
        page = (await client.get("/incidents/INC-42?lang=en")).text
        for words in (
            "mitigated",
            "Commander",
            "chen, wang",
            "no &lt;login&gt; codes",
            "acme",
            "3,000/h",
            "ticket T-1",
            "switched over",
            "Next update",
        ):
            assert words in page
        assert "已缓解" in (await client.get("/incidents?lang=zh")).text
