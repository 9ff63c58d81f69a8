from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bot.domain.change import ChangeKind
from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Outcome
from bot.lab.loopback import tc3
from bot.lab.pki import Authority
from bot.probes.cluster.rollouts import rollouts
from bot.probes.table import run
from bot.probes.vendor.cloudaudit import kind_of
from bot.wire.details import believable
from tests.probes.conftest import MakeContext
from tests.probes.http_api import TOKEN, Asked, asked, said
from tests.probes.kubernetes_server import Cluster, Row, account
from tests.probes.servers import HOST, site, tls_of

KEY = {
    "WARROOM_TENCENT_SECRET_ID": "AKIDcanary0123456789",
    "WARROOM_TENCENT_SECRET_KEY": "canary-secret",
    "WARROOM_TENCENT_HOSTS": "audit.test",
}
SINCE = datetime(2026, 11, 24, tzinfo=UTC)


def ago(hours: float) -> str:
    return (datetime.now(UTC) - timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%SZ")


def replica_set(number: int, created: str, *images: str, name: str = "sms", **notes: str) -> Row:
    annotations = {"deployment.kubernetes.io/revision": str(number), **notes}
    return {
        "metadata": {
            "namespace": "shop",
            "name": f"{name}-{number}",
            "creationTimestamp": created,
            "annotations": annotations,
            "ownerReferences": [{"kind": "Deployment", "name": name}],
        },
        "spec": {"template": {"spec": {"containers": [{"name": "app", "image": image} for image in images]}}},
    }


def deployment(updated: str, name: str = "sms") -> Row:
    condition = {"type": "Progressing", "status": "True", "lastUpdateTime": updated}
    return {"metadata": {"namespace": "shop", "name": name}, "status": {"conditions": [condition]}}


class CloudAudit:
    """DescribeEvents of CloudAudit 2019-03-19: signed, 50 a page, 2 pages."""

    def __init__(self, events: list[dict[str, Any]], code: str = "") -> None:
        self.events, self.code = events, code
        self.calls = 0

    def __call__(self, request: bytes) -> bytes:
        one = asked(request)
        try:
            return said({"Response": {**self._events(one), "RequestId": "r"}})
        except tc3.Refused as refused:
            told = f"{refused.message} {one.headers.get('authorization')}"
            return said({"Response": {"Error": {"Code": refused.code, "Message": told}, "RequestId": "r"}})

    def _events(self, one: Asked) -> dict[str, Any]:
        keys = {KEY["WARROOM_TENCENT_SECRET_ID"]: "canary-secret"}
        tc3.check(one.headers, one.body, method=one.method, query="", service="cloudaudit", keys=keys, now=time.time())
        if self.code:
            raise tc3.Refused(self.code, "no")
        assert (one.headers["x-tc-action"], one.headers["x-tc-version"]) == ("DescribeEvents", "2019-03-19")
        given = one.json
        if given["MaxResults"] > 50 or given["EndTime"] - given["StartTime"] > 7 * 86400:
            raise tc3.Refused("InvalidParameterValue.MaxResult", "too many")
        assert given["LookupAttributes"] == [{"AttributeKey": "ActionType", "AttributeValue": "Write"}]
        start = given.get("NextToken", 0)
        self.calls += 1
        over = start + given["MaxResults"] >= len(self.events)
        page = self.events[start : start + given["MaxResults"]]
        return {"ListOver": over, "Events": page, "NextToken": start + given["MaxResults"], "TotalCount": 7}


def event(name: str, hours: float, service: str = "cam", **more: Any) -> dict[str, Any]:
    return {
        "EventId": "e",
        "Username": "li",
        "EventTime": str(int(time.time() - hours * 3600)),
        "EventName": name,
        "EventNameCn": "",
        "ErrorCode": 0,
        "SecretId": "AKIDofsomebodyelse",
        "Resources": {"ResourceType": service, "ResourceName": "policy/7"},
        **more,
    }


class Asking:
    """Runs the probe against an API server and CloudAudit."""

    def __init__(self, context: MakeContext, authority: Authority, folder: Path) -> None:
        self.context, self.authority, self.folder = context, authority, folder

    async def __call__(self, cluster: Cluster, audit: CloudAudit, keys: dict[str, str] = KEY, **more: Any) -> Outcome:
        tls = tls_of(self.authority, self.folder, (HOST, "audit.test"))
        async with site(cluster, tls) as api, site(audit, tls) as cloud:
            ctx = self.context(**keys)
            ctx = replace(ctx, service_account=account(self.folder / "sa", self.authority, api.port))
            where = {"audit_url": f"https://audit.test:{cloud.port}", "audit_address": HOST, "env": "prod"}
            return await run("changes", {**where, **more}, ctx, 20)


@pytest.fixture
def ask(context: MakeContext, authority: Authority, tmp_path: Path) -> Asking:
    return Asking(context, authority, tmp_path)


def shop(*sets: Row, forbidden: str = "") -> Cluster:
    paths = ("replicasets", "namespaces/shop/replicasets", "deployments", "namespaces/shop/deployments")
    lists = {f"/apis/apps/v1/{path}": sets if path.endswith("sets") else () for path in paths}
    return Cluster(lists, forbidden=frozenset({forbidden}))


async def test_rollouts_and_permission_changes_are_one_list_newest_first(ask: Asking) -> None:
    cluster = shop(replica_set(6, ago(90), "sms:1.4.1"), replica_set(7, ago(1), "sms:1.4.2"))
    seen = await ask(cluster, CloudAudit([event("DetachUserPolicy", 0.5), event("ModifyLoadBalancer", 2, "clb")]))
    assert (seen.ok, seen.detail["total"], seen.detail["more"], seen.detail["lacking"]) == (True, 3, False, [])
    rows = [(row["kind"], row["title"], row["source"]) for row in seen.detail["changes"]]
    assert rows == [
        ("permission", "DetachUserPolicy policy/7", "cloudaudit"),
        ("deploy", "shop/sms revision 7: sms:1.4.1 → sms:1.4.2", "kubernetes"),
        ("config", "ModifyLoadBalancer policy/7", "cloudaudit"),
    ]
    first = seen.detail["changes"][0]
    assert (first["who"], first["env"], first["service"]) == ("li", "prod", "cam")
    assert datetime.fromisoformat(first["at"]).utcoffset() == timedelta(0)
    assert set(seen.timings_ms) == {"kubernetes", "cloudaudit"}
    assert "AKID" not in str(seen)
    assert believable(seen.detail) == seen.detail


async def test_only_the_last_hours_count(ask: Asking) -> None:
    cluster = shop(replica_set(6, ago(90), "sms:1.4.1"), replica_set(7, ago(5), "sms:1.4.2"))
    assert (await ask(cluster, CloudAudit([]), hours=4)).detail["changes"] == []
    assert len((await ask(cluster, CloudAudit([]), hours=6)).detail["changes"]) == 1


async def test_events_come_by_pages_and_refused_calls_changed_nothing(ask: Asking) -> None:
    audit = CloudAudit([event("ModifyX", i / 100, ErrorCode=4101 if i % 2 else 0) for i in range(120)])
    seen = await ask(shop(), audit)
    assert (audit.calls, seen.detail["total"], seen.detail["more"]) == (3, 60, False)
    seen = await ask(shop(), CloudAudit([event("ModifyX", i / 100) for i in range(500)]))
    assert (seen.detail["total"], len(seen.detail["changes"]), seen.detail["more"]) == (200, 100, True)


async def test_one_source_may_be_lacking_and_says_why(ask: Asking) -> None:
    seen = await ask(shop(replica_set(1, ago(1), "sms:1")), CloudAudit([], code="UnauthorizedOperation"))
    assert (seen.ok, seen.detail["total"]) == (True, 1)
    assert seen.detail["lacking"][0].startswith("cloudaudit: UnauthorizedOperation: no")
    assert "canary" not in str(seen)
    seen = await ask(shop(forbidden="replicasets"), CloudAudit([]))
    assert (seen.ok, seen.detail["lacking"][0].startswith("kubernetes: replicasets is forbidden")) == (True, True)
    assert TOKEN not in str(seen)


async def test_the_tencent_key_signs_for_tencent_only(ask: Asking) -> None:
    keys = {**KEY, "WARROOM_TENCENT_HOSTS": "tencentcloudapi.com"}
    seen = await ask(shop(), CloudAudit([]), keys=keys, sources=["cloudaudit"])
    assert (seen.failure, seen.fault_of) == (Failure.POLICY_DENIED, FaultOf.POLICY)


async def test_without_any_source_the_probe_fails(ask: Asking, context: MakeContext) -> None:
    seen = await ask(shop(forbidden="replicasets"), CloudAudit([]), keys={})
    assert (seen.failure, seen.fault_of) == (Failure.API_DENIED, FaultOf.TARGET)
    seen = await run("changes", {}, context(), 10)
    assert (seen.failure, seen.fault_of) == (Failure.NO_CREDENTIAL, FaultOf.AGENT)


async def test_namespaces_and_sources_may_be_named(ask: Asking) -> None:
    cluster = shop(replica_set(1, ago(1), "sms:1"))
    seen = await ask(cluster, CloudAudit([]), sources=["kubernetes"], namespaces=["shop"])
    assert (seen.ok, seen.detail["total"]) == (True, 1)
    assert cluster.seen[0].path == "/apis/apps/v1/namespaces/shop/replicasets"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"sources": "jenkins"}, "sources"),
        ({"namespaces": ["../nodes"]}, "namespaces"),
        ({"audit_url": "http://audit.test"}, "https"),
        ({"hours": 1000}, "hours"),
    ],
)
async def test_what_cannot_be_asked_is_refused(context: MakeContext, more: dict[str, Any], says: str) -> None:
    seen = await run("changes", more, context(), 10)
    assert (seen.failure, says in seen.detail["reason"]) == (Failure.UNSUPPORTED, True)


