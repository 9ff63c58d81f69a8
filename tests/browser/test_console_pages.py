"""Every page of the console, on a desk and on a phone: axe-core finds nothing serious, and each says what it is for."""

from __future__ import annotations

import csv
import io
import re

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, expect

from tests.browser.console_night import QUIET_ROOM, ROOM, odds_and_ends, progress, recovery
from tests.browser.test_console_look import DESK, FAINT, PHONE, browser, opened, shot

__all__ = ["browser"]
pytestmark = pytest.mark.browser
PAGES = (
    f"/?room={ROOM}",
    f"/?room={QUIET_ROOM}",
    "/incidents",
    "/incidents?q=nothing+like+it",
    "/incidents/INC-42",
    "/incidents/INC-404",
    "/timeline",
    "/oncall",
    "/agents",
    "/playbooks",
    "/reports",
    "/reports?days=7",
    "/login",
)
SERIOUS = ("serious", "critical")


async def found(page: Page) -> list[str]:
    """What axe-core has to say that is serious, one line each."""
    results = await Axe().run(page)
    return [
        f"{one['id']}: {one['help']} ({node['html'][:120]})"
        for one in results.response["violations"]
        if one["impact"] in SERIOUS
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
async def test_axe_finds_nothing_serious_on_any_page(
    browser: Browser, scheme: str, size: dict[str, int], lang: str
) -> None:
    async with opened(browser, lab=True, size=size, color_scheme=scheme, reduced_motion="reduce") as (page, console):
        for message in (progress(), odds_and_ends(), recovery()):
            await console.night.post(message)
        for where in PAGES:
            await page.goto(console.url + where + ("&" if "?" in where else "?") + f"lang={lang}")
            await page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
            name = re.sub("[^a-z0-9]+", "-", where.lower())
            await shot(page, f"axe{name}-{lang}-{scheme}-{size['width']}")
            assert await found(page) == [], where
            assert await page.evaluate(FAINT) == [], where
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), where


async def test_axe_would_find_a_button_without_a_name(browser: Browser) -> None:
    async with opened(browser) as (page, _):
        await page.evaluate("document.querySelector('main').append(document.createElement('button'))")
        assert [line.partition(":")[0] for line in await found(page)] == ["button-name"]


async def test_an_incident_shows_cause_matrix_what_was_rejected_and_who_is_called_next(browser: Browser) -> None:
    async with opened(browser, where="/incidents/INC-42?lang=en", size=PHONE) as (page, _):
        finding = page.locator(".finding")
        await expect(finding).to_contain_text("The cloud rate-limits DNS of the Shanghai VPC")
        await expect(finding).to_contain_text("93%")
        await expect(page.locator("details[data-keep='shot-verdict'] table")).to_be_visible()
        await page.get_by_text("Considered and rejected (1)").click()
        await expect(page.get_by_text("the VM outside the cluster fails too")).to_be_visible()
        worst = page.get_by_role("row", name="shanghai-pod")
        await expect(worst).to_contain_text("lowest 10%, last 10%")
        await expect(worst).to_contain_text("worst 900 ms, last 900 ms")
        await expect(page.get_by_role("row", name="guangzhou-vm")).to_contain_text("lowest 100%, last 100%")
        await expect(page.locator(".called")).to_contain_text("lin")
        await expect(page.locator(".called .alert")).to_contain_text("the next step, if nobody has it by then")


async def test_incidents_are_found_by_words_severity_and_state(browser: Browser) -> None:
    async with opened(browser, where="/incidents?lang=en") as (page, _):
        rows = page.locator(".incident-list li")
        await expect(rows).to_have_count(1)
        await page.get_by_label("State").select_option("over")
        await page.get_by_role("button", name="Search").click()
        await expect(page.get_by_text("No incident fits")).to_be_visible()
        await expect(page).to_have_url(re.compile("state=over"))
        await page.get_by_label("State").select_option("open")
        await page.get_by_role("searchbox").fill("短信")
        await page.get_by_role("searchbox").press("Enter")
        await expect(rows).to_have_count(1)


async def test_who_is_on_call_and_where_nobody_is(browser: Browser) -> None:
    async with opened(browser, where="/oncall?lang=en") as (page, _):
        backend, network = page.locator(".card").all_text_contents(), page.locator(".card").nth(1)
        assert "lin" in (await backend)[0]
        await expect(network.locator(".alert")).to_have_text("nobody is on call")


async def test_a_report_says_how_fast_and_whose_phone_rang_and_comes_as_csv(browser: Browser) -> None:
    async with opened(browser, where="/reports?lang=en") as (page, console):
        await expect(page.locator(".counted")).to_contain_text("Time to acknowledge (MTTA)")
        await expect(page.locator(".counted")).to_contain_text("35 s")
        await expect(page.get_by_role("row", name="The cloud rate-limits DNS of the Shanghai VPC")).to_be_visible()
        await expect(page.get_by_role("row", name="lin")).to_be_visible()
        answer = await page.request.get(f"{console.url}/reports.csv?days=30")
        (row,) = csv.DictReader(io.StringIO((await answer.text()).removeprefix("\ufeff")))
        assert (row["incident"], row["acknowledged_s"], row["people_called"]) == ("INC-42", "35.0", "lin")
        assert row["cause"] == "vpc_dns_rate_limited"


async def test_the_menu_leads_to_every_page_with_the_keyboard_alone(browser: Browser) -> None:
    async with opened(browser, where="/incidents") as (page, _):
        for name in ("时间线", "值班", "观测点", "排查手册", "统计", "故障"):
            link = page.get_by_role("navigation", name="Warroom").get_by_role("link", name=name, exact=True)
            await link.focus()
            await page.keyboard.press("Enter")
            await expect(link).to_have_attribute("aria-current", "page")
