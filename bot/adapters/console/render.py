"""Neutral blocks to HTML in one language; templates draw, this module decides what they are told."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from bot.adapters.console.words import COMMANDS, KINDS, WORDS
from bot.app.postmortem.course import Course
from bot.domain.incident import Entry
from bot.domain.message import Buttons, CellState, File, Header, Matrix, MatrixCell, Message, Share
from bot.domain.record import Correction
from bot.domain.text import Lang, Text, percent, same

SYMBOLS: dict[CellState, str] = {
    "up": "✓",
    "down": "✗",
    "lossy": "",
    "slow": "◷",
    "none": "·",
    "missing": "?",
    "denied": "⊘",
    "pending": "",
}
"""A shape for each state, so that colour is never the only sign; "lossy" has a dial instead."""
SECTIONS = tuple((f"/{name}", name) for name in ("incidents", "timeline", "oncall", "agents", "playbooks", "reports"))
"""The pages beside the chat, in the order of the menu."""
DIAL = 37.7
"""The circumference of the dial's circle in the template, r = 6."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CellView:
    """One cell as the template needs it. `dial` is the stroke of the share's arc, None for no dial."""

    state: CellState
    symbol: str
    text: str
    hint: str
    label: str
    dial: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class EntryView:
    """One line of the timeline: `clock` in the team's time zone, `since` relative to the start."""

    entry: Entry
    clock: str
    iso: str
    since: str
    day: str
    """The date, where it differs from the line before."""
    by: Correction | None = None
    """What it should have said."""