def titles(sets: list[Row], deployments: tuple[Row, ...] = ()) -> list[tuple[str, str]]:
    found = rollouts(sets, deployments, since=SINCE, env="")
    return [(change.kind.value, change.title) for change in found]


def test_a_template_without_a_new_image_is_a_change_of_configuration() -> None:
    sets = [replica_set(1, "2026-11-20T00:00:00Z", "sms:1"), replica_set(2, "2026-11-24T01:00:00Z", "sms:1")]
    assert titles(sets) == [("config", "shop/sms revision 2: pod template changed, same images")]


def test_going_back_is_told_at_the_moment_the_deployment_settled() -> None:
    again = {"deployment.kubernetes.io/revision-history": "1"}
    sets = [replica_set(3, "2026-11-20T00:00:00Z", "sms:1", **again), replica_set(2, "2026-11-23T00:00:00Z", "sms:2")]
    (change,) = rollouts(sets, [deployment("2026-11-24T02:00:00Z")], since=SINCE, env="")
    assert (change.kind, change.title) == (ChangeKind.DEPLOY, "shop/sms revision 3: back to sms:1")
    assert change.at == SINCE + timedelta(hours=2)
    assert titles(sets) == []


def test_the_cause_that_kubectl_records_is_shown_without_secrets() -> None:
    cause = {"kubernetes.io/change-cause": "kubectl set env deploy/sms DB_PASSWORD=canary"}
    ((_, title),) = titles([replica_set(1, "2026-11-24T01:00:00Z", "sms:1", **cause)])
    assert title == "shop/sms revision 1: sms:1 (kubectl set env deploy/sms DB_PASSWORD=***)"


def test_rows_of_other_owners_and_broken_rows_are_passed_over() -> None:
    orphan = replica_set(1, "2026-11-24T01:00:00Z", "x")
    orphan["metadata"]["ownerReferences"] = [{"kind": "Rollout", "name": "x"}]
    broken: list[Row] = [
        {},
        {"metadata": None},
        replica_set(1, "whenever", "x"),
        {"metadata": {"ownerReferences": [7]}},
    ]
    assert titles([orphan, *broken], ({}, {"status": {"conditions": 7}})) == []


@pytest.mark.parametrize(
    ("service", "name", "kind"),
    [
        ("cam", "UpdatePolicy", "permission"),
        ("cvm", "ModifySecurityGroupPolicies", "permission"),
        ("sms", "AddIpAllowlist", "permission"),
        ("tke", "RollbackClusterRelease", "deploy"),
        ("clb", "ModifyListener", "config"),
    ],
)
def test_an_action_tells_what_it_changed(service: str, name: str, kind: str) -> None:
    assert kind_of(service, name).value == kind
