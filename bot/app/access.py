"""Whether somebody may do what they ask for: the one place where that is decided."""

from __future__ import annotations

from bot.app.parts import Parts
from bot.app.ports import Tx
from bot.domain.access import LEVELS, Level, needed
from bot.domain.command import Command
from bot.domain.errors import UserError
from bot.domain.incident import Incident, Room
from bot.domain.text import Text

_TITLES = {
    Level.VIEWER: Text("查看者", "viewer"),
    Level.RESPONDER: Text("处理人", "responder"),
    Level.COMMANDER: Text("指挥", "commander"),
    Level.ADMIN: Text("管理员", "admin"),
}


async def check_access(parts: Parts, tx: Tx, command: Command, room: Room, level: Level) -> None:
    """Pass, or raise UserError that says who can do it. Whoever commands the room's incident is a commander there."""
    wants = needed(command)
    if level >= wants:
        return
    incident = await tx.incidents.look(room.incident) if room.incident else None
    if incident is not None and incident.commander == command.user and wants <= Level.COMMANDER:
        return
    can = _who_can(parts, incident, wants)
    need, have = _TITLES[wants], _TITLES[level]
    raise UserError(
        "not_allowed",
        Text(
            f"/{command.raw.split(maxsplit=1)[0]} 需要{need.zh}权限，你是{have.zh}；"
            + (f"可以找：{'、'.join(can)}" if can else "请管理员在 people.yaml 里给出 role"),
            f"/{command.raw.split(maxsplit=1)[0]} needs a {need.en}, and you are a {have.en}; "
            + (f"ask {', '.join(can)}" if can else "an admin can give you a role in people.yaml"),
        ),
    )


def _who_can(parts: Parts, incident: Incident | None, wants: Level) -> list[str]:
    names = [incident.commander] if incident is not None and incident.commander and wants <= Level.COMMANDER else []
    people = parts.directory.people.values()
    names += [p.name for p in people if p.role and LEVELS[p.role] >= wants]
    return list(dict.fromkeys(names))
