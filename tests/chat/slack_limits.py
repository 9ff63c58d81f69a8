"""What Slack refuses in a message, a modal or a channel's name; the words are its error codes (docs.slack.dev)."""

from __future__ import annotations

import json
import re
from typing import Any

MOST_BLOCKS, MOST_CHARACTERS = 50, 13_200
NAME = re.compile(r"[a-z0-9_-]{1,80}")
KINDS = {"section", "header", "context", "actions", "divider", "table", "rich_text", "input", "image", "markdown"}


class Refused(Exception):
    """`error` is Slack's code, `why` what a person needs to mend it."""

    def __init__(self, error: str, why: str = "") -> None:
        super().__init__(f"{error}: {why}" if why else error)
        self.error = error
        self.why = why


def length(text: str) -> int:
    """As JavaScript counts: UTF-16 units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def check_message(args: dict[str, Any]) -> None:
    """Raise Refused for a message Slack would not take."""
    text, blocks = args.get("text") or "", args.get("blocks") or []
    if not text and not blocks:
        raise Refused("no_text")
    if not isinstance(text, str) or length(text) > 40_000:
        raise Refused("msg_too_long", "text")
    if blocks and not text:
        raise Refused("no_fallback", "blocks without the text that notifications show")
    check_blocks(blocks)


def check_blocks(blocks: Any, *, most: int = MOST_BLOCKS, tables: int = 1) -> None:
    """Raise Refused for blocks that break a limit."""
    if not isinstance(blocks, list) or len(blocks) > most:
        raise Refused("invalid_blocks", f"{len(blocks)} blocks")
    for size in (len(json.dumps(blocks)), len(json.dumps(blocks, ensure_ascii=False))):
        if size > MOST_CHARACTERS:
            raise Refused("msg_blocks_too_long", f"{size} characters of blocks")
    if sum(b.get("type") == "table" for b in blocks) > tables:
        raise Refused("only_one_table_allowed")
    ids = [b["block_id"] for b in blocks if "block_id" in b]
    if len(ids) != len(set(ids)) or any(not 1 <= length(i) <= 255 for i in ids):
        raise Refused("invalid_blocks", f"block ids {ids}")
    for block in blocks:
        if block.get("type") not in KINDS:
            raise Refused("invalid_blocks", f"type {block.get('type')}")
        _CHECKS.get(block["type"], lambda _block: None)(block)


def _text(value: Any, most: int, *types: str) -> str:
    if not isinstance(value, dict) or value.get("type") not in types or not isinstance(value.get("text"), str):
        raise Refused("invalid_blocks", f"text object {value!r}")
    if {"plain_text": "verbatim", "mrkdwn": "emoji"}[value["type"]] in value:
        raise Refused("invalid_blocks", f"foreign key in {value!r}")
    if not 1 <= length(value["text"]) <= most:
        raise Refused("invalid_blocks", f"{length(value['text'])} characters where 1 to {most} go")
    return str(value["text"])


def _section(block: dict[str, Any]) -> None:
    if "text" not in block and not block.get("fields"):
        raise Refused("invalid_blocks", "an empty section")
    if "text" in block:
        _text(block["text"], 3000, "mrkdwn", "plain_text")
    if len(block.get("fields", [])) > 10:
        raise Refused("invalid_blocks", "more than 10 fields")
    for one in block.get("fields", []):
        _text(one, 2000, "mrkdwn", "plain_text")


def _context(block: dict[str, Any]) -> None:
    if not 1 <= len(block.get("elements", [])) <= 10:
        raise Refused("invalid_blocks", "a context has 1 to 10 elements")
    for one in block["elements"]:
        _text(one, 3000, "mrkdwn", "plain_text")


def _actions(block: dict[str, Any]) -> None:
    elements = block.get("elements", [])
    if not 1 <= len(elements) <= 25:
        raise Refused("invalid_blocks", f"{len(elements)} elements in actions")
    ids = [e.get("action_id", "") for e in elements]
    if len(ids) != len(set(ids)) or any(not 1 <= length(i) <= 255 for i in ids):
        raise Refused("invalid_blocks", f"action ids {ids}")
    for one in elements:
        _button(one)


def _button(one: dict[str, Any]) -> None:
    if one.get("type") != "button":
        raise Refused("invalid_blocks", f"element {one.get('type')}")
    _text(one.get("text"), 75, "plain_text")
    if not 1 <= length(one.get("value", "-")) <= 2000:
        raise Refused("invalid_blocks", "a button's value has 1 to 2000 characters")
    if one.get("style", "primary") not in ("primary", "danger"):
        raise Refused("invalid_blocks", f"style {one['style']}")


def _table(block: dict[str, Any]) -> None:
    rows = block.get("rows", [])
    if not 1 <= len(rows) <= 100 or any(not 1 <= len(row) <= 20 for row in rows):
        raise Refused("invalid_blocks", "a table has at most 100 rows of 20 cells")
    for cell in (cell for row in rows for cell in row):
        if cell.get("type") not in ("raw_text", "rich_text"):
            raise Refused("invalid_blocks", f"cell {cell!r}")
        if cell["type"] == "raw_text" and not cell.get("text"):
            raise Refused("invalid_blocks", "an empty cell")
    if len(block.get("column_settings", [])) > 20:
        raise Refused("invalid_blocks", "column_settings")


def _input(block: dict[str, Any]) -> None:
    _text(block.get("label"), 2000, "plain_text")
    element = block.get("element", {})
    if element.get("type") not in ("plain_text_input", "static_select"):
        raise Refused("invalid_arguments", f"element {element!r}")
    options = element.get("options", [])
    if element["type"] == "static_select" and not 1 <= len(options) <= 100:
        raise Refused("invalid_arguments", f"{len(options)} options")
    for option in options:
        _text(option.get("text"), 75, "plain_text")


_CHECKS = {
    "section": _section,
    "header": lambda block: _text(block.get("text"), 150, "plain_text"),
    "context": _context,
    "actions": _actions,
    "table": _table,
    "input": _input,
}


def check_view(view: Any) -> None:
    """Raise Refused for a modal Slack would not open."""
    if not isinstance(view, dict) or view.get("type") != "modal":
        raise Refused("invalid_arguments", "view")
    for key in ("title", "submit", "close"):
        if key == "title" or key in view:
            _text(view.get(key), 24, "plain_text")
    if length(view.get("private_metadata", "")) > 3000:
        raise Refused("invalid_arguments", "private_metadata")
    if any(b.get("type") == "input" for b in view.get("blocks", [])) and "submit" not in view:
        raise Refused("invalid_arguments", "inputs without submit")
    check_blocks(view.get("blocks"), most=100)
