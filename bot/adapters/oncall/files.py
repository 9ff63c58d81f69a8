"""On-call files into a `Directory`. All files of a folder are one: each may name what another one holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bot.adapters.oncall import checks
from bot.adapters.oncall.build import Builder
from bot.adapters.oncall.notes import notes
from bot.adapters.oncall.source import Base, Source, refuse
from bot.domain.directory import Directory
from bot.domain.errors import ConfigError
from bot.yamlfile import text_of

EXAMPLE = "docs/examples/oncall.yaml is one to begin with"


@dataclass(frozen=True, kw_only=True, slots=True)
class Loaded:
    """The directory, and notes on what is allowed and surprises at night."""

    directory: Directory
    notes: tuple[str, ...] = ()


def load(path: Path | None, *, base: Base, now: datetime) -> Loaded:
    """A file, or every `*.yaml` and `*.yml` of a folder; None: what warroom.toml says. Raises ConfigError."""
    return load_files([path] if path else [], base=base, now=now)


def load_files(paths: list[Path], *, base: Base, now: datetime) -> Loaded:
    """As `load`, from several files and folders taken together."""
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise ConfigError(f"{path} (paths.oncall): is not there; {EXAMPLE}")
        found = sorted([*path.glob("*.yaml"), *path.glob("*.yml")]) if path.is_dir() else [path]
        if not found:
            raise ConfigError(f"{path} (paths.oncall): has no .yaml file in it; {EXAMPLE}")
        files += found
    return read({str(file): text_of(file, error=ConfigError) for file in files}, base=base, now=now)


def read(texts: Mapping[str, str], *, base: Base, now: datetime) -> Loaded:
    """From file name -> text; calendars are read from beside the file that names them. Raises ConfigError."""
    sources = [Source.of(name, text) for name, text in texts.items()]
    refuse([*checks.names(sources, base), *checks.loops(sources)])
    builder = Builder(sources=sources, base=base, now=now)
    directory = builder.directory()
    refuse(checks.without_policy(sources, directory))
    return Loaded(directory=directory, notes=(*builder.notes, *notes(directory, now)))
