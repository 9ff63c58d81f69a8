from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bot.agent.credentials import service_account
from bot.domain.failure import Failure
from bot.lab.pki import Authority
from bot.probes.base import Denied
from bot.probes.cluster.kubernetes import Unreadable, Wanted, cluster
from tests.probes.conftest import MakeContext
from tests.probes.http_api import TOKEN
from tests.probes.kubernetes_server import Cluster, account
from tests.probes.servers import HOST, site, tls_of

OWN = Wanted(url=None, address=None, login="", timeout_s=4)
NODES = Cluster({"/api/v1/nodes": [{"metadata": {"name": f"n{i}", "labels": {"odd": str(i % 2)}}} for i in range(250)]})


async def test_lists_come_by_pages_and_only_as_many_as_wanted(
    context: MakeContext, authority: Authority, tmp_path: Path
) -> None:
    async with site(NODES, tls_of(authority, tmp_path, (HOST,))) as server:
        ctx = replace(context(), service_account=account(tmp_path / "sa", authority, server.port))
        api = cluster("coredns", OWN, ctx)
        rows, more = await api.items("/api/v1/nodes")
        assert ([r["metadata"]["name"] for r in rows], more) == ([f"n{i}" for i in range(250)], False)
        rows, more = await api.items("/api/v1/nodes", most=30)
        assert (len(rows), more) == (30, True)
        assert len((await api.items("/api/v1/nodes", selector="odd=1"))[0]) == 125
        before = len(NODES.seen)
        assert await api.count("/api/v1/nodes") == 250
        assert len(NODES.seen) - before == 1


async def test_the_clusters_ca_is_trusted_and_no_other_server_gets_the_token(
    context: MakeContext, authority: Authority, tmp_path: Path
) -> None:
    cluster_ca = Authority("cluster")
    for trusted, served, works in ((cluster_ca, cluster_ca, True), (cluster_ca, Authority("stranger"), False)):
        async with site(NODES, tls_of(served, tmp_path, (HOST,))) as server:
            folder = tmp_path / f"sa-{works}"
            ctx = replace(context(), service_account=account(folder, trusted, server.port))
            asked = cluster("coredns", OWN, ctx).count("/api/v1/nodes")
            if works:
                assert await asked == 250
            else:
                with pytest.raises(Unreadable) as caught:
                    await asked
                assert caught.value.failure is Failure.TLS_UNTRUSTED
                assert server.requests == []


@pytest.mark.parametrize(
    ("token", "path", "failure"),
    [
        ("stale-canary", "/api/v1/nodes", Failure.API_BAD_CREDENTIAL),
        (TOKEN, "/api/v1/secrets", Failure.API_DENIED),
        (TOKEN, "/api/v1/unicorns", Failure.API_ERROR),
    ],
)
async def test_a_refusal_is_told_without_the_token(
    context: MakeContext, authority: Authority, tmp_path: Path, token: str, path: str, failure: Failure
) -> None:
    api = Cluster({"/api/v1/nodes": [], "/api/v1/secrets": []}, forbidden=frozenset({"secrets"}))
    async with site(api, tls_of(authority, tmp_path, (HOST,))) as server:
        ctx = replace(context(), service_account=account(tmp_path / "sa", authority, server.port, token))
        with pytest.raises(Unreadable) as caught:
            await cluster("coredns", OWN, ctx).get(path)
    assert caught.value.failure is failure
    assert caught.value.reason
    assert token not in caught.value.reason


async def test_the_policy_is_asked_about_the_api_server_too(
    context: MakeContext, authority: Authority, tmp_path: Path
) -> None:
    ctx = context(policy="allow: [{network: 127.0.0.0/8, ports: any, kinds: [dns]}]\n")
    ctx = replace(ctx, service_account=account(tmp_path / "sa", authority, 443))
    with pytest.raises(Denied):
        await cluster("coredns", OWN, ctx).get("/api/v1/nodes")


def test_the_account_is_that_of_the_pod(tmp_path: Path) -> None:
    environ = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "6443"}
    assert service_account(environ, tmp_path) is None
    (tmp_path / "token").write_text("t")
    found = service_account(environ, tmp_path)
    assert found is not None
    assert (found.host, found.port, found.folder) == ("10.96.0.1", 6443, tmp_path)
    assert service_account({}, tmp_path) is None
    assert service_account({**environ, "KUBERNETES_SERVICE_HOST": "evil.example"}, tmp_path) is None
