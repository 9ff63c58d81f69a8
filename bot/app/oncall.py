"""`/oncall`: who is on call and until when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from bot.app.override import override
from bot.app.parts import Call, Then
from bot.app.ports import Tx
from bot.app.rota import listed, no_schedule, schedule_named, standing, when
from bot.domain.message import Block, Bullets, Header, Table, Tone
from bot.domain.schedule import Override, Schedule, on_call, shifts
from bot.domain.text import Text

SHOWN = timedelta(days=14)
MOST_SHIFTS = 10


async def oncall(call: Call, tx: Tx) -> Then | None:
    """Carry out what is named: nothing or "who", a schedule, or "override"."""
    args = list(call.args)
    if args[:1] == ["who"]:
        args.pop(0)
    if args and args[0].lower() in ("override", "overrides"):
        await override(call, tx, args[1:])
        return None
    directory = call.parts.directory
    named = [schedule_named(directory, args[0])] if args else list(directory.schedules.values())
    if not named:
        raise no_schedule(directory)
    overrides = await tx.overrides.ending_after(call.at)
    lines = tuple(standing(schedule, call.at, overrides) for schedule in named)
    tone: Tone = "info" if all(on_call(s, call.at, overrides) for s in named) else "warn"
    blocks: tuple[Block, ...] = (
        (Header(text=lines[0], tone=tone), *_following(named[0], call, overrides))
        if len(named) == 1
        else (Header(text=Text("现在值班", "on call now"), tone=tone), Bullets(items=lines))
    )
    mine = [o for o in overrides if o.schedule in {s.name for s in named}]
    await call.reply(tx, *blocks, *listed(directory, mine))
    return None


def _following(schedule: Schedule, call: Call, overrides: Sequence[Override]) -> tuple[Block, ...]:
    """The shifts of the next two weeks."""
    found = shifts(schedule, call.at, call.at + SHOWN, overrides)[:MOST_SHIFTS]
    if len(found) < 2:
        return ()
    lang = call.room.lang
    rows = tuple(
        (s.person, when(s.since, schedule).in_(lang), when(s.until, schedule).in_(lang), s.override or s.layer)
        for s in found
    )
    columns = (Text("值班人", "who"), Text("从", "from"), Text("到", "until"), Text("来源", "by"))
    return (Table(columns=columns, rows=rows),)
