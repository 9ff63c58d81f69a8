"""What people read of an incident's states, moves and roles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.domain.incident import Impact, Incident, IncidentState, Move, Role
from bot.domain.text import Text, join, same

STATES: Mapping[IncidentState, Text] = {
    IncidentState.DECLARED: Text("已登记", "declared"),
    IncidentState.INVESTIGATING: Text("处理中", "investigating"),
    IncidentState.MITIGATED: Text("已缓解", "mitigated"),
    IncidentState.RESOLVED: Text("已解决", "resolved"),
    IncidentState.CLOSED: Text("已关闭", "closed"),
}
MOVED: Mapping[Move, Text] = {
    Move.INVESTIGATE: Text("开始处理", "is being looked at"),
    Move.MITIGATE: Text("已缓解", "is mitigated"),
    Move.RESOLVE: Text("已解决", "resolved"),
    Move.CLOSE: Text("已关闭", "closed"),
    Move.REOPEN: Text("重新打开", "reopened"),
}
ROLES: Mapping[Role, Text] = {
    Role.COMMANDER: Text("指挥", "commander"),
    Role.SCRIBE: Text("记录", "scribe"),
    Role.LIAISON: Text("联络", "liaison"),
    Role.RESPONDER: Text("处理人", "responder"),
}


def title_of(incident: Incident) -> Text:
    """As "INC-42 SMS is down"."""
    return same(f"{incident.id} {incident.title}")


def named(names: Sequence[str]) -> Text:
    """People in a row."""
    return join([same(name) for name in names])


def roles(incident: Incident) -> Text:
    """Who does what; empty while nobody does anything."""
    held = [(ROLES[role], incident.roles.get(role, ())) for role in Role]
    return join([word + Text("：", ": ") + named(names) for word, names in held if names], zh="；", en="; ")


def regraded(then: Incident, *, was: str) -> Text:
    """Its severity is another now."""
    now = then.severity
    return Text(f"{then.id} 级别 {was} → {now}", f"{then.id} severity {was} is now {now}")


def impact(found: Impact, environments: Sequence[str] = ()) -> Text:
    """What is broken for whom; empty when nobody said so."""
    parts = [same(found.text)] if found.text else []
    if environments:
        where = named(environments)
        parts.append(Text(f"环境 {where.zh}", f"environments {where.en}"))
    if found.customers:
        who = named(found.customers)
        parts.append(Text(f"客户 {who.zh}", f"customers {who.en}"))
    if found.amount:
        parts.append(Text(f"金额 {found.amount}", f"amount {found.amount}"))
    return join(parts, zh="；", en="; ")
