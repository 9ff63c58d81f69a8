"""`/incident ACTION`: take something on, say how it stands, change what is known of it, end it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from bot.app import incident_facts as facts
from bot.app import incident_merge, incident_roles
from bot.app import incident_moves as moves
from bot.app.first_look import first_look
from bot.app.opening import SEVERITY, open_incident
from bot.app.parts import Call, Then
from bot.app.ports import Tx
from bot.app.summary import summary
from bot.app.which_incident import current_incident, need_incident, take_id
from bot.domain.command import unknown
from bot.domain.errors import UserError
from bot.domain.incident import Incident
from bot.domain.text import Text

TITLE_LENGTH = 200
"""It is read out on the phone."""


async def incident(call: Call, tx: Tx) -> Then | None:
    """Carry out the action that is named."""
    words = call.command.rest.split()
    word = words[0].lower() if words else "status"
    action = ACTIONS.get(word)
    if action is None:
        names = list(ACTIONS)
        hint = Text(f"可用：{'、'.join(names)}", f"there are: {', '.join(names)}")
        raise unknown(Text("动作", "action"), word, names, hint)
    return await action(call, tx, words[1:])


async def declare(call: Call, tx: Tx, words: list[str]) -> Then | None:
    """Open an incident in this room: TITLE [sevN] [env=a,b] [playbook=NAME]."""
    current = await current_incident(call, tx)
    if current is not None:
        raise UserError(
            "already_open",
            Text(
                f"这个房间已有未结束的故障 {current.id}（{current.title}）；先 /incident resolve，或换一个房间登记",
                f"this room already has {current.id} open ({current.title}); /incident resolve ends it, or declare "
                "in another room",
            ),
        )
    severity, options = _edges(call, words)
    title = _title(words)
    if len(title) > TITLE_LENGTH:
        raise UserError(
            "too_long",
            Text(
                f"标题太长（{len(title)} 字，最多 {TITLE_LENGTH}）；细节用 /note 记",
                f"that title is {len(title)} characters long; at most {TITLE_LENGTH}, and /note takes the rest",
            ),
        )
    playbook = options.get("playbook", "").lower()
    if playbook and playbook not in call.parts.playbooks:
        hint = Text("/playbooks 列出全部", "/playbooks lists them")
        raise unknown(Text("剧本", "playbook"), playbook, call.parts.playbooks, hint)
    env = facts.listed(options.get("env", ""))
    opened = await open_here(call, tx, title, severity=severity or SEVERITY, env=env, playbook=playbook or None)
    return await first_look(call.parts, tx, opened, by=call.command.user, invite=[call.command.user])


def _edges(call: Call, words: list[str]) -> tuple[str, dict[str, str]]:
    """Severity and options, taken off both ends of the title: in its middle they are words of it."""
    severity, options = "", {}
    known = call.parts.directory.severities
    while words:
        for at in (-1, 0):
            key, eq, value = words[at].partition("=")
            if words[at].lower() in known:
                severity = words.pop(at).lower()
                break
            if eq and value and key.lower() in ("env", "playbook"):
                options[key.lower()] = value
                words.pop(at)
                break
        else:
            break
    return severity, options


def _title(words: list[str]) -> str:
    """The words without the quotes that some put around them."""
    title = " ".join(words)
    return title[1:-1] if len(title) > 1 and title[0] in "\"'" and title[0] == title[-1] else title


async def status(call: Call, tx: Tx, words: list[str]) -> Then | None:
    """Say how the room's incident stands; with words after it, they are a status update."""
    current = await need_incident(call, tx, take_id(words))
    if words:
        await facts.update(call, tx, current, " ".join(words))
        return None
    await call.reply(tx, *await summary(call.parts, tx, current))
    return None


Action = Callable[[Call, Tx, list[str]], Awaitable[Then | None]]
ACTIONS: Mapping[str, Action] = {
    "declare": declare,
    "status": status,
    "sev": facts.sev,
    "role": incident_roles.role,
    "impact": facts.impact,
    "merge": incident_merge.merge,
    "mitigate": moves.mitigate,
    "resolve": moves.resolve,
    "reopen": moves.reopen,
    "close": moves.close,
    "snooze": facts.snooze,
}


async def open_here(
    call: Call,
    tx: Tx,
    title: str = "",
    *,
    severity: str = SEVERITY,
    env: tuple[str, ...] = (),
    playbook: str | None = None,
    escalate: bool = True,
) -> Incident:
    """Open an incident in the call's room."""
    opened = await open_incident(
        call.parts,
        tx,
        title=title,
        severity=severity,
        room=call.room,
        by=call.command.user,
        env=env,
        playbook=playbook,
        at=call.at,
        escalate=escalate,
    )
    call.room = replace(call.room, incident=opened.id)
    return opened
