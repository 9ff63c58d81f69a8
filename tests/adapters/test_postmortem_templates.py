"""A team's own templates: they take the place of ours, their mistakes are named, and they reach nothing else."""

from __future__ import annotations

import base64
import os
import re
import subprocess
from pathlib import Path

import pytest

from bot.adapters import postmortem
from bot.adapters.postmortem import FileScribe
from bot.app.postmortem.build import build
from bot.app.postmortem.facts import Facts
from bot.domain.errors import ConfigError, UserError
from tests.needs import need_tool
from tests.store.samples import incident

REPORT = build(Facts(incident=incident(id="INC-5", title="SMS is down")))


def scribe(folder: Path, text: str, name: str = "postmortem.md.j2") -> FileScribe:
    (folder / name).write_text(text)
    return FileScribe(folder)


async def test_a_teams_template_takes_the_place_of_ours_and_the_others_stay(tmp_path: Path) -> None:
    ours = scribe(tmp_path, "{{ t('复盘', 'Review') }} {{ report.incident }} {{ report.summary[0].label|say }}")
    assert (await ours.write(REPORT, form="md", lang="en")).content == "Review INC-5 What\n"
    assert (await ours.write(REPORT, form="md", lang="zh")).content == "复盘 INC-5 发生了什么\n"
    assert "SMS is down" in (await ours.write(REPORT, form="html", lang="en")).content


async def test_a_template_may_build_on_the_shipped_one_by_its_name(tmp_path: Path) -> None:
    ours = scribe(tmp_path, "{% include 'shipped/postmortem.md.j2' %}\nConfidential.")
    text = (await ours.write(REPORT, form="md", lang="en")).content
    assert text.startswith("# Postmortem: INC-5 SMS is down")
    assert text.endswith("Confidential.\n")


def test_a_template_that_cannot_be_read_stops_the_start_and_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"postmortem\.md\.j2: line 2"):
        scribe(tmp_path, "fine\n{% if %}")


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"paths\.templates"):
        FileScribe(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "text",
    [
        "{{ report.no_such_thing }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ report.__class__.__init__.__globals__ }}",
        "{{ report.summary.append(1) }}",
        "{{ range(10000000)|list }}",
        "{% include '/etc/passwd' %}",
        "{{ t.__globals__ }}",
        "{{ 1 / 0 }}",
    ],
)
async def test_what_a_template_may_not_do_is_said_in_words(tmp_path: Path, text: str) -> None:
    ours = scribe(tmp_path, text)
    with pytest.raises(UserError, match=r"postmortem\.md\.j2") as caught:
        await ours.write(REPORT, form="md", lang="en")
    assert caught.value.code == "bad_template"


def pairs() -> list[tuple[str, str, str]]:
    """(where, ink, paper) of every pair of colours that text is set in, light, dark and printed."""
    css = (Path(postmortem.__file__).parent / "templates" / "postmortem.css.j2").read_text(encoding="utf-8")
    found = []
    for where, block in zip(("light", "dark", "print"), re.findall(r":root \{(.*?)\}", css, re.DOTALL), strict=True):
        colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
        on_paper = [(ink, paper) for ink in ("ink", "dim", "accent") for paper in ("paper", "soft", "none")]
        for ink, paper in [*on_paper, *((f"{name}-ink", name) for name in ("bad", "warn", "good", "odd"))]:
            found.append((f"{where}: {ink} on {paper}", colours[ink], colours[paper]))
    return found


def brightness(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("where", "ink", "paper"), pairs(), ids=[where for where, _, _ in pairs()])
def test_every_text_of_the_page_can_be_read(where: str, ink: str, paper: str) -> None:
    high, low = sorted((brightness(ink), brightness(paper)), reverse=True)
    assert (high + 0.05) / (low + 0.05) >= 4.5


async def test_the_page_needs_nothing_else_and_runs_nothing() -> None:
    html = (await FileScribe().write(REPORT, form="html", lang="zh")).content
    assert "default-src 'none'" in html
    assert not re.search(r"<(script|link|img|iframe)|\bsrc=|url\(|@import", html)
    assert '<html lang="zh-CN">' in html


async def test_a_pdf_reads_in_chinese(tmp_path: Path) -> None:
    need_tool("chromium")
    need_tool("pdftotext")
    file = await FileScribe().write(REPORT, form="pdf", lang="zh")
    assert (file.name, file.media_type) == ("INC-5-postmortem.pdf", "application/pdf")
    (tmp_path / "out.pdf").write_bytes(base64.b64decode(file.content))
    text = subprocess.run(["pdftotext", tmp_path / "out.pdf", "-"], capture_output=True, check=True).stdout.decode()
    assert "我们是怎么知道的" in text
    assert "SMS is down" in text


async def test_without_a_browser_it_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARROOM_CHROMIUM", "/no/such/browser")
    with pytest.raises(UserError, match="apt install chromium"):
        await FileScribe().write(REPORT, form="pdf", lang="en")


async def test_without_a_font_it_prints_no_boxes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, says in (("chromium", ""), ("fc-list", "")):
        (tmp_path / name).write_text(f"#!/bin/sh\necho -n '{says}'\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(UserError, match="fonts-noto-cjk"):
        await FileScribe().write(REPORT, form="pdf", lang="zh")
