"""The console in a real browser: what people see, press and hear, on a desk and on a phone."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from bot.domain.errors import UserError
from bot.domain.message import Message
from bot.domain.text import Text
from tests.browser.chromium import ARGUMENTS
from tests.browser.console_night import (
    ONSET,
    QUIET_ROOM,
    ROOM,
    Console,
    Night,
    matrix,
    odds_and_ends,
    progress,
    recovery,
    served,
    typed,
    verdict,
)
from tests.needs import need_tool

pytestmark = pytest.mark.browser

DESK = {"width": 1440, "height": 900}
PHONE = {"width": 360, "height": 740}
SHOTS = os.environ.get("WARROOM_TEST_SHOTS")
"""A folder for screenshots to look at; none are taken without it."""


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    need_tool("chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        yield browser
        await browser.close()


@asynccontextmanager
async def opened(
    browser: Browser,
    *,
    night: Night | None = None,
    lab: bool = False,
    where: str = f"/?room={ROOM}",
    size: dict[str, int] | None = None,
    **context: Any,
) -> AsyncIterator[tuple[Page, Console]]:
    """A page that is signed in and live; errors and refusals of the content policy in it fail the test."""
    if night is None:
        night = Night()
        await night.fill()
    async with served(night, lab=lab) as console:
        tab = await browser.new_context(viewport=size or DESK, **context)
        page = await tab.new_page()
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if "Content Security Policy" in said.text else None)
        await page.goto(console.entry(where.replace("&", "%26")))
        await expect(page.locator("[data-link]")).to_have_attribute("data-link", "live")
        yield page, console
        await tab.close()
        assert wrong == []


async def shot(page: Page, name: str) -> None:
    if SHOTS:
        await page.screenshot(path=Path(SHOTS) / f"{name}.png")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_the_page_never_scrolls_sideways_and_every_word_has_enough_contrast(
    browser: Browser, scheme: str, size: dict[str, int]
) -> None:
    async with opened(browser, lab=True, size=size, color_scheme=scheme, reduced_motion="reduce") as (page, console):
        await console.night.post(progress())
        await console.night.post(odds_and_ends())
        await console.night.post(recovery())
        console.lab.ring()
        await expect(page.locator('[data-key="watch-1"]')).to_be_visible()
        await expect(page.locator("[data-keypad]")).to_be_visible()
        await page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        name = f"{scheme}-{size['width']}"
        await shot(page, f"all-{name}")
        assert await page.evaluate(FAINT) == []
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        for where in ("/incidents", "/incidents/INC-42", "/timeline", "/agents", "/?room=" + QUIET_ROOM, "/login"):
            await page.goto(console.url + where)
            await shot(page, f"page{re.sub('[^a-z0-9]', '-', where.lower())}-{name}")
            assert await page.evaluate(FAINT) == [], where
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), where


async def test_on_a_phone_the_first_screen_of_a_verdict_says_what_why_and_what_to_do(browser: Browser) -> None:
    async with opened(browser, size=PHONE) as (page, _):
        card = page.locator('[data-key="run-1"]')
        await shot(page, "verdict-phone")
        for words in ("最可能：上海 VPC 的 DNS 被云厂商限频（93%）", "为什么", "现在做"):
            await expect(card.get_by_text(words, exact=True)).to_be_in_viewport()


async def test_work_in_progress_that_grows_into_a_verdict_stays_at_its_first_line(browser: Browser) -> None:
    night = Night()
    for minute in range(30):
        await night.post(typed(f"t-{minute}", "lin", f"第 {minute} 条"), at=ONSET + timedelta(minutes=minute))
    async with opened(browser, night=night, size=PHONE) as (page, _):
        await night.post(progress())
        await expect(page.locator('[data-key="run-2"] h3')).to_be_in_viewport()
        await night.post(Message(key="run-2", room=ROOM, blocks=verdict().blocks))
        await expect(page.locator('[data-key="run-2"] h3')).to_have_text(re.compile("^最可能"))
        await expect(page.locator('[data-key="run-2"] h3')).to_be_in_viewport()


async def test_a_wide_matrix_scrolls_inside_its_card_and_keeps_its_row_names(browser: Browser) -> None:
    night = Night()
    seen = matrix()
    wide = replace(
        seen, columns=seen.columns * 3, groups=seen.groups * 3, rows=tuple((name, row * 3) for name, row in seen.rows)
    )
    await night.post(Message(key="wide", room=ROOM, blocks=(wide,)))
    async with opened(browser, night=night, size=PHONE) as (page, _):
        scroll = page.locator(".scroll")
        assert await scroll.evaluate("e => e.scrollWidth > e.clientWidth")
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        name = page.locator("th[scope=row]").first
        before = await name.bounding_box()
        await scroll.evaluate("e => { e.scrollLeft = 999 }")
        after = await name.bounding_box()
        assert before
        assert after
        assert before["x"] == after["x"]


async def test_typing_a_command_shows_it_at_once_and_the_answer_fills_in_place(browser: Browser) -> None:
    night = Night(answer=lambda text: progress(1) if text.startswith("/diag") else None)
    async with opened(browser, night=night) as (page, console):
        await page.keyboard.type("/diag sms")
        await page.keyboard.press("Enter")
        await expect(page.locator(".msg.command")).to_have_text(re.compile("xiaolin .*/diag sms", re.DOTALL))
        card = page.locator('[data-key="run-2"]')
        await expect(card).to_contain_text("1/18")
        for done in (6, 12, 17):
            await console.night.post(progress(done))
        await expect(card).to_contain_text("17/18")
        await expect(page.locator(".msg")).to_have_count(2)
        assert await page.locator(".msg[data-waiting]").count() == 0


async def test_what_was_typed_is_there_before_the_server_answers(browser: Browser) -> None:
    async with opened(browser, night=Night()) as (page, _):
        held = asyncio.Event()

        async def hold(route: Any) -> None:
            await held.wait()
            await route.continue_()

        await page.route("**/say", hold)
        await page.keyboard.type("/help")
        await page.keyboard.press("Enter")
        await expect(page.locator(".msg[data-waiting]")).to_contain_text("/help")
        assert await page.locator("#say").input_value() == ""
        held.set()
        await expect(page.locator(".msg[data-waiting]")).to_have_count(0)
        await expect(page.locator(".msg")).to_have_count(1)


async def test_a_line_that_was_not_taken_says_why_and_can_be_sent_again_as_the_same_line(browser: Browser) -> None:
    async with opened(browser, night=Night()) as (page, console):
        console.night.refuse = UserError("busy", Text("正在维护，请稍后", "maintenance"))
        await page.keyboard.type("/diag sms")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("没有发出去：正在维护，请稍后")
        console.night.refuse = None
        await page.get_by_role("button", name="再发一次").click()
        await expect(page.locator(".trouble")).to_have_count(0)
        await expect(page.locator(".msg")).to_have_count(1)
        assert [text for _, _, text, _ in console.night.typed] == ["/diag sms"]


async def test_an_old_revision_that_comes_late_is_ignored(browser: Browser) -> None:
    async with opened(browser, night=Night()) as (page, console):
        room = console.night.said.setdefault(ROOM, {})
        for rev, done in ((7, 14), (5, 2)):
            room["run-2"] = (progress(done), rev, ONSET)
            await console.night.platform.put(progress(done), console.night.rooms_[ROOM], None)
            await asyncio.sleep(0.3)
        await console.night.post(recovery())
        await expect(page.locator('[data-key="watch-1"]')).to_be_visible()
        await expect(page.locator('[data-key="run-2"]')).to_contain_text("14/18")


async def test_reading_further_up_is_not_disturbed_by_edits_or_new_messages(browser: Browser) -> None:
    night = Night()
    await night.post(progress(1), at=ONSET)
    for minute in range(1, 60):
        await night.post(typed(f"t-{minute}", "lin", f"第 {minute} 条"), at=ONSET + timedelta(minutes=minute))
    async with opened(browser, night=night) as (page, _):
        read = page.locator('[data-key="t-12"]')
        await read.evaluate("e => e.scrollIntoView({block: 'start'})")
        await page.wait_for_timeout(100)
        before = await read.bounding_box()
        await night.post(Message(key="run-2", room=ROOM, blocks=verdict().blocks))
        await night.post(recovery())
        await expect(page.locator('[data-key="watch-1"]')).to_be_attached()
        after = await read.bounding_box()
        assert before
        assert after
        assert abs(before["y"] - after["y"]) < 2
        await page.get_by_role("button", name="有新消息").click()
        await expect(page.locator('[data-key="watch-1"]')).to_be_in_viewport()
        await night.post(typed("last", "lin", "最后一条"))
        await expect(page.locator('[data-key="last"]')).to_be_in_viewport()
        await expect(page.locator("[data-newer]")).to_be_hidden()


async def test_an_edit_keeps_open_what_was_opened_and_the_focus_where_it_was(browser: Browser) -> None:
    async with opened(browser) as (page, console):
        await page.get_by_text("CoreDNS 过载（2 副本").click()
        await expect(page.get_by_text("集群外的 vm 也失败")).to_be_visible()
        await page.get_by_role("button", name="盯到恢复").focus()
        await console.night.post(verdict())
        await expect(page.locator('[data-key="run-1"]')).to_have_attribute("data-rev", "2")
        await expect(page.get_by_text("集群外的 vm 也失败")).to_be_visible()
        await expect(page.get_by_role("button", name="盯到恢复")).to_be_focused()


async def test_a_button_does_what_its_command_does_once_for_an_impatient_finger(browser: Browser) -> None:
    async with opened(browser) as (page, console):
        await page.get_by_role("button", name="呼叫运维").dblclick()
        await expect(page.locator(".msg.command").last).to_contain_text("/page operations")
        await page.wait_for_timeout(200)
        assert [text for _, _, text, _ in console.night.typed] == ["/page operations"]


async def test_an_empty_room_teaches_by_example(browser: Browser) -> None:
    async with opened(browser, where=f"/?room={QUIET_ROOM}") as (page, console):
        await expect(page.locator(".chip")).to_have_text(["/diag sms", "/agents", "/help"])
        await page.locator(".chip").first.click()
        await expect(page.locator("[data-empty]")).to_be_hidden()
        await expect(page.locator(".msg.command")).to_contain_text("/diag sms")
        assert [(room, text) for room, _, text, _ in console.night.typed] == [(QUIET_ROOM, "/diag sms")]


async def test_commands_and_playbooks_complete_and_earlier_lines_come_back(browser: Browser) -> None:
    async with opened(browser) as (page, console):
        box = page.locator("#say")
        await box.focus()
        await page.keyboard.type("/dia")
        await expect(page.get_by_role("option")).to_have_text(
            [re.compile("/diag sms"), re.compile("/diag cos"), re.compile("/diag")]
        )
        await shot(page, "hints")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("Enter")
        await expect(box).to_have_value("/diag cos ")
        await page.keyboard.press("Enter")
        await box.fill("/in")
        await page.keyboard.press("Tab")
        await expect(box).to_have_value("/incident declare ")
        await page.keyboard.press("Escape")
        await box.fill("")
        await page.keyboard.type("/agents")
        await page.keyboard.press("Enter")
        await page.keyboard.press("ArrowUp")
        await expect(box).to_have_value("/agents")
        await page.keyboard.press("ArrowUp")
        await expect(box).to_have_value("/diag cos")
        await page.keyboard.press("ArrowDown")
        await page.keyboard.press("ArrowDown")
        await expect(box).to_have_value("")
        await expect(page.locator(".msg.command")).to_have_count(3)
        assert [text for _, _, text, _ in console.night.typed] == ["/diag cos", "/agents"]


async def test_enter_that_chooses_characters_of_an_input_method_sends_nothing(browser: Browser) -> None:
    async with opened(browser) as (page, console):
        await page.locator("#say").fill("/note 已")
        await page.locator("#say").dispatch_event("keydown", {"key": "Enter", "isComposing": True, "keyCode": 229})
        await page.wait_for_timeout(200)
        assert console.night.typed == []


async def test_the_matrix_is_walked_with_the_arrows_and_tells_what_a_cell_means(browser: Browser) -> None:
    async with opened(browser) as (page, _):
        await page.locator('[data-key="run-1"] button.cell[tabindex="0"]').focus()
        hint = page.get_by_role("tooltip")
        await expect(hint).to_have_text("4/40 成功，其余超时")
        for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowDown"):
            await page.keyboard.press(key)
        await expect(hint).to_have_text("广州 vm：40 秒没有回应")
        await shot(page, "hint")
        box = await hint.bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= DESK["width"]
        await page.keyboard.press("Escape")
        await expect(hint).to_be_hidden()
        assert await page.locator('[data-key="run-1"] button.cell[tabindex="0"]').count() == 1


async def test_a_cell_tells_its_meaning_on_a_tap(browser: Browser) -> None:
    async with opened(browser, size=PHONE, has_touch=True) as (page, _):
        await page.locator('[data-key="run-1"] .cell[data-state="missing"]').first.tap()
        await expect(page.get_by_role("tooltip")).to_have_text("广州 vm：40 秒没有回应")


async def test_everything_is_reached_with_tab_and_shows_that_it_is(browser: Browser) -> None:
    async with opened(browser, lab=True) as (page, _):
        await page.locator("body").evaluate("e => { document.activeElement.blur() }")
        reached: list[str] = []
        for _ in range(60):
            await page.keyboard.press("Tab")
            reached.append(await page.evaluate(FOCUSED))
        assert [what for what in reached if "invisible" in what] == []
        for what in ("A 跳到正文", "BUTTON 拉战情室", "TEXTAREA", "SELECT", "BUTTON 解除故障", "BUTTON 退出"):
            assert any(r.startswith(what) for r in reached), what


async def test_hostile_messages_are_words_and_nothing_more(browser: Browser) -> None:
    async with opened(browser, night=Night()) as (page, console):
        evil = "<script>window.hit=1</script><img src=x onerror=window.hit=1>"
        await console.night.post(typed('"]<b>', evil, evil))
        await page.keyboard.type(evil)
        await page.keyboard.press("Enter")
        await expect(page.locator(".msg")).to_have_count(2)
        await page.reload()
        await expect(page.locator(".msg .para").first).to_have_text(evil)
        assert await page.evaluate("window.hit") is None
        assert await page.locator(".msg img, .msg script").count() == 0


async def test_the_browser_comes_back_by_itself_and_has_what_was_said_meanwhile(browser: Browser) -> None:
    async with opened(browser) as (page, console):
        link = page.locator("[data-link]")
        await page.context.set_offline(True)
        for subscription in list(console.night.platform._subscriptions):
            subscription.end()
        await expect(link).to_have_attribute("data-link", "reconnecting", timeout=8000)
        await shot(page, "reconnecting")
        await console.night.post(recovery())
        await page.context.set_offline(False)
        await expect(page.locator('[data-key="watch-1"]')).to_be_visible(timeout=15000)
        await expect(link).to_have_attribute("data-link", "live")


async def test_signed_out_elsewhere_the_page_leads_to_the_login(browser: Browser) -> None:
    async with opened(browser) as (page, console):
        for cookie in await page.context.cookies():
            console.sessions.revoke(cookie.get("value"))
        await expect(page).to_have_url(re.compile(r"/login\?next="), timeout=15000)


async def test_the_room_s_language_changes_for_everybody_who_has_it_open(browser: Browser) -> None:
    async with opened(browser) as (page, console):
        other = await page.context.new_page()
        await other.goto(f"{console.url}/?room={ROOM}")
        await expect(other.locator("[data-link]")).to_have_attribute("data-link", "live")
        await page.locator('[data-language="en"]').click()
        for one in (page, other):
            await expect(one.locator("h3").first).to_have_text(re.compile("^Most likely"))
            await expect(one.locator("#say")).to_have_attribute("placeholder", re.compile("^Type a command"))
        await shot(page, "english")


async def test_a_person_signs_in_with_a_token_and_out_again(browser: Browser) -> None:
    async with served() as console:
        page = await browser.new_page()
        await page.goto(console.url)
        await page.get_by_label("Your name").fill("小林")
        await page.get_by_label("API token").fill("wrong")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_role("alert")).to_be_visible()
        await page.get_by_label("API token").fill("a token of the tests")
        await page.keyboard.press("Enter")
        await expect(page.locator(".who")).to_have_text("小林")
        await page.locator(".out button").click()
        await expect(page).to_have_url(re.compile("/login$"))


async def test_on_a_phone_rooms_are_in_a_drawer_that_opens_and_closes(browser: Browser) -> None:
    async with opened(browser, size=PHONE) as (page, _):
        rail = page.locator("#rail")
        await expect(rail).to_be_hidden()
        await page.locator("[data-menu]").click()
        await expect(rail).to_be_visible()
        await page.wait_for_timeout(250)
        await shot(page, "drawer")
        await page.keyboard.press("Escape")
        await expect(rail).to_be_hidden()
        await expect(page.locator("[data-menu]")).to_be_focused()


async def test_the_incident_page_grows_as_things_happen(browser: Browser) -> None:
    night = Night()
    last = night.timeline_.pop()
    async with opened(browser, night=night, where="/incidents/INC-42") as (page, _):
        await expect(page.locator(".entry")).to_have_count(8)
        night.timeline_.append(last)
        await night.post(recovery())
        await expect(page.locator(".entry")).to_have_count(9)


async def test_the_lab_s_phone_rings_and_is_answered_with_a_key(browser: Browser) -> None:
    async with opened(browser, lab=True, size=PHONE) as (page, console):
        console.lab.ring()
        await expect(page.locator("[data-call-state]")).to_have_text("来电")
        await expect(page.locator("[data-call-person]")).to_have_text("lin")
        assert (await page.title()).startswith("☎")
        await page.wait_for_timeout(700)
        await shot(page, "ringing-phone")
        await expect(page.get_by_role("button", name="1 确认")).to_be_in_viewport()
        await page.get_by_role("button", name="1 确认").click()
        await expect(page.locator("[data-call-state]")).to_have_text("没有来电")
        assert console.lab.pressed == [("INC-42:1:lin:1", "1")]
        await expect(page.locator("[data-calls] li")).to_contain_text("已接听")


async def test_lifting_the_limit_in_the_lab_turns_it_healthy(browser: Browser) -> None:
    async with opened(browser, lab=True) as (page, console):
        await expect(page.locator("[data-lab-offered]")).to_have_text("2,226")
        await page.get_by_role("button", name="解除故障").click()
        await expect(page.locator("[data-lab-now]")).to_have_text("一切正常")
        assert not console.lab.active
        await page.locator("[data-lab-fault]").select_option("permission_revoked")
        await expect(page.locator("[data-lab-now]")).to_have_text("故障进行中")


async def test_those_who_asked_for_no_motion_get_none(browser: Browser) -> None:
    async with opened(browser, lab=True, reduced_motion="reduce") as (page, console):
        await console.night.post(progress())
        console.lab.ring()
        await expect(page.locator('[data-phone][data-state="ringing"]')).to_be_visible()
        assert await page.evaluate("document.getAnimations().length") == 0


FOCUSED = """() => {
  const e = document.activeElement, s = getComputedStyle(e);
  const seen = s.outlineStyle !== 'none' && parseFloat(s.outlineWidth) >= 2;
  const words = (e.getAttribute('aria-label') || e.textContent).trim().replace(/\\s+/g, ' ');
  return `${e.tagName} ${words}`.slice(0, 60) + (seen || e === document.body ? '' : ' invisible');
}"""

FAINT = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = (c) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1);
    const d = canvas.getImageData(0, 0, 1, 1).data; return [d[0], d[1], d[2], d[3] / 255]; };
  const over = (top, under) => top.slice(0, 3).map((v, i) => v * top[3] + under[i] * (1 - top[3]));
  const linear = (v) => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const lum = (c) => { const [r, g, b] = c.map((v) => linear(v / 255));
    return .2126 * r + .7152 * g + .0722 * b; };
  const ground = (e) => e ? over(rgba(getComputedStyle(e).backgroundColor), ground(e.parentElement)) : [255, 255, 255];
  const solid = (e) => e ? parseFloat(getComputedStyle(e).opacity) * solid(e.parentElement) : 1;
  const faint = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    const words = walk.currentNode.data.trim().slice(0, 30);
    if (!words || !e.checkVisibility({visibilityProperty: true}) || e.closest('.sr, option, :disabled')) continue;
    const s = getComputedStyle(e), under = ground(e), ink = rgba(s.color);
    ink[3] *= solid(e);
    const [a, b] = [lum(over(ink, under)), lum(under)];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    const large = parseFloat(s.fontSize) >= 24 || (parseFloat(s.fontSize) >= 18.66 && Number(s.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) faint.push(`${ratio.toFixed(2)} ${e.className || e.tagName} ${words}`);
  }
  return faint;
}"""
