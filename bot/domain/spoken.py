"""What a call says: plain words for a voice, whatever somebody typed as a title."""

from __future__ import annotations

import re

from bot.domain.page import Page
from bot.domain.text import Lang, Text

PRESS = Text("按 1 确认，按 2 升级", "Press 1 to acknowledge, 2 to escalate")
BRIEFLY = Text("按1确认，按2升级", "press 1 or 2")
IN_CHAT = Text("请在群里确认", "Acknowledge in the chat")
IN_CHAT_BRIEFLY = Text("请在群里确认", "ack in chat")
PRESSED_ACK = Text("已确认，谢谢", "Acknowledged, thank you")
PRESSED_ESCALATE = Text("已升级，正在呼叫下一位", "Escalated; the next one is being called")
PRESSED_KEPT = Text("已收到，数据库恢复后生效", "Noted; it counts when our database is back")
_LINK = re.compile(r"\w+://\S+")
_NOT_SPOKEN = re.compile(r"[<>&{}\[\]$`\\|*_#~^\"'\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_END = re.compile(r"[\s,.;:!?，。；：！？、]+$")


def plain(text: str, most: int) -> str:
    """The text without links, markup and what a template or a voice would take for it; at most so many characters."""
    said = " ".join(_NOT_SPOKEN.sub(" ", _LINK.sub(" ", text)).split())
    if len(said) <= most:
        return said
    cut = said[:most]
    # A word cut in two is worse to hear than one word less.
    return _END.sub("", cut[: cut.rindex(" ")] if " " in cut[most // 2 :] else cut)


def action(lang: Lang, *, keys: bool, brief: bool = False) -> str:
    """What to do about the call: press a key, or, where no key can come back, acknowledge in the chat.

    `brief` has at most 12 characters.
    """
    if brief:
        return (BRIEFLY if keys else IN_CHAT_BRIEFLY).in_(lang)
    return (PRESS if keys else IN_CHAT).in_(lang)


def spoken(page: Page, *, keys: bool, most: int = 400) -> str:
    """The whole call in the person's language."""
    lang = page.person.lang
    stop = "。" if lang == "zh" else ". "
    title = _END.sub("", plain(page.title, most))
    return f"{plain(page.severity, 20)} {title}{stop}{action(lang, keys=keys)}{stop}".strip()
