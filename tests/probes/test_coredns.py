from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Outcome
from bot.lab.pki import Authority
from bot.probes.cluster.coredns_inventory import sizing
from bot.probes.cluster.coredns_metrics import Between, quantile, scrape, told
from bot.probes.table import run
from bot.wire.details import believable
from tests.ports import free_port
from tests.probes.conftest import MakeContext, Resolver
from tests.probes.http_api import TOKEN
from tests.probes.kubernetes_server import Cluster, account, dns_cluster, dumped, pod
from tests.probes.servers import HOST, http, site, tls_of

DEAD = "127.31.0.11"
BEFORE = """
coredns_dns_requests_total{server="dns://:53",zone=".",view="",proto="udp",family="1",type="A"} 1000
coredns_dns_requests_total{server="dns://:53",zone="cluster.local.",view="",proto="udp",family="1",type="A"} 500
coredns_dns_responses_total{server="dns://:53",zone=".",view="",rcode="NOERROR",plugin="forward"} 900
coredns_dns_responses_total{server="dns://:53",zone=".",view="",rcode="SERVFAIL",plugin="forward"} 100
coredns_proxy_request_duration_seconds_bucket{proxy_name="forward",to="10.0.0.2:53",rcode="NOERROR",le="0.01"} 100
coredns_proxy_request_duration_seconds_bucket{proxy_name="forward",to="10.0.0.2:53",rcode="NOERROR",le="2"} 100
coredns_proxy_request_duration_seconds_bucket{proxy_name="forward",to="10.0.0.2:53",rcode="NOERROR",le="+Inf"} 100
coredns_proxy_request_duration_seconds_sum{proxy_name="forward",to="10.0.0.2:53",rcode="NOERROR"} 1
coredns_proxy_request_duration_seconds_count{proxy_name="forward",to="10.0.0.2:53",rcode="NOERROR"} 100
coredns_forward_healthcheck_broken_total 0
coredns_proxy_healthcheck_failures_total{proxy_name="forward",to="10.0.0.2:53"} 3
coredns_cache_hits_total{server="dns://:53",type="success",zones="."} 300
coredns_cache_misses_total{server="dns://:53",zones="."} 700
process_cpu_seconds_total 10.0
"""
AFTER = """
coredns_dns_requests_total{server="dns://:53",zone=".",view="",proto="udp",family="1",type="A"} 3000
coredns_dns_requests_total{server="dns://:53",zone="cluster.local.",view="",proto="udp",family="1",type="A"} 600
coredns_dns_responses_total{server="dns://:53",zone=".",view="",rcode="NOERROR",plugin="forward"} 2400
coredns_dns_responses_total{server="dns://:53",zone=".",view="",rcode="SERVFAIL",plugin="forward"} 600
coredns_proxy_request_duration_seconds_bucket{proxy_name="forward",to="10.0.0.2:53",rcode="NOERROR",le="0.01"} 150
coredns_proxy_request_duration_seconds_bucket{proxy_name="forward",to="10.0.0.2:53",rcode="NOERROR",le="2"} 200
coredns_proxy_request_duration_seconds_bucket{proxy_name="forward",to="10.0.0.2:53",rcode="NOERROR",le="+Inf"} 200
coredns_proxy_request_duration_seconds_sum{proxy_name="forward",to="10.0.0.2:53",rcode="NOERROR"} 101
coredns_proxy_request_duration_seconds_count{proxy_name="forward",to="10.0.0.2:53",rcode="NOERROR"} 200
coredns_proxy_healthcheck_failures_total{proxy_name="forward",to="10.0.0.2:53"} 5
coredns_cache_hits_total{server="dns://:53",type="success",zones="."} 400
coredns_cache_misses_total{server="dns://:53",zones="."} 1000
process_cpu_seconds_total 10.4
"""


def metrics() -> Any:
    """A :9153 that has grown at each second scrape."""
    turns: Iterator[str] = iter([BEFORE, AFTER] * 20)
    return lambda _: http("200 OK", next(turns).encode(), "Content-Type: text/plain; version=0.0.4")


@pytest.fixture
def ca() -> Authority:
    return Authority("cluster")


class Asking:
    """Runs the probe against an API server, a metrics port and unbound as the pod's DNS."""

    def __init__(self, context: MakeContext, ca: Authority, folder: Path, resolver: Resolver) -> None:
        self.context, self.ca, self.folder, self.resolver = context, ca, folder, resolver

    async def __call__(self, api: Cluster, policy: str = "", **more: Any) -> Outcome:
        async with site(api, tls_of(self.ca, self.folder, (HOST,))) as server, site(metrics()) as counters:
            ctx = self.context(**({"policy": policy} if policy else {}))
            ctx = replace(ctx, service_account=account(self.folder / "sa", self.ca, server.port))
            ports = {"dns_port": self.resolver.port, "metrics_port": counters.port}
            return await run("coredns", {"name": "api.test", "seconds": 1, "tries": 2, **ports, **more}, ctx, 20)


