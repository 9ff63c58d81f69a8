"""Reading the Prometheus text format 0.0.4 (prometheus.io, "Exposition formats"), as far as probes need it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

MAX_SAMPLES = 20_000
_SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)[ \t]*(?:\{(.*)\})?[ \t]*([^ \t{}]+)(?:[ \t]+-?\d+(?:\.\d+)?)?[ \t]*")
_LABEL = re.compile(r'[ \t]*([a-zA-Z_][a-zA-Z0-9_]*)[ \t]*=[ \t]*"((?:[^"\\]|\\.)*)"[ \t]*(?:,|$)')
_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "\\": "\\", '"': '"'}


@dataclass(frozen=True, slots=True)
class Sample:
    """One line: a metric's name, its labels and its value."""

    name: str
    labels: Mapping[str, str]
    value: float


def samples(text: str, wanted: Collection[str]) -> Iterator[Sample]:
    """The samples of these names. Comments, other names and malformed lines are passed over."""
    seen = 0
    for line in text.split("\n"):
        name = line.partition("{")[0].partition(" ")[0]
        if name not in wanted or seen >= MAX_SAMPLES:
            continue
        found = _read(line)
        if found is not None:
            seen += 1
            yield found


def _read(line: str) -> Sample | None:
    # What follows the last " # {" may be an OpenMetrics exemplar, or the text of a label.
    return _sample(line) or _sample(line.rpartition(" # {")[0])


def _sample(line: str) -> Sample | None:
    match = _SAMPLE.fullmatch(line)
    labels = _labels(match[2] or "") if match else None
    if match is None or labels is None:
        return None
    try:
        return Sample(match[1], labels, float(match[3]))
    except ValueError:
        return None


def _labels(inside: str) -> dict[str, str] | None:
    labels: dict[str, str] = {}
    at = 0
    while at < len(inside):
        match = _LABEL.match(inside, at)
        if match is None:
            return labels if not inside[at:].strip(" \t,") else None
        labels[match[1]] = _ESCAPE.sub(lambda m: _ESCAPED.get(m[1], m[0]), match[2])
        at = match.end()
    return labels
