"""Scenario files are strict, and those of the repository are varied."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from ruamel.yaml import YAML

from bot.domain.errors import ConfigError
from bot.lab.netns import load
from bot.lab.netns.judge import half
from bot.lab.netns.models import ScenarioModel

FILES = sorted((Path(__file__).parent / "scenarios").glob("*.yaml"))
FAULTS = [
    m["properties"]["kind"]
    for m in load.schema()["$defs"].values()
    if "start" in m["properties"] and "kind" in m["properties"]
]
KINDS = {kind for fault in FAULTS for kind in fault.get("enum", [fault.get("const")])}


def scenarios() -> list[ScenarioModel]:
    return [load.read(path) for path in FILES]


def small(**changes: Any) -> str:
    """The text of a scenario of one region, with some keys changed."""
    night = {
        "scenario": "small",
        "about": "one vm",
        "regions": {"here": {"vpcs": {"main": {"vantages": [{"kind": "vm"}]}}}},
        "services": {"api": {"host": "api.example.com"}},
        "expect": {"verdict": ["healthy"]},
        **changes,
    }
    return repr(night).replace("None", "null").replace("True", "true").replace("False", "false")


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_scenario_is_read_and_is_called_like_its_file(path: Path) -> None:
    assert load.read(path).scenario == path.stem


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_schema_takes_every_scenario(path: Path) -> None:
    jsonschema.validate(YAML(typ="safe").load(path.read_text()), load.schema(), jsonschema.Draft202012Validator)


def test_the_schema_refuses_what_the_reader_refuses() -> None:
    document = YAML(typ="safe").load(small(weather="rain"))
    with pytest.raises(jsonschema.ValidationError, match="weather"):
        jsonschema.validate(document, load.schema(), jsonschema.Draft202012Validator)


def test_the_scenarios_are_varied() -> None:
    nights = scenarios()
    healthy = [n for n in nights if n.expect.verdict == ["healthy"]]
    double = [n for n in nights if len(n.expect.verdict) == 2]
    assert len(healthy) >= 5
    assert len(double) >= 4
    assert sum(bool(n.missing) for n in nights) >= 3
    assert {f.kind for n in nights for f in n.faults} == KINDS
    assert len({tuple(n.regions) for n in nights}) == len(nights)
    assert min(sum(half(n.scenario) == which for n in nights) for which in ("tuning", "held_out")) >= 10


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weather": "rain"}, "weather: Extra inputs"),
        ({"faults": [{"kind": "gremlins"}]}, "gremlins"),
        ({"faults": [{"kind": "dns_limit", "vpc": "main"}]}, "rate: Field required"),
        ({"faults": [{"kind": "dns_limit", "vpc": "elsewhere", "rate": 9}]}, "VPC 'elsewhere' is not in the scenario"),
        ({"faults": [{"kind": "coredns_limit", "vpc": "main", "loss": 9}]}, "VPC main has no cluster"),
        ({"faults": [{"kind": "vendor_down", "services": ["sms"]}]}, "service or control 'sms' is not"),
        ({"faults": [{"kind": "egress_loss", "loss": 9}]}, "name a region or a vpc"),
        ({"faults": [{"kind": "vendor_down_region", "service": "api", "region": "here"}]}, "no address of its own"),
        ({"missing": [{"vantage": "nobody"}]}, "vantage point 'nobody'"),
        ({"traffic": [{"vpc": "main", "to": "cluster", "rate": 5}]}, "has no cluster"),
        ({"regions": {"here": {"vpcs": {"main": {"vantages": [{"kind": "pod"}]}}}}}, "a pod needs a cluster"),
        ({"outside": [{"name": "here-vm", "region": "x"}]}, "two vantage points are called here-vm"),
        (
            {
                "services": {"api": {"host": "a.example", "address": "198.51.100.53"}},
                "controls": [{"host": "b.example", "address": "198.51.100.53"}],
            },
            "are both at 198.51.100.53",
        ),
        ({"playbook": "no-such"}, "playbook:"),
        ({"playbook": {"playbook": "x"}}, "playbook:"),
    ],
)
def test_a_mistake_is_named(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load.parse(small(**changes))
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        load.read(tmp_path / "none.yaml")


def test_the_scenario_on_the_page_is_read_and_every_kind_of_fault_is_listed() -> None:
    page = (Path(__file__).parents[2] / "docs" / "lab.md").read_text()
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert [load.parse(block).scenario for block in blocks] == ["limit-in-lagos"]
    rows = re.findall(r"^\| (`[^|]*) \|", page.partition("## Faults")[2].partition("## The score")[0], re.MULTILINE)
    assert {kind for row in rows for kind in re.findall(r"`(\w+)`", row)} == KINDS