@pytest.fixture
def ask(context: MakeContext, ca: Authority, tmp_path: Path, resolver: Resolver) -> Asking:
    return Asking(context, ca, tmp_path, resolver)


OOM = {"terminated": {"reason": "OOMKilled", "exitCode": 137, "finishedAt": "2026-11-24T03:04:05Z"}}


async def test_replicas_pods_nodes_and_rates_come_together(ask: Asking) -> None:
    api = dns_cluster([pod(HOST, 1, restartCount=4, lastState=OOM)], nodes=300, cluster_ip=HOST)
    seen = await ask(api)
    detail = seen.detail
    assert (seen.ok, detail["tries"], detail["ok"], detail.get("lacking")) == (True, 4, 4, [])
    assert (detail["replicas"], detail["nodes"]) == ({"wanted": 2, "ready": 1}, 300)
    assert detail["sizing"] == {"nodes": 300, "tencent": 10, "eks_by_nodes": 19}
    (row,) = detail["pods"]
    assert (row["address"], row["node"], row["ready"]) == (HOST, "node-1", True)
    assert (row["restarts"], row["oom_at"]) == (4, "2026-11-24T03:04:05Z")
    assert (row["tries"], row["ok"], row["healthcheck_failures"]) == (2, 2, 2)
    assert row["qps"] == pytest.approx(2100, rel=0.2)
    assert detail["qps"] == row["qps"]
    assert row["rcodes"] == detail["rcodes"] == {"NOERROR": 1500, "SERVFAIL": 500}
    assert (detail["cluster_ip"]["address"], detail["cluster_ip"]["ok"]) == (HOST, 2)
    assert set(seen.timings_ms) == {"api", "dns"}
    assert believable(detail) == detail


async def test_a_pod_that_does_not_answer_fails_and_is_named(ask: Asking) -> None:
    api = dns_cluster([pod(HOST, 1), pod(DEAD, 2), pod(None, 3, ready=False)], nodes=2, cluster_ip="None")
    seen = await ask(api)
    assert (seen.ok, seen.fault_of) == (False, FaultOf.RESOLVER)
    assert seen.success_rate == 0.5
    rows = {row["name"]: row for row in seen.detail["pods"]}
    assert (rows["coredns-1"]["ok"], rows["coredns-2"]["ok"]) == (2, 0)
    assert rows["coredns-2"]["metrics_failure"] == "tcp_refused"
    assert (rows["coredns-3"]["address"], rows["coredns-3"]["ready"]) == (None, False)
    assert "cluster_ip" not in seen.detail


async def test_only_lists_are_read_and_only_those_the_docs_name(ask: Asking) -> None:
    api = dns_cluster([pod(HOST, 1)], nodes=5, cluster_ip=HOST)
    await ask(api)
    assert {one.method for one in api.seen} == {"GET"}
    assert sorted({one.path for one in api.seen}) == [
        "/api/v1/namespaces/kube-system/pods",
        "/api/v1/namespaces/kube-system/services",
        "/api/v1/nodes",
        "/apis/apps/v1/namespaces/kube-system/deployments",
    ]
    assert TOKEN not in dumped(api)


async def test_what_the_account_may_not_list_is_lacking_and_the_rest_is_told(ask: Asking) -> None:
    api = dns_cluster([pod(HOST, 1)], nodes=5, cluster_ip=HOST, forbidden=frozenset({"nodes", "deployments"}))
    seen = await ask(api)
    assert seen.ok
    assert [text.partition(":")[0] for text in seen.detail["lacking"]] == ["deployments", "nodes"]
    assert ("nodes" in seen.detail, len(seen.detail["pods"])) == (False, 1)
    assert TOKEN not in str(seen)


async def test_without_a_cluster_the_pods_may_be_named(context: MakeContext, resolver: Resolver) -> None:
    ports = {"dns_port": resolver.port, "metrics_port": free_port(HOST)}
    asked = {"name": "api.test", "pods": [HOST], "seconds": 1, "tries": 2, **ports}
    seen = await run("coredns", asked, context(), 20)
    assert (seen.ok, seen.detail["pods"][0]["ok"]) == (True, 2)
    assert "no service account" in seen.detail["lacking"][0]
    alone = await run("coredns", {}, context(), 20)
    assert (alone.failure, alone.fault_of) == (Failure.NO_CREDENTIAL, FaultOf.AGENT)
    assert "no service account" in alone.detail["reason"]


