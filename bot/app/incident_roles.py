"""`/incident role ROLE [@who] | handover @who | release [ROLE]`: who does what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from bot.app import incident_words as said
from bot.app import timers
from bot.app.escalation import tell
from bot.app.incident_facts import save
from bot.app.parts import Call, Then
from bot.app.ports import Tx
from bot.app.which_incident import need_incident, take_id
from bot.domain.command import unknown
from bot.domain.errors import UserError
from bot.domain.incident import Incident, Role
from bot.domain.message import Header
from bot.domain.text import Text, join

HANDOVER, RELEASE = "handover", "release"
ME = ("me", "我")
Held = Mapping[str, tuple[str, ...]]


async def role(call: Call, tx: Tx, typed: list[str]) -> Then | None:
    """Take a role or give it to somebody, hand one's own over, or give it back."""
    current = await need_incident(call, tx, take_id(typed))
    word = typed[0].lower() if typed else ""
    if word == HANDOVER:
        await _hand_over(call, tx, current, typed[1:])
        return None
    if word == RELEASE:
        await _release(call, tx, current, typed[1:])
        return None
    chosen = _role(word)
    who = _person(call, typed[1] if len(typed) > 1 else "me")
    if who in current.roles.get(chosen, ()):
        word_ = said.ROLES[chosen]
        raise UserError("has_role", Text(f"{who} 已经是{word_.zh}", f"{who} is {word_.en} already"))
    before = current.roles.get(chosen, ())
    names = (*before, who) if chosen is Role.RESPONDER else (who,)
    text = Text(f"{who} 担任{said.ROLES[chosen].zh}", f"{who} is {said.ROLES[chosen].en}")
    if before and chosen is not Role.RESPONDER:
        text += Text(f"（接替 {said.named(before).zh}）", f" (after {said.named(before).en})")
    await _keep(call, tx, current, {**current.roles, chosen: names}, text, role=chosen.value, who=who)
    return None


async def _hand_over(call: Call, tx: Tx, current: Incident, typed: list[str]) -> None:
    """Everything that the one who typed does, or the role named, goes to somebody else."""
    me = call.command.user
    chosen = _role(typed.pop(0).lower()) if typed and typed[0].lower() in set(Role) else None
    if not typed:
        raise UserError(
            "no_person",
            Text("交给谁？例如 /incident role handover @chen", "to whom? for example /incident role handover @chen"),
        )
    mine = [r for r in Role if me in current.roles.get(r, ()) and chosen in (None, r)]
    if not mine:
        raise _holds_nothing(current, me)
    who = _person(call, typed[0])
    roles = dict(current.roles)
    for r in mine:
        roles[r] = tuple(dict.fromkeys(who if name == me else name for name in roles[r]))
    what = join([said.ROLES[r] for r in mine])
    text = Text(f"{me} 把{what.zh}交给 {who}", f"{me} handed {what.en} over to {who}")
    await _keep(call, tx, current, roles, text, role=[r.value for r in mine], who=who)


async def _release(call: Call, tx: Tx, current: Incident, typed: list[str]) -> None:
    """The one who typed gives back a role, or all."""
    me = call.command.user
    chosen = _role(typed[0].lower()) if typed else None
    mine = [r for r in Role if me in current.roles.get(r, ()) and chosen in (None, r)]
    if not mine:
        raise _holds_nothing(current, me)
    left = {r: tuple(n for n in names if n != me or r not in mine) for r, names in current.roles.items()}
    what = join([said.ROLES[r] for r in mine])
    text = Text(f"{me} 不再担任{what.zh}", f"{me} is no longer {what.en}")
    await _keep(call, tx, current, left, text, role=[r.value for r in mine], released=me)


async def _keep(call: Call, tx: Tx, current: Incident, roles: Held, text: Text, **data: Any) -> None:
    held = {r: names for r, names in roles.items() if names}
    then = replace(current, roles=held)
    if then.commander != current.commander:
        # Somebody who commands is not asked for; a chair that was left is asked for after a while.
        then = timers.commander_asked(call.parts, then, await tx.now())
    text = Text(f"{then.id}：", f"{then.id}: ") + text
    await save(call, tx, then, text, **data)
    await tell(call.parts, tx, then, Header(text=text, tone="info"))


def _role(word: str) -> Role:
    names = [*(r.value for r in Role), HANDOVER, RELEASE]
    if word not in set(Role):
        hint = Text(f"可用：{'、'.join(names)}", f"there are: {', '.join(names)}")
        raise unknown(Text("角色", "role"), word or "-", names, hint)
    return Role(word)


def _person(call: Call, word: str) -> str:
    """A name as the directory writes it; somebody it does not know is named as typed, and has no phone."""
    if word.lower() in ME:
        return call.command.user
    found = call.parts.directory.find(word)
    return found.name if found else word.lstrip("@")


def _holds_nothing(current: Incident, me: str) -> UserError:
    held = said.roles(current)
    return UserError(
        "no_role",
        Text(
            f"{me} 在 {current.id} 里没有这个角色；现在：{held.zh or '没有人有角色'}",
            f"{me} has no such role in {current.id}; now: {held.en or 'nobody has a role'}",
        ),
    )
