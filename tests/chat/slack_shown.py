"""What a person sees in a channel of the stand-in, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.chat.slack_methods import BOT, Channel


def lines_of(channel: Channel) -> list[str]:
    """Every message, threads under their first one; people's own begin with "<name> "."""
    lines: list[str] = []
    for said in channel.messages.values():
        if said.get("thread_ts"):
            continue
        lines += _message(said)
        under = (m for m in channel.messages.values() if m.get("thread_ts") == said["ts"])
        lines += [f"  ↳ {line}" for reply in under for line in _message(reply)]
    return lines


def _message(said: dict[str, Any]) -> list[str]:
    who = "" if said["user"] == BOT else f"<{said['user']}> "
    lines = [line for block in said.get("blocks", []) for line in _block(block)] or said["text"].splitlines()
    files = [f"[file {file['name']}: {file.get('title', '')}]" for file in said.get("files", [])]
    return [who + _unescaped(line) for line in lines] + files


def _block(block: dict[str, Any]) -> Iterator[str]:
    match block["type"]:
        case "header":
            yield block["text"]["text"]
        case "section":
            yield from block["text"]["text"].splitlines()
        case "context":
            yield " ".join(e["text"] for e in block["elements"])
        case "actions":
            yield " ".join(f"[{e['text']['text']}]" for e in block["elements"])
        case "table":
            yield from (" | ".join(cell["text"] for cell in row) for row in block["rows"])


def _unescaped(line: str) -> str:
    return line.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