async def test_each_part_needs_the_policys_leave(ask: Asking) -> None:
    api = dns_cluster([pod(HOST, 1)], nodes=5, cluster_ip=HOST)
    seen = await ask(api, policy="allow: [{network: 127.0.0.0/8, ports: any, kinds: [coredns]}]\n")
    assert seen.ok
    assert ("tries" in seen.detail, seen.detail["pods"][0]["qps"] > 0) == (False, True)
    assert seen.detail["lacking"][0].startswith("dns: 127.31.0.10 is loopback")
    seen = await ask(api, policy="allow: []\n")
    assert (seen.failure, seen.fault_of) == (Failure.POLICY_DENIED, FaultOf.POLICY)


async def test_a_part_that_is_not_wanted_is_not_asked(ask: Asking) -> None:
    api = dns_cluster([pod(HOST, 1)], nodes=5, cluster_ip=HOST)
    seen = await ask(api, parts="api")
    assert (seen.ok, seen.detail["lacking"]) == (True, [])
    assert not {"qps", "tries", "each"} & seen.detail.keys()


async def test_an_api_url_needs_a_login(context: MakeContext) -> None:
    seen = await run("coredns", {"api_url": "https://k8s.test:6443"}, context(), 20)
    assert (seen.failure, seen.fault_of) == (Failure.NO_CREDENTIAL, FaultOf.AGENT)


async def test_a_login_reaches_an_api_server_from_outside_the_cluster(
    context: MakeContext, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WARROOM_TEST_LOGIN", TOKEN)
    api = dns_cluster([], nodes=5, cluster_ip="None")
    async with site(api, tls_of(authority, tmp_path, ("k8s.test",))) as server:
        url = f"https://k8s.test:{server.port}"
        ctx = context(f'logins: {{ops: {{kind: coredns, for: "{url}", secret_env: WARROOM_TEST_LOGIN}}}}\n')
        asked = {"api_url": url, "api_address": HOST, "login": "ops", "parts": ["api"]}
        seen = await run("coredns", asked, ctx, 20)
    assert (seen.ok, seen.detail["nodes"]) == (True, 5)


def between(before: str, after: str) -> Between:
    return Between(scrape(before, 10.0), scrape(after, 12.0))


def test_two_scrapes_give_rates() -> None:
    assert told(between(BEFORE, AFTER)) == {
        "qps": 1050.0,
        "rcodes": {"NOERROR": 1500, "SERVFAIL": 500},
        "servfail_share": 0.25,
        "cache_hit_share": 0.25,
        "cpu_cores": 0.2,
        "healthcheck_failures": 2,
        "upstreams": [{"to": "10.0.0.2:53", "qps": 50.0, "mean_ms": 1000.0, "p95_ms": 1801.0}],
    }


def test_a_pod_that_was_restarted_in_between_counts_from_nothing() -> None:
    assert told(between(AFTER, BEFORE))["qps"] == 750.0


def test_counters_of_older_versions_are_read_by_their_old_names() -> None:
    old = AFTER.replace("requests_total", "request_count_total").replace(
        "coredns_proxy_request", "coredns_forward_request"
    )
    assert told(between("", old))["qps"] == 1800.0
    assert told(between("", old))["upstreams"][0]["qps"] == 100.0


def test_without_traffic_there_is_no_latency() -> None:
    assert told(between(AFTER, AFTER))["upstreams"] == [
        {"to": "10.0.0.2:53", "qps": 0.0, "mean_ms": None, "p95_ms": None}
    ]
    assert told(between("", "")) == {"rcodes": {}, "upstreams": []}


def test_quantiles_are_those_of_promql() -> None:
    assert quantile([(0.1, 50.0), (0.2, 100.0), (float("inf"), 100.0)], 0.95) == 190.0
    assert quantile([(0.1, 10.0), (float("inf"), 100.0)], 0.95) == 100.0
    assert quantile([], 0.95) is None


@pytest.mark.parametrize(
    ("nodes", "qps", "tencent", "eks"), [(300, None, 10, 19), (8, None, 1, 2), (17, 25_000, 3, 2), (16, 1e6, 10, 2)]
)
def test_the_published_formulas_say_how_many_replicas(nodes: int, qps: float | None, tencent: int, eks: int) -> None:
    assert sizing(nodes, qps) == {"nodes": nodes, "tencent": tencent, "eks_by_nodes": eks}
