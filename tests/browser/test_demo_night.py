"""The whole night in the demo's console, in a real browser: from `/diag sms` to the recovery."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from bot.remote import Remote
from tests.browser.chromium import launch
from tests.demo.running import Demo, running_demo

pytestmark = [pytest.mark.alone, pytest.mark.browser, pytest.mark.demo, pytest.mark.timeout(240)]

PICTURES = Path(os.environ.get("WARROOM_PICTURES", Path(__file__).parents[2] / "artifacts"))


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    with running_demo() as up:
        yield up


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright, launch(playwright) as chromium:
        yield chromium


def types(page: Page, text: str) -> None:
    page.locator("[data-composer] [name=text]").fill(text)
    page.keyboard.press("Enter")


def test_the_night_from_the_first_command_to_the_recovery(demo: Demo, browser: Browser) -> None:
    PICTURES.mkdir(exist_ok=True)
    context = browser.new_context(viewport={"width": 1440, "height": 1080})
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(demo.login)

    types(page, "/diag sms")
    expect(page.get_by_text("正在诊断").first).to_be_visible(timeout=6000)
    expect(page.locator("table").first).to_be_visible(timeout=8000)

    verdict = page.get_by_text(re.compile("^最可能：vpc-prod 的 DNS 被云厂商限频"))
    expect(verdict.first).to_be_visible(timeout=15000)
    card = page.locator("article", has=verdict).last
    expect(card.get_by_text("127.10.7.21").first).to_be_visible()
    expect(card.get_by_role("rowheader", name="DNS·VPC", exact=True)).to_be_visible()
    row = card.get_by_role("row", name=re.compile("^DNS·VPC "))
    assert "%" in row.inner_text()
    page.wait_for_timeout(400)
    # The answer's first line is what the reader sees, not the end of a long card.
    box = verdict.first.bounding_box()
    assert box is not None
    assert 0 <= box["y"] < 1080
    page.screenshot(path=PICTURES / "console.png")

    card.get_by_role("button", name="呼叫值班").click()
    ring = page.get_by_role("button", name=re.compile("确认"))
    expect(ring.first).to_be_visible(timeout=8000)
    page.screenshot(path=PICTURES / "phone-rings.png")
    ring.first.click()
    expect(page.get_by_text(re.compile("lin 接手了 INC-1")).first).to_be_visible(timeout=8000)

    types(page, "/note 23:40 COS 也不可用")
    expect(page.get_by_text("已记录（23:40 UTC+8）").first).to_be_visible(timeout=5000)

    types(page, "/watch")
    expect(page.get_by_text(re.compile("第 1 轮")).first).to_be_visible(timeout=20000)
    page.get_by_role("button", name="解除故障").click()
    expect(page.get_by_text(re.compile("恢复：连续 5 次全绿")).first).to_be_visible(timeout=90000)

    types(page, "/timeline")
    lines = page.locator("article").last
    for said in ("/diag sms", "最可能", "接手了", "COS 也不可用", "恢复"):
        expect(lines.get_by_text(said).first).to_be_visible(timeout=8000)
    page.screenshot(path=PICTURES / "timeline.png")

    page.goto(f"{demo.server}/incidents/INC-1")
    finding = page.locator(".finding")
    expect(finding).to_contain_text("vpc-prod 的 DNS 被云厂商限频")
    expect(finding).to_contain_text("127.10.7.21")
    expect(page.locator("details[open] table[data-matrix]").first).to_be_visible()
    expect(page.locator(".called")).to_contain_text("lin")
    page.screenshot(path=PICTURES / "incident.png", full_page=True)
    page.goto(f"{demo.server}/reports")
    expect(page.locator(".counted")).to_contain_text("平均确认时间 (MTTA)")
    expect(page.get_by_role("row", name=re.compile("^某处的 DNS 被云厂商限频"))).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("^lin 1"))).to_be_visible()
    page.goto(f"{demo.server}/playbooks")
    expect(page.get_by_text("/diag sms")).to_be_visible()
    assert not problems


def test_the_console_reads_well_on_a_phone(demo: Demo, browser: Browser) -> None:
    PICTURES.mkdir(exist_ok=True)
    os.environ["WARROOM_API_TOKEN"] = demo.token
    try:
        found = Remote(demo.server).post("/api/v1/commands", {"text": "/diag cos", "user": "lin"})
    finally:
        del os.environ["WARROOM_API_TOKEN"]
    context = browser.new_context(viewport={"width": 360, "height": 780}, color_scheme="dark", device_scale_factor=2)
    page = context.new_page()
    page.goto(f"{demo.server}/login")
    page.get_by_label(re.compile("Your name")).fill("lin")
    page.get_by_label(re.compile("API token")).fill(demo.token)
    page.keyboard.press("Enter")
    expect(page.get_by_text(found["run"]["headline"]).first).to_be_visible(timeout=8000)
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    page.screenshot(path=PICTURES / "console-phone.png")
