"""What the documents show is true: commands parse, links lead somewhere, examples load, both READMEs agree."""

from __future__ import annotations

import argparse
import re
import shlex
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import pytest

from bot.adapters import oncall
from bot.adapters.config import load
from bot.adapters.playbooks import check_file, read_hypothesis, read_playbook
from bot.agent import policy_file
from bot.app.dispatch import VERBS
from bot.app.probe_request import parameters
from bot.cli import _parser, parse
from bot.domain.access import Level
from bot.domain.pager_kinds import KINDS as PHONE_KINDS
from bot.lab.loopback.faults import FAULTS
from bot.probes.table import KINDS

ROOT = Path(__file__).parent.parent
READMES = [ROOT / "README.md", ROOT / "README.zh-CN.md"]
PAGES = [*READMES, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
EXAMPLES = ROOT / "docs" / "examples"
NOT_COMMANDS = {"healthz", "readyz", "metrics"}
"""HTTP paths that look like chat commands."""


class Block(NamedTuple):
    page: Path
    lang: str
    text: str


class Shown(NamedTuple):
    page: str
    line: str


def blocks(page: Path) -> list[Block]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [Block(page, lang, text) for lang, text in found]


def spans(page: Path) -> list[str]:
    prose = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose)]


def typed() -> Iterator[Shown]:
    """Every `warroom ...` line of every shell block."""
    for page in PAGES:
        for block in blocks(page):
            for line in block.text.splitlines() if block.lang == "sh" else ():
                if re.match(r"(\S*/)?warroom ", line):
                    yield Shown(page.name, line)


def mentioned() -> Iterator[Shown]:
    """Every `warroom ...` in a sentence; placeholders may stand for required arguments, or be left out."""
    for page in PAGES:
        yield from (Shown(page.name, span) for span in spans(page) if span.startswith("warroom "))


def yaml_blocks(key: str) -> list[Block]:
    every = [block for page in PAGES for block in blocks(page) if block.lang == "yaml"]
    return [block for block in every if block.text.startswith(f"{key}:")]


def parser_of(words: list[str]) -> tuple[argparse.ArgumentParser, list[str]]:
    """The parser of the sub-command that the words name, and the words that are left."""
    parser = _parser()
    while words and (inner := [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]):
        if words[0].startswith("-"):
            break
        assert words[0] in inner[0].choices, f"no command {words[0]!r}"
        parser, words = inner[0].choices[words[0]], words[1:]
    return parser, words


@pytest.mark.parametrize("shown", sorted(set(typed())), ids=lambda s: f"{s.page}: {s.line[:60]}")
def test_a_command_in_a_shell_block_is_one_that_warroom_understands(shown: Shown) -> None:
    _, *words = shlex.split(shown.line.partition(" > ")[0], comments=True)
    assert hasattr(parse(words), "run")