class Renderer:
    """Draws messages and pages. `zone` is the time zone people read."""

    def __init__(self, *, zone: tzinfo = UTC) -> None:
        self.zone = zone
        self._jinja = Environment(
            loader=PackageLoader("bot.adapters.console"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=StrictUndefined,
        )
        self._jinja.filters |= {"say": _say, "rich": _rich, "percent": percent, "clock": self.clock}
        self._jinja.filters["download"] = _download
        self._jinja.globals |= {"w": _word, "cell": cell_view, "matrix_states": matrix_states, "strength": strength}
        self._jinja.globals |= {
            "kinds": KINDS,
            "commands": COMMANDS,
            "span": span,
            "ago": ago,
            "sections": SECTIONS,
            "curve": curve,
        }

    def page(self, template: str, lang: Lang, **values: Any) -> str:
        """A page or a piece of one."""
        return self._jinja.get_template(template).render(lang=lang, **values)

    def message(self, message: Message, rev: int | None, at: datetime, lang: Lang) -> str:
        """One message as an <article>."""
        blocks = [(type(block).__name__.lower(), block) for block in message.blocks]
        tone = next((b.tone for b in message.blocks if isinstance(b, Header)), "")
        return self.page(
            "message.html",
            lang,
            message=message,
            blocks=blocks,
            tone=tone,
            typed=typed(message),
            rev=rev,
            at=at,
            body_id=f"m-{message.key}",
        )

    def row(self, message: Message, rev: int | None, at: datetime, lang: Lang) -> dict[str, Any]:
        """The message as our own script gets it; `rev` None is not recorded (yet)."""
        return {
            "key": message.key,
            "rev": rev,
            "at": at.isoformat(),
            "author": message.author,
            "html": self.message(message, rev, at, lang),
        }

    def clock(self, at: datetime, form: str = "%H:%M:%S") -> str:
        """A moment as people read it."""
        return at.astimezone(self.zone).strftime(form)

    def entries(
        self, entries: Sequence[Entry], corrections: Mapping[int, Correction], *, start: datetime | None = None
    ) -> list[EntryView]:
        """The timeline's lines; `start` is the moment others are counted from, the first entry's by default."""
        views: list[EntryView] = []
        day = ""
        for entry in entries:
            start = start or entry.at
            today = self.clock(entry.at, "%Y-%m-%d")
            views.append(
                EntryView(
                    entry=entry,
                    clock=self.clock(entry.at),
                    iso=entry.at.isoformat(),
                    since=_since((entry.at - start).total_seconds()),
                    day="" if today == day else today,
                    by=corrections.get(entry.seq) if entry.seq else None,
                )
            )
            day = today
        return views


def typed(message: Message) -> bool:
    """Whether a person typed this, rather than Warroom saying it."""
    return message.author != "warroom" and not any(isinstance(b, (Header, Matrix, Buttons)) for b in message.blocks)


def cell_view(cell: MatrixCell, row: Text, column: Text, group: Text | None, lang: Lang) -> CellView:
    """A cell with its shape, its dial and a name that reads well aloud."""
    symbol = SYMBOLS[cell.state]
    text = cell.text.strip()
    if text and (text == "–" or (symbol and text.startswith(symbol))):
        text = text.removeprefix(symbol).strip("– ")
    hint = cell.hint.in_(lang) if cell.hint else ""
    place = " ".join(part.in_(lang) for part in (group, column) if part)
    label = f"{row.in_(lang)}, {place}: {WORDS[cell.state].in_(lang)} {text}".strip()
    share = _share_of(text) if cell.state == "lossy" else None
    return CellView(
        state=cell.state,
        symbol=symbol,
        text=text,
        hint=hint,
        label=f"{label}. {hint}" if hint else label,
        dial=None if cell.state != "lossy" else round(DIAL * (0.5 if share is None else share), 1),
    )


def curve(course: Course, what: str) -> str:
    """The path of `what` ("share" or "ms") in a box of 100 by 24; a gap where nothing was measured."""
    most = 1.0 if what == "share" else course.slowest_ms or 1.0
    whole = (course.until - course.since).total_seconds() or 1.0
    drawn, pen = [], "M"
    for point in course.points:
        value = getattr(point, what)
        if value is None:
            pen = "M"
            continue
        x = 100 * (point.at - course.since).total_seconds() / whole
        drawn.append(f"{pen}{x:.1f} {22 - 20 * value / most:.1f}")
        pen = "L"
    return " ".join(drawn)


def matrix_states(matrix: Matrix) -> list[tuple[CellState, str]]:
    """The states that occur, with their shapes, for the legend."""
    found = {cell.state for _, cells in matrix.rows for cell in cells}
    return [(state, symbol) for state, symbol in SYMBOLS.items() if state in found]


def strength(share: Share) -> float:
    """The largest weight of a hypothesis' evidence, by which its small bars are scaled; at least 1."""
    return max([1.0, *(abs(weight) for _, weight in share.evidence)])


def span(seconds: float) -> Text:
    """A duration as people say it."""
    minutes = int(seconds // 60)
    if minutes < 1:
        return Text(f"{int(seconds)} 秒", f"{int(seconds)} s")
    if minutes < 60:
        return Text(f"{minutes} 分钟", f"{minutes} min")
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return Text(f"{hours} 小时 {rest} 分", f"{hours} h {rest} min")
    return Text(f"{hours // 24} 天", f"{hours // 24} days")


def ago(now: datetime, at: datetime) -> Text:
    """How long ago something was; a clock that runs ahead counts as now."""
    return span(max(0.0, (now - at).total_seconds())) + Text("前", " ago")


def script_words(lang: Lang) -> str:
    """The words our own scripts show, as JSON."""
    names = ("live", "connecting", "reconnecting", "offline", "sending", "not_sent", "retry", "signed_out", "lab_away")
    more = ("quiet", "ringing", "healthy_now", "fault_on", "call_answered", "call_completed", "call_no_answer")
    return json.dumps({name: WORDS[name].in_(lang) for name in (*names, *more)}, ensure_ascii=False)


_LINK = re.compile(r"https?://[^\s<>\"'，。；）)】]+|\bINC-\d+\b|`[^`\n]+`")


def _rich(text: str) -> Markup:
    parts: list[Markup] = []
    end = 0
    for found in _LINK.finditer(text):
        parts += [escape(text[end : found.start()]), _linked(found[0])]
        end = found.end()
    return Markup("").join([*parts, escape(text[end:])])


def _linked(word: str) -> Markup:
    if word.startswith("`"):
        return Markup("<code>{}</code>").format(word.strip("`"))
    if word.startswith("INC-"):
        return Markup('<a href="/incidents/{0}">{0}</a>').format(word)
    return Markup('<a href="{0}" rel="noopener noreferrer">{0}</a>').format(word)


@pass_context
def _say(context: Context, text: Text | None) -> Markup:
    return Markup("") if text is None else _rich(text.in_(context["lang"]))


def _download(file: File) -> str:
    """The file as an address of its own."""
    content = file.content if file.encoded else base64.b64encode(file.content.encode()).decode()
    return f"data:{file.media_type};base64,{content}"


@pass_context
def _word(context: Context, name: str) -> str:
    return WORDS.get(name, same(name)).in_(context["lang"])


def _share_of(text: str) -> float | None:
    found = re.search(r"(\d+(?:\.\d+)?)\s*%", text)
    return None if found is None else min(1.0, float(found[1]) / 100)


def _since(seconds: float) -> str:
    minutes, rest = divmod(round(abs(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes:02}:{rest:02}"
    return f"{'−' if seconds < 0 else '+'}{clock}"
