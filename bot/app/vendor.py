"""`/vendor NAME`: send the vendor's group what its engineers will ask for anyway."""

from __future__ import annotations

from typing import Any

from bot.app.parts import Call, Then, say
from bot.app.ports import Tx
from bot.domain.command import unknown
from bot.domain.errors import UserError
from bot.domain.incident import EntryKind, Room, Run
from bot.domain.message import Block, Bullets, Code, Header, Message, Paragraph
from bot.domain.text import Text, percent


async def vendor(call: Call, tx: Tx) -> Then | None:
    """Post the evidence of the room's latest run into the vendor's room, and say that it was done."""
    parts = call.parts
    vendors = {p.vendor for p in parts.playbooks.values() if p.vendor} | set(parts.vendors)
    run = await call.latest_run(tx)
    name = call.args[0].lower() if call.args else _vendor_of(call, run)
    if name not in vendors:
        hint = Text(f"有：{'、'.join(sorted(vendors))}", f"there are: {', '.join(sorted(vendors))}")
        raise unknown(Text("厂商", "vendor"), name or "-", vendors, hint)
    if run is None or run.document is None:
        raise UserError(
            "no_evidence",
            Text("还没有证据可发；先 /diag", "there is no evidence to send yet; /diag first"),
        )
    key = parts.vendors.get(name, f"{call.room.platform}:vendor-{name}")
    fresh = Room(key=key, title=f"{name} support", lang=call.room.lang, lang_chosen=call.room.lang_chosen)
    room = await tx.rooms.get(key) or fresh
    await tx.rooms.save(room)
    pack = Message(key=f"pack-{run.id}", room=key, blocks=evidence_pack(run, run.document))
    await say(parts, tx, pack, incident=call.room.incident)
    text = Text(f"证据已发到厂商群 “{room.title}”", f'evidence sent to the vendor\'s room "{room.title}"')
    await call.record(tx, EntryKind.VENDOR, text, run=run.id, vendor=name, room=key)
    await call.tell(tx, text)
    return None


def evidence_pack(run: Run, found: Any) -> tuple[Block, ...]:
    """What we saw, from where, since when: enough for another company's engineer to begin."""
    texts = found.get("texts", {})
    headline = texts.get("headline", {"zh": "", "en": ""})
    return (
        Header(text=Text(f"请协助：{headline['zh']}", f"please help: {headline['en']}"), tone="bad"),
        *_reasons(texts),
        Paragraph(
            text=Text(f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC", f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC"),
            label=Text("测于", "Measured at"),
        ),
        Code(text="\n".join(_lines(found))),
    )


def _reasons(texts: Any) -> list[Block]:
    """Grouped by cause where there are two: what speaks for one may deny the other."""
    groups = texts.get("reasons") or [{"title": None, "why": texts.get("why", ())}]
    seen = Text("我们看到的", "What we see")
    blocks: list[Block] = []
    for group in groups:
        title = group["title"] if len(groups) > 1 else None
        label = Text(f"{seen.zh}：{title['zh']}", f"{seen.en}: {title['en']}") if title else seen
        blocks.append(Bullets(items=tuple(Text(zh=w["zh"], en=w["en"]) for w in group["why"]), label=label))
    return blocks


def _lines(found: Any) -> list[str]:
    rows = []
    for seen in found.get("observations", ()):
        if seen["ok"] or seen["success_rate"] is None or seen["fault_of"] in ("agent", "policy"):
            continue
        detail = seen["detail"]
        resolver = ",".join(detail.get("resolvers", ())) if seen["kind"] == "dns" else ""
        where = f"{seen['region']}/{seen['vantage']}"
        rate = percent(seen["success_rate"])
        rows.append(
            f"{where:<18} {seen['layer']:<12} {rate:>5} of {detail.get('tries', 1)}  {seen['failure'] or ''}  "
            f"{seen['target']} {resolver}".rstrip()
        )
    return rows[:40] or ["-"]


def _vendor_of(call: Call, run: Run | None) -> str:
    playbook = call.parts.playbooks.get(run.playbook) if run else None
    return playbook.vendor if playbook else ""
