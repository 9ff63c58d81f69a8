"""The form that declares an incident, for those who typed `/incident declare` and nothing else."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any

from bot.adapters.slack.api import Api
from bot.adapters.slack.read import DECLARE, Line
from bot.adapters.slack.recent import Recent
from bot.adapters.slack.trouble import SlackRefused
from bot.app.opening import SEVERITY
from bot.domain.errors import SendFailed
from bot.domain.text import Lang, Text, same

log = logging.getLogger(__name__)

OPEN_S = 2.0
"""A trigger is good for 3 s."""
USED_UP = ("exchanged_trigger_id", "expired_trigger_id", "trigger_exchanged", "trigger_expired")
TITLE_LENGTH = 190


def wants_form(line: Line) -> bool:
    """Whether a title is missing that a form can ask for."""
    return bool(line.trigger) and line.inbound.text.lower().split() == ["/incident", "declare"]


class Modals:
    """Opens forms. `severities` are what may be chosen; `lang_of` tells a room's language."""

    def __init__(self, api: Api, severities: Sequence[str], lang_of: Callable[[str], Lang]) -> None:
        self._api = api
        self._severities = tuple(severities)[:100]
        self._lang_of = lang_of
        self._opened: Recent[bool] = Recent(1000)

    async def opened(self, line: Line) -> bool:
        """Whether the form is open, now or since an earlier delivery; False: the command must do without."""
        if self._opened.get(line.inbound.message_id):
            return True
        view = form(line, self._severities, self._lang_of(line.inbound.room))
        try:
            async with asyncio.timeout(OPEN_S):
                await self._api.call(self._api.client.views_open, trigger_id=line.trigger, view=view)
        except SlackRefused as exc:
            log.warning("the form cannot be opened: %s", exc)
            return exc.error in USED_UP
        except (SendFailed, TimeoutError) as exc:
            log.warning("the form cannot be opened, it is declared without: %s", exc)
            return False
        self._opened.put(line.inbound.message_id, True)
        return True


def form(line: Line, severities: Sequence[str], lang: Lang) -> dict[str, Any]:
    """The modal; its submission is read by `bot.adapters.slack.read.declaration`."""
    about = {"channel": line.channel, "title": line.inbound.room_title[:200]}
    options = [{"text": _plain(same(name), lang), "value": name} for name in severities]
    first = next((o for o in options if o["value"] == SEVERITY), None)
    choice = {"type": "static_select", "action_id": "value", "options": options}
    blocks = [
        _field("title", Text("出了什么问题", "What is wrong"), lang, _line_input(lang, TITLE_LENGTH)),
        _field("severity", Text("级别", "Severity"), lang, {**choice, **({"initial_option": first} if first else {})}),
        _field(
            "env", Text("环境（如 prod,test）", "Environments (prod,test)"), lang, _line_input(lang, 100), optional=True
        ),
    ]
    return {
        "type": "modal",
        "callback_id": DECLARE,
        "title": _plain(Text("登记故障", "Declare an incident"), lang),
        "submit": _plain(Text("登记", "Declare"), lang),
        "close": _plain(Text("取消", "Cancel"), lang),
        "private_metadata": json.dumps(about),
        "blocks": [block for block in blocks if block["block_id"] != "severity" or options],
    }


def _field(name: str, label: Text, lang: Lang, element: dict[str, Any], *, optional: bool = False) -> dict[str, Any]:
    return {"type": "input", "block_id": name, "label": _plain(label, lang), "element": element, "optional": optional}


def _line_input(lang: Lang, most: int) -> dict[str, Any]:
    return {"type": "plain_text_input", "action_id": "value", "max_length": most}


def _plain(text: Text, lang: Lang) -> dict[str, str]:
    return {"type": "plain_text", "text": text.in_(lang)}
