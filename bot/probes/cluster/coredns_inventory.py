"""What the Kubernetes API knows of the cluster's DNS: replicas, pods, ClusterIP, number of nodes.

It lists, and needs leave to list: deployments.apps, pods and services in the namespace, and nodes.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from bot.domain.failure import Failure
from bot.domain.probe import Json
from bot.probes.base import BadParams, Denied
from bot.probes.cluster.kubernetes import Cluster, Unreadable, integer, mapping, text
from bot.probes.params import literal

MAX_PODS = 50
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Inventory:
    """What could be read; `lacking` says of the rest why not, `failure` is the first such reason."""

    replicas: Mapping[str, Json] | None = None
    pods: Sequence[Mapping[str, Json]] = ()
    cluster_ip: str | None = None
    nodes: int | None = None
    lacking: Sequence[str] = ()
    failure: Failure | None = None


async def inventory(cluster: Cluster, namespace: str, selector: str) -> Inventory:
    """Ask for everything at once; what is refused is left out and named."""
    inside = f"/api/v1/namespaces/{namespace}"
    lacking: list[str] = []
    failures: list[Failure] = []

    async def part(name: str, asked: Awaitable[T]) -> T | None:
        try:
            return await asked
        except Unreadable as exc:
            failures.append(exc.failure)
            lacking.append(f"{name}: {exc.reason or exc.failure.value}")
        except Denied as exc:
            failures.append(Failure.POLICY_DENIED)
            lacking.append(f"{name}: {exc}")
        return None

    apps = f"/apis/apps/v1/namespaces/{namespace}/deployments"
    deployments, pods, services, nodes = await asyncio.gather(
        part("deployments", cluster.items(apps, selector=selector, most=5)),
        part("pods", cluster.items(f"{inside}/pods", selector=selector, most=MAX_PODS)),
        part("services", cluster.items(f"{inside}/services", selector=selector, most=5)),
        part("nodes", cluster.count("/api/v1/nodes")),
    )
    return Inventory(
        replicas=replicas(deployments[0]) if deployments else None,
        pods=[pod(row) for row in pods[0]] if pods else (),
        cluster_ip=cluster_ip(services[0]) if services else None,
        nodes=nodes,
        lacking=lacking,
        failure=failures[0] if failures else None,
    )


def replicas(deployments: Sequence[Mapping[str, Any]]) -> dict[str, Json] | None:
    """Wanted and ready replicas of all of them (apps/v1 DeploymentSpec: 1 where it does not say)."""
    if not deployments:
        return None
    wanted = sum(integer(mapping(d, "spec").get("replicas", 1)) for d in deployments)
    return {"wanted": wanted, "ready": sum(integer(mapping(d, "status").get("readyReplicas")) for d in deployments)}


def pod(row: Mapping[str, Any]) -> dict[str, Json]:
    """One pod: address, name, node, ready, restarts, oom_at (when it last ran out of memory)."""
    status = mapping(row, "status")
    containers = status.get("containerStatuses")
    states = [c for c in containers if isinstance(c, Mapping)] if isinstance(containers, list) else []
    ends = [mapping(c, where, "terminated") for c in states for where in ("lastState", "state")]
    ooms = sorted(text(end.get("finishedAt"), 40) for end in ends if end.get("reason") == "OOMKilled")
    return {
        "address": _address(status.get("podIP")),
        "name": text(mapping(row, "metadata").get("name")),
        "node": text(mapping(row, "spec").get("nodeName")),
        "phase": text(status.get("phase"), 20),
        "ready": bool(states) and all(c.get("ready") is True for c in states),
        "restarts": sum(integer(c.get("restartCount")) for c in states),
        "oom_at": ooms[-1] if ooms else None,
    }


def cluster_ip(services: Sequence[Mapping[str, Any]]) -> str | None:
    """The first ClusterIP; a headless service has none."""
    found = (_address(mapping(row, "spec").get("clusterIP")) for row in services)
    return next((address for address in found if address), None)


def sizing(nodes: int, qps: float | None) -> dict[str, Json]:
    """How many replicas the vendors' published formulas want.

    Tencent TKE: min(max(ceil(QPS / 10000), ceil(nodes / 8)), 10). EKS: max(nodes / 16, cores / 256), and at least 2;
    cores are not known here.
    """
    return {
        "nodes": nodes,
        "tencent": min(max(math.ceil((qps or 0) / 10_000), math.ceil(nodes / 8), 1), 10),
        "eks_by_nodes": max(math.ceil(nodes / 16), 2),
    }


def _address(value: Any) -> str | None:
    try:
        return literal(value, "address") if isinstance(value, str) else None
    except BadParams:
        return None
