"""What follow-up probes add to a scope's facts: the busiest DNS client, the path's MTU, CoreDNS from inside, ...

Each function gets the observations of its kind made from inside the scope, and gives the fields it could measure; a
field that nobody could measure is left out, and with no field at all the group stays unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bot.domain.probe import Observation


def extras(observations: Sequence[Observation], inside: frozenset[str]) -> dict[str, dict[str, Any]]:
    """{fact: fields} for every follow-up kind that told something from inside."""
    found = {}
    for layer, (fact, read) in _READERS.items():
        fields = read([o for o in observations if o.layer == layer and o.agent in inside])
        if fields:
            found[fact] = fields
    return found


def _top(seen: Sequence[Observation]) -> dict[str, Any]:
    """The busiest DNS client: address, queries/s, its share of all queries."""
    best: dict[str, Any] = {}
    for one in seen:
        clients = one.detail.get("clients") or []
        if not one.ok or not clients:
            continue
        first = clients[0]
        if not best or one.detail.get("qps", 0) > best["total_qps"]:
            best = {
                "client": str(first.get("address", "?")),
                "qps": float(first.get("qps", 0)),
                "share": float(first.get("share", 0)),
                "distinct": int(first.get("distinct", 0)),
                "total_qps": float(one.detail.get("qps", 0)),
                "source": str(one.detail.get("source", "")),
            }
    return best


def _mtu(seen: Sequence[Observation]) -> dict[str, Any]:
    """Whether large packets vanish on some way, and the smallest path MTU that was found."""
    holes = [o.detail["black_hole"] for o in seen if isinstance(o.detail.get("black_hole"), bool)]
    sizes = [o.detail["path_mtu"] for o in seen if isinstance(o.detail.get("path_mtu"), int)]
    fields: dict[str, Any] = {"black_hole": any(holes)} if holes else {}
    return fields | ({"path_mtu": min(sizes)} if sizes else {})


def _trace(seen: Sequence[Observation]) -> dict[str, Any]:
    """Whether the target was reached on every way, and the last router that answered where it was not."""
    told = [o for o in seen if isinstance(o.detail.get("reached"), bool)]
    if not told:
        return {}
    cut = [o for o in told if not o.detail["reached"]]
    hops = [h for o in cut[:1] for h in o.detail.get("hops") or () if h.get("address")]
    return {"reached": not cut, "last": str(hops[-1]["address"]) if hops else "", "hops": len(hops)}


def _coredns(seen: Sequence[Observation]) -> dict[str, Any]:
    """Replicas against nodes, and the pods asked one by one past the cluster's address."""
    fields: dict[str, Any] = {}
    for one in seen:
        replicas = one.detail.get("replicas") or {}
        numbers = {"ready": replicas.get("ready"), "nodes": one.detail.get("nodes")}
        fields |= {key: int(value) for key, value in numbers.items() if isinstance(value, int)}
        sizing = one.detail.get("sizing") or {}
        if isinstance(sizing.get("tencent"), int):
            fields["wanted"] = sizing["tencent"]
        pods = [p for p in one.detail.get("pods") or () if isinstance(p.get("tries"), int) and p["tries"]]
        if pods:
            fields["pods_rate"] = sum(p.get("ok", 0) for p in pods) / sum(p["tries"] for p in pods)
            fields["restarts"] = sum(int(p.get("restarts") or 0) for p in pods)
            fields["oom"] = any(p.get("oom_at") for p in pods)
        qps = one.detail.get("qps")
        if isinstance(qps, (int, float)):
            fields["qps"] = float(qps)
    return fields


def _status(seen: Sequence[Observation]) -> dict[str, Any]:
    """Incidents the vendor itself has open."""
    told = [o for o in seen if o.ok and isinstance(o.detail.get("open"), int)]
    if not told:
        return {}
    incidents = [i for o in told for i in o.detail.get("incidents") or ()]
    title = str(incidents[0].get("title", "")) if incidents else ""
    return {"open": max(int(o.detail["open"]) for o in told), "title": title}


_READERS: Mapping[str, tuple[str, Callable[[Sequence[Observation]], dict[str, Any]]]] = {
    "dns_top": ("top", _top),
    "mtu": ("mtu", _mtu),
    "trace": ("trace", _trace),
    "coredns": ("coredns", _coredns),
    "status_page": ("status", _status),
}
EXTRA_FIELDS: Mapping[str, Mapping[str, type]] = {
    "top": {"client": str, "qps": float, "share": float, "distinct": int, "total_qps": float, "source": str},
    "mtu": {"black_hole": bool, "path_mtu": int},
    "trace": {"reached": bool, "last": str, "hops": int},
    "coredns": {
        "ready": int,
        "nodes": int,
        "wanted": int,
        "pods_rate": float,
        "restarts": int,
        "oom": bool,
        "qps": float,
    },
    "status": {"open": int, "title": str},
}
"""The vocabulary rules may use, for `playbook check`."""
