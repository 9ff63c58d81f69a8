"""Debian's Chromium, headless; Playwright's own download is not used."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Playwright

from tests.needs import need_tool

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def launch(playwright: Playwright) -> Iterator[Browser]:
    """A browser, closed at the end."""
    need_tool("chromium")
    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
    try:
        yield browser
    finally:
        browser.close()
