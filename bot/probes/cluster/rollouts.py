"""Rollouts of a Kubernetes cluster, from its Deployments' ReplicaSets. Pure.

Each new pod template makes a ReplicaSet, so its creation is the moment of a rollout; going back to an older template
takes up its old ReplicaSet again, which then carries the annotation revision-history, and only the Deployment's
condition Progressing tells when. Source: kubernetes.io, "Deployments"; the annotations of the deployment controller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bot.domain.change import Change, ChangeKind
from bot.probes.cluster.kubernetes import mapping, text
from bot.probes.web import masking

_REVISION = "deployment.kubernetes.io/revision"
_HISTORY = "deployment.kubernetes.io/revision-history"
_CAUSE = "kubernetes.io/change-cause"
Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Revision:
    """One ReplicaSet of a Deployment. `again` says that it was taken up again after another one."""

    owner: tuple[str, str]
    number: int
    created: datetime
    images: tuple[str, ...]
    cause: str
    again: bool


def rollouts(replica_sets: Sequence[Row], deployments: Sequence[Row], *, since: datetime, env: str) -> list[Change]:
    """The rollouts since a moment."""
    by_owner: dict[tuple[str, str], list[Revision]] = {}
    for row in replica_sets:
        one = revision(row)
        if one is not None:
            by_owner.setdefault(one.owner, []).append(one)
    settled = {key: at for key, at in (_settled(d) for d in deployments) if at is not None}
    found = []
    for owner, revisions in by_owner.items():
        revisions.sort(key=lambda r: r.number)
        for index, one in enumerate(revisions):
            at = _at(one, last=index == len(revisions) - 1, settled=settled.get(owner))
            if at is not None and at >= since:
                found.append(_change(one, revisions[index - 1] if index else None, at, env))
    return found


def revision(row: Row) -> Revision | None:
    """Read a ReplicaSet; None for one that no Deployment owns or that says no revision."""
    meta = mapping(row, "metadata")
    owners = meta.get("ownerReferences")
    rows = [o for o in owners if isinstance(o, Mapping)] if isinstance(owners, list) else []
    name = next((text(o.get("name")) for o in rows if o.get("kind") == "Deployment"), "")
    notes = mapping(meta, "annotations")
    number, created = notes.get(_REVISION), moment(meta.get("creationTimestamp"))
    if not name or created is None or not isinstance(number, str) or not number.isdecimal():
        return None
    containers = mapping(row, "spec", "template", "spec").get("containers")
    listed = [c for c in containers if isinstance(c, Mapping)] if isinstance(containers, list) else []
    return Revision(
        owner=(text(meta.get("namespace")), name),
        number=int(number[:9]),
        created=created,
        images=tuple(text(c.get("image"), 200) for c in listed[:8]),
        cause=masking.of_others(text(notes.get(_CAUSE), 1000))[:120],
        again=bool(notes.get(_HISTORY)),
    )


def _settled(deployment: Row) -> tuple[tuple[str, str], datetime | None]:
    """When the Deployment's last rollout last moved on."""
    meta = mapping(deployment, "metadata")
    conditions = mapping(deployment, "status").get("conditions")
    rows = [c for c in conditions if isinstance(c, Mapping)] if isinstance(conditions, list) else []
    at = next((moment(c.get("lastUpdateTime")) for c in rows if c.get("type") == "Progressing"), None)
    return (text(meta.get("namespace")), text(meta.get("name"))), at


def _at(one: Revision, *, last: bool, settled: datetime | None) -> datetime | None:
    """When it began to serve; None where that cannot be known: taken up again, and superseded since."""
    if not one.again:
        return one.created
    return settled if last else None


def _change(one: Revision, before: Revision | None, at: datetime, env: str) -> Change:
    namespace, name = one.owner
    old = set(before.images) if before else set()
    new = [image for image in one.images if image not in old]
    if one.again:
        what = f"back to {', '.join(one.images)}"
    elif before is None or new:
        gone = [image for image in (before.images if before else ()) if image not in one.images]
        what = f"{', '.join(gone)} → {', '.join(new)}" if gone else ", ".join(new)
    else:
        what = "pod template changed, same images"
    cause = f" ({one.cause})" if one.cause else ""
    return Change(
        at=at,
        kind=ChangeKind.DEPLOY if one.again or before is None or new else ChangeKind.CONFIG,
        title=f"{namespace}/{name} revision {one.number}: {what}{cause}"[:300],
        env=env,
        service=name,
        source="kubernetes",
    )


def moment(value: Any) -> datetime | None:
    """RFC 3339 as the API writes it."""
    try:
        found = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None
    return found if found.tzinfo else None