@pytest.mark.parametrize("shown", sorted(set(mentioned())), ids=lambda s: f"{s.page}: {s.line[:60]}")
def test_a_command_in_a_sentence_names_a_command_and_options_that_exist(shown: Shown) -> None:
    if "|" in shown.line:
        return  # alternatives, as `warroom playbook check|schema`
    parser, rest = parser_of(shown.line.split()[1:])
    known = {name for action in parser._actions for name in action.option_strings}
    assert {word for word in rest if word.startswith("--")} <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_a_chat_command_in_a_sentence_is_one_the_bot_carries_out(page: Path) -> None:
    verbs = {m[1] for span in spans(page) if (m := re.match(r"/([a-z]+)(?: |$)", span))}
    assert verbs - NOT_COMMANDS <= set(VERBS)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_into_the_repository_leads_to_a_file(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", text) + re.findall(r'<img src="([^"]+)"', text)
    broken = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert not broken


def test_every_page_of_docs_is_reached_from_the_english_readme() -> None:
    seen: set[Path] = set()
    todo = [READMES[0]]
    while todo:
        page = todo.pop()
        if page not in seen and page.suffix == ".md":
            seen.add(page)
            links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
            todo += [(page.parent / link).resolve() for link in links if "://" not in link]
    assert seen >= {page.resolve() for page in PAGES}


def test_both_readmes_show_the_same_code() -> None:
    english, chinese = ([(b.lang, b.text) for b in blocks(page)] for page in READMES)
    assert [b for b in english if b[0]] == [b for b in chinese if b[0]]
    # What is printed is shown in the language of the page.
    assert len(english) == len(chinese)


def test_every_kind_of_probe_is_listed_where_an_agent_may_be_held_to_some() -> None:
    policy = (EXAMPLES / "policy.yaml").read_text()
    listed = policy.partition("a list of: ")[2].partition("\nallow")[0]
    assert set(re.findall("[a-z_]+", listed)) == set(KINDS)


def test_the_page_of_probe_says_how_often_each_kind_tries() -> None:
    page = (ROOT / "docs" / "probe-command.md").read_text(encoding="utf-8")
    row = next(line for line in page.splitlines() if line.startswith("| `count=20`"))
    tries = {kind: parameters(kind)["tries"].default for kind in KINDS if "tries" in parameters(kind)}
    assert set(re.findall("`([a-z_]+)`", row)) == set(tries)
    for count, kinds in re.findall(r"(\d+|once) for ([^,;]*(?:, `[^;]*)?)", row):
        for kind in re.findall("`([a-z_]+)`", re.split(r", \d", kinds)[0]):
            assert tries[kind] == (1 if count == "once" else int(count)), kind


@pytest.mark.parametrize("readme", READMES, ids=lambda p: p.name)
def test_the_readme_lists_every_other_night_of_the_demo(readme: Path) -> None:
    assert {span for span in spans(readme) if span in FAULTS} == set(FAULTS) - {"vpc_dns_rate_limited"}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_make_targets_that_are_mentioned_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = [*spans(page), *(line for block in blocks(page) if block.lang == "sh" for line in block.text.splitlines())]
    assert {m[1] for line in text if (m := re.match(r"make ([a-z]+)", line))} <= targets


def test_playbooks_and_hypotheses_on_the_pages_are_valid() -> None:
    playbooks, hypotheses = yaml_blocks("playbook"), yaml_blocks("hypothesis")
    assert playbooks
    assert hypotheses
    for block in playbooks:
        read_playbook(block.text, name=block.page.name)
    for block in hypotheses:
        read_hypothesis(block.text, name=block.page.name)


def test_the_playbook_among_the_examples_is_valid() -> None:
    assert check_file(EXAMPLES / "hello.yaml") == "playbook hello"


@pytest.mark.parametrize("name", ["policy.yaml", "policy-with-log.yaml", "laptop-policy.yaml"])
def test_a_policy_among_the_examples_is_read_without_complaint(name: str) -> None:
    policy_file.read(EXAMPLES / name)


def test_policies_on_the_on_call_page_fit_the_example_beside_it() -> None:
    example = (EXAMPLES / "oncall.yaml").read_text(encoding="utf-8")
    (block,) = yaml_blocks("policies")
    before, _, after = example.partition("  default:\n    steps:")
    rest = after[after.index("\n  managers:") :]
    whole = before.removesuffix("policies:\n") + block.text + rest.removeprefix("\n")
    found = oncall.read({"oncall.md": whole}, base=oncall.Base(), now=datetime(2026, 1, 15, tzinfo=UTC))
    assert found.directory.policies["default"].then == "managers"


def test_the_agents_page_shows_the_examples_as_they_are() -> None:
    shown = {block.text for block in blocks(ROOT / "docs" / "agent.md")}
    assert {(EXAMPLES / name).read_text() for name in ("policy.yaml", "policy-with-log.yaml")} <= shown


def test_the_service_unit_starts_an_agent_with_options_that_exist() -> None:
    unit = (ROOT / "docs" / "deploy" / "warroom-agent.service").read_text()
    start = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    _, *words = shlex.split(start.removeprefix("ExecStart="))
    assert hasattr(parse(words), "run")


def test_the_configuration_on_its_page_is_read_whole(tmp_path: Path) -> None:
    (toml,) = [b.text for b in blocks(ROOT / "docs" / "configuration.md") if b.lang == "toml"]
    file = tmp_path / "warroom.toml"
    file.write_text(toml, encoding="utf-8")
    pager = tomllib.loads(toml)["pagers"][0]["name"]
    sender = tomllib.loads(toml)["changes"][0]["name"]
    secrets = {
        f"WARROOM_PAGER_{pager.upper()}_SECRET": "whsec_c2VjcmV0",
        f"WARROOM_CHANGES_{sender.upper()}_TOKEN": "x",
        "WARROOM_WECOM_WEBHOOK_MANAGEMENT": "https://qyapi.weixin.qq.com/cgi-bin/webhook/send?key=k-1",
    }
    config = load(file, secrets)
    assert [p.name for p in config.pagers] == [pager]
    assert config.people
    assert config.vendors
    assert config.wecom is not None
    assert config.wecom.webhooks == (("management", "k-1"),)
    assert config.groups == {"slack:S0123ABCD": Level.ADMIN}


def test_every_kind_of_phone_has_an_example_that_can_be_configured_with_the_secrets_named_beside_it(
    tmp_path: Path,
) -> None:
    page = ROOT / "docs" / "phones.md"
    examples = [b.text for b in blocks(page) if b.lang == "toml"]
    assert [tomllib.loads(text)["pagers"][0]["kind"] for text in examples] == list(PHONE_KINDS)
    variables = {word for span in spans(page) for word in re.findall(r"WARROOM_PAGER_[A-Z_]+[A-Z]", span)}
    file = tmp_path / "warroom.toml"
    for text in examples:
        for commented in (text, re.sub(r"^# (?=\w+ = )", "", text, flags=re.MULTILINE)):
            file.write_text(commented, encoding="utf-8")
            name = tomllib.loads(text)["pagers"][0]["name"].upper()
            ours = {v: "whsec_c2VjcmV0" for v in variables if v.startswith(f"WARROOM_PAGER_{name}_")}
            (pager,) = load(file, ours).pagers
            kind = PHONE_KINDS[pager.kind]
            assert len(ours) == len(kind.secrets) + len(kind.more_secrets)


def test_constraints_pin_every_dependency_and_hold_no_address() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)] == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(w for extra in project["optional-dependencies"].values() for w in extra)]
    known = {_name(line) for line in lines} | {_name(project["name"])}  # an extra names others of our own
    assert {_name(want) for want in wanted} <= known


def _name(requirement: str) -> str:
    """A requirement's project name, normalised (PEP 503)."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=;]", requirement)[0]).lower()
