"""A team's own templates: they take the place of ours, their mistakes are named, and they reach nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.adapters.postmortem import FileScribe
from bot.app.postmortem.build import build
from bot.app.postmortem.facts import Facts
from bot.domain.errors import ConfigError, UserError
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
