"""A Kubernetes API server as far as the probes ask it: bearer tokens, RBAC by resource, selectors, paging."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.lab.pki import Authority
from bot.probes.base import ServiceAccount
from tests.probes.http_api import TOKEN, Asked, asked, said
from tests.probes.servers import HOST

DNS = {"k8s-app": "kube-dns"}
Row = dict[str, Any]


@dataclass
class Cluster:
    """`lists` maps a path to its objects; `forbidden` are resources that the account may not list."""

    lists: Mapping[str, Sequence[Row]]
    forbidden: frozenset[str] = frozenset()
    token: str = TOKEN
    seen: list[Asked] = field(default_factory=list)

    def __call__(self, request: bytes) -> bytes:
        one = asked(request)
        self.seen.append(one)
        shown = one.headers.get("authorization", "")
        if shown != f"Bearer {self.token}":
            return self._status(401, "Unauthorized", f"Unauthorized: {shown}")
        if one.method != "GET":
            return self._status(403, "Forbidden", "read only")
        if one.path not in self.lists:
            return self._status(404, "NotFound", "the server could not find the requested resource")
        resource = one.path.rsplit("/", 1)[1]
        if resource in self.forbidden:
            return self._status(403, "Forbidden", f'{resource} is forbidden: User "{shown}" cannot list resource')
        return said(self._page(one))

    def _page(self, one: Asked) -> Row:
        wanted = dict(pair.split("=") for pair in one.query.get("labelSelector", "").split(",") if pair)
        rows = [r for r in self.lists[one.path] if wanted.items() <= r["metadata"].get("labels", {}).items()]
        limit, start = int(one.query.get("limit", "500")), int(one.query.get("continue", "0"))
        left = len(rows) - start - limit
        meta: Row = {"resourceVersion": "7"}
        if left > 0:
            meta |= {"continue": str(start + limit)}
            if not wanted:  # the real server counts only lists without a selector
                meta |= {"remainingItemCount": left}
        return {"kind": "List", "metadata": meta, "items": rows[start : start + limit]}

    def _status(self, code: int, reason: str, message: str) -> bytes:
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason}
        return said({**body, "code": code}, f"{code} {reason}")


def account(folder: Path, authority: Authority, port: int, token: str = TOKEN) -> ServiceAccount:
    """What Kubernetes mounts into a pod."""
    folder.mkdir(exist_ok=True)
    (folder / "token").write_text(f"{token}\n")
    (folder / "ca.crt").write_bytes(authority.certificate)
    (folder / "namespace").write_text("warroom")
    return ServiceAccount(host=HOST, port=port, folder=folder)


def pod(address: str | None, number: int, **status: Any) -> Row:
    container = {"name": "coredns", "ready": True, "restartCount": 0, "state": {}, "lastState": {}, **status}
    return {
        "metadata": {"name": f"coredns-{number}", "labels": DNS},
        "spec": {"nodeName": f"node-{number}"},
        "status": {"phase": "Running", "podIP": address, "containerStatuses": [container]},
    }


def deployment(replicas: int, ready: int) -> Row:
    meta = {"name": "coredns", "namespace": "kube-system", "labels": DNS}
    return {"metadata": meta, "spec": {"replicas": replicas}, "status": {"readyReplicas": ready}}


def dns_cluster(pods: Sequence[Row], *, nodes: int, cluster_ip: str, **more: Any) -> Cluster:
    inside = "/api/v1/namespaces/kube-system"
    service = {"metadata": {"name": "kube-dns", "labels": DNS}, "spec": {"clusterIP": cluster_ip}}
    other = {"metadata": {"name": "metrics-server", "labels": {}}, "spec": {"clusterIP": "10.0.0.1"}}
    return Cluster(
        {
            "/apis/apps/v1/namespaces/kube-system/deployments": [deployment(2, len(pods))],
            f"{inside}/pods": [*pods, pod("10.9.9.9", 99) | {"metadata": {"name": "other", "labels": {}}}],
            f"{inside}/services": [other, service],
            "/api/v1/nodes": [{"metadata": {"name": f"node-{i}"}} for i in range(nodes)],
        },
        **more,
    )


def dumped(cluster: Cluster) -> str:
    return json.dumps([[one.method, one.path, one.query] for one in cluster.seen])
