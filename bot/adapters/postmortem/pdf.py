"""HTML to PDF by a Chromium of the system, in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import tempfile
from pathlib import Path

from bot.domain.errors import UserError
from bot.domain.text import Text

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
WITHIN_S = 60.0
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--no-first-run",
    "--no-pdf-header-footer",
    # The page is ours and has no script, and it must not reach anything: every name leads nowhere.
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
MISSING = Text(
    "没有 PDF：机器人所在的机器没有 Chromium（apt install chromium fonts-noto-cjk，或用 WARROOM_CHROMIUM 指明）；"
    "html 可以在浏览器里打印成 PDF",
    "no PDF: there is no Chromium on the bot's machine (apt install chromium fonts-noto-cjk, or name one in "
    "WARROOM_CHROMIUM); a browser can print the html",
)

NO_FONT = Text(
    "没有 PDF：机器人所在的机器没有中文字体，写出来全是方框（apt install fonts-noto-cjk）；"
    "html 可以在浏览器里打印成 PDF",
    "no PDF: the bot's machine has no font with Chinese and would print boxes (apt install fonts-noto-cjk); a browser "
    "can print the html",
)
CHINESE = re.compile("[\u4e00-\u9fff]")


def browser() -> str | None:
    """The program; None where there is none."""
    named = os.environ.get("WARROOM_CHROMIUM", "")
    return shutil.which(named) if named else next((found for one in BROWSERS if (found := shutil.which(one))), None)


async def lacking(*, chinese: bool) -> Text | None:
    """What keeps this machine from writing a PDF; None when nothing does."""
    if browser() is None:
        return MISSING
    return NO_FONT if chinese and not await _has_chinese() else None


async def _has_chinese() -> bool:
    """Whether fontconfig knows a font with Chinese; True where there is no fontconfig to ask."""
    if shutil.which("fc-list") is None:
        return True
    asking = await asyncio.create_subprocess_exec(
        "fc-list", ":lang=zh", "family", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    said, _ = await asking.communicate()
    return bool(said.strip())


async def print_pdf(html: str) -> bytes:
    """The page as PDF. Raises UserError that says what is missing."""
    lacks = await lacking(chinese=CHINESE.search(html) is not None)
    program = browser()
    if lacks is not None or program is None:
        raise UserError("no_pdf", lacks or MISSING)
    with tempfile.TemporaryDirectory(prefix="warroom-pdf-") as folder:
        page, out = Path(folder) / "page.html", Path(folder) / "page.pdf"
        await asyncio.to_thread(page.write_text, html, encoding="utf-8")
        said = await _run(program, folder, page, out)
        if not await asyncio.to_thread(out.is_file):
            raise UserError("no_pdf", Text(f"Chromium 没有写出 PDF：{said}", f"Chromium wrote no PDF: {said}"))
        return await asyncio.to_thread(out.read_bytes)


async def _run(program: str, folder: str, page: Path, out: Path) -> str:
    """Run it to its end; returns the last line it said."""
    root = ("--no-sandbox",) if os.geteuid() == 0 else ()  # Chromium refuses to run as root with its sandbox
    words = (*FLAGS, *root, f"--user-data-dir={folder}/profile", f"--print-to-pdf={out}", page.as_uri())
    process = await asyncio.create_subprocess_exec(
        program, *words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            _, said = await process.communicate()
    except TimeoutError as exc:
        raise UserError(
            "no_pdf", Text("Chromium 一分钟没有写完 PDF", "Chromium did not finish the PDF in a minute")
        ) from exc
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return (said.decode(errors="replace").strip().splitlines() or ["-"])[-1][:200]
