"""Reading scenario files: YAML, strict models, and a look whether every place in it exists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from bot.adapters.playbooks import read_playbook
from bot.domain.errors import ConfigError, PlaybookError
from bot.lab.netns import files
from bot.lab.netns.addresses import AddressError, lay_out
from bot.lab.netns.models import ScenarioModel
from bot.lab.netns.topology import wire


def read(path: Path) -> ScenarioModel:
    """One scenario. Raises ConfigError: which file, which key, what is wrong with it."""
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read ({exc.strerror})") from exc
    except ConfigError as exc:
        raise ConfigError(f"{path}: {exc}") from exc


def parse(text: str) -> ScenarioModel:
    """Raises ConfigError."""
    try:
        value = YAML(typ="safe", pure=True).load(text)
        scenario = ScenarioModel.model_validate(value)
    except YAMLError as exc:
        raise ConfigError(f"not YAML: {' '.join(str(exc).split())[:300]}") from exc
    except ValidationError as exc:
        raise ConfigError("; ".join(_said(error) for error in exc.errors()[:5])) from exc
    _check(scenario)
    return scenario


def schema() -> dict[str, Any]:
    """The JSON Schema of a scenario file."""
    return ScenarioModel.model_json_schema(by_alias=True)


def _check(scenario: ScenarioModel) -> None:
    """Raise ConfigError for an address, place or playbook that cannot be."""
    try:
        layout = lay_out(scenario)
        wire(layout)
        for number, fault in enumerate(scenario.faults):
            try:
                fault.effects(layout)
            except LookupError as exc:
                raise ConfigError(f"faults.{number}: {exc.args[0]}") from exc
        for number, missing in enumerate(scenario.missing):
            try:
                layout.vantage(missing.vantage)
            except LookupError as exc:
                raise ConfigError(f"missing.{number}: {exc.args[0]}") from exc
        files.read_back(files.playbook(scenario, layout), read_playbook)
    except AddressError as exc:
        raise ConfigError(str(exc)) from exc
    except (PlaybookError, OSError) as exc:
        raise ConfigError(f"playbook: {exc}") from exc


def _said(error: Any) -> str:
    where = ".".join(str(part) for part in error["loc"])
    return f"{where}: {error['msg']}" if where else str(error["msg"])
