"""What a run needs on disk: certificates, the servers' world, agents' policies, resolvers' configuration, playbooks."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from bot.domain.playbook import Playbook
from bot.lab.loopback.playbooks import shipped_playbooks
from bot.lab.netns.effects import Effects
from bot.lab.netns.layout import Layout, ServicePlace, VantagePlace
from bot.lab.netns.models import DATABASES, ScenarioModel, ServiceModel
from bot.lab.netns.resolvers import clients, log_file, resolvers
from bot.lab.pki import Authority

PRIVATE = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")
PADDING = 40
"""Further names in each certificate, so that it does not fit into one small packet: real chains do not either."""


def prepare(folder: Path, scenario: ScenarioModel, layout: Layout) -> None:
    """Everything that stays the same while faults come and go."""
    for part in ("agents", "logs", "queries", "pki", "state", "playbooks"):
        (folder / part).mkdir(parents=True)
    for place in resolvers(layout):
        log_file(folder, place.id).touch()
    _certificates(folder, [*layout.services.values(), *layout.controls.values()])
    for vantage in layout.vantages():
        _dump(_policy(folder, vantage), folder / "agents" / f"{vantage.name}.yaml")
    shutil.copytree(shipped_playbooks() / "hypotheses", folder / "playbooks" / "hypotheses")
    _dump(playbook(scenario, layout), folder / "playbooks" / "lab.yaml")


def world(
    version: int,
    scenario: ScenarioModel,
    layout: Layout,
    effects: Sequence[Effects],
    *,
    keys: Mapping[str, str],
    namespaces: Path,
) -> str:
    """world.json of `bot.lab.netns.serve`; `namespaces` is a path to which a namespace's name is added."""
    settings: dict[str, dict[str, Any]] = {}
    for one in effects:
        for key, values in one.sites.items():
            settings.setdefault(key, {}).update(values)
    given = {**scenario.services, **{host: ServiceModel(host=host) for host in layout.controls}}
    places = {**layout.services, **layout.controls}
    silent = [layout.vpc(name).uplink for one in effects for name in one.servfail]
    return json.dumps(
        {
            "version": version,
            "authority": layout.authority,
            "ttl_s": scenario.internet.ttl_s,
            "clients": dict(clients(layout)),
            "zones": _zones(layout),
            "keys": dict(keys),
            "listeners": [
                _listener(place, given[key], address, namespaces)
                for key, place in places.items()
                for address in place.everywhere
            ],
            "settings": settings,
            "servfail": silent,
        },
        indent=1,
    )


def playbook(scenario: ScenarioModel, layout: Layout) -> dict[str, Any]:
    """The playbook of a scenario: its own, a shipped one, or one made from its services with the usual steps."""
    if isinstance(scenario.playbook, str):
        found: dict[str, Any] = YAML(typ="safe").load((shipped_playbooks() / f"{scenario.playbook}.yaml").read_text())
        return found
    if scenario.playbook is not None:
        return dict(scenario.playbook)
    targets = {key: service for key, service in scenario.services.items() if service.target}
    first = next(iter(targets))
    made: dict[str, Any] = {
        "playbook": first if re.fullmatch(r"[a-z][a-z0-9_-]{0,39}", first) else "lab",
        "title": f"{first} does not work",
        "env": list(dict.fromkeys(v.env for v in layout.vantages())),
        "targets": {key: service.url for key, service in targets.items()},
        "own": [key for key, service in targets.items() if service.own],
        "controls": [f"https://{control.host}" for control in scenario.controls],
        "probe": [step for key, service in targets.items() for step in _steps(key, service)],
        "then": _later(targets, layout),
    }
    if any(s.kind in ("tencent_api", "cos") for s in targets.values()):
        made["vendor"] = "tencent"
    if any(vpc.cluster for vpc in layout.vpcs):
        made["internal"] = ["kubernetes.default.svc.cluster.local"]
    if scenario.expected_vantages:
        made["expect"] = [{"vantage": v.kind, "region": v.region} for v in layout.vantages()]
    return made


def read_back(document: Mapping[str, Any], read: Callable[[str], Playbook]) -> Playbook:
    """The playbook as the bot will read it. Raises PlaybookError."""
    return read(json.dumps(document))


def _later(targets: Mapping[str, ServiceModel], layout: Layout) -> list[dict[str, Any]]:
    """What is asked when a leading cause wants it."""
    steps: list[dict[str, Any]] = [{"dns_top": {"seconds": 3}}]
    for vpc in layout.vpcs:
        if vpc.cluster:
            steps.append({"coredns": {"pods": list(vpc.cluster.pods), "from": vpc.name}})
    sites = [key for key, service in targets.items() if service.kind not in DATABASES]
    return [*steps, {"mtu": {"to": sites}}, {"trace": {"to": sites}}] if sites else steps


def _steps(key: str, service: ServiceModel) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [{"dns": {"of": key, "via": ["host", "vpc", "public"], "tries": 20, "within": "5s"}}]
    if service.kind in DATABASES:
        return [*steps, {service.kind: {"to": key}}]
    http: dict[str, Any] = {"to": key, "also": "pinned"}
    if service.kind == "web":
        http |= {"path": service.path, "expect_status": [200]}
    steps += [{"http": http}, {"tcp": {"to": key, "ports": [80]}}]
    if service.kind == "tencent_api":
        api = service.api
        asked = {k: getattr(api, k) for k in ("service", "action", "version", "region", "payload")}
        steps.append({"api": {"to": key, **asked, "signed": [False, True]}})
    if service.kind == "cos":
        steps.append({"object_store": {"to": key, "vendor": "cos"}})
    return steps


def _zones(layout: Layout) -> dict[str, dict[str, str]]:
    public = [s for s in (*layout.services.values(), *layout.controls.values()) if not s.private_name]
    return {
        region: {s.host: s.addresses.get(region, s.addresses[""]) for s in public} for region in ("", *layout.regions)
    }


def _listener(place: ServicePlace, given: ServiceModel, address: str, namespaces: Path) -> dict[str, Any]:
    return {
        "key": place.key,
        "host": place.host,
        "kind": place.kind,
        "namespace": f"{namespaces}{place.ns}",
        "address": address,
        "port": place.port,
        "neighbour": place.port == 443,
        "delay_ms": given.delay_ms,
        "connections": given.connections,
        "api": {key: getattr(given.api, key) for key in ("service", "action", "version", "result")},
    }


def _certificates(folder: Path, places: Sequence[ServicePlace]) -> None:
    authority, stranger = Authority(), Authority("Nobody's CA")
    (folder / "ca.pem").write_bytes(authority.certificate)
    past = {"begins": timedelta(days=-200), "ends": timedelta(hours=-2)}
    for host in dict.fromkeys(p.host for p in places if p.kind not in DATABASES):
        names = [host, *(f"edge-{n:02d}.{host}" for n in range(PADDING))]
        leaves = {
            "good": authority.issue(names),
            "expired": authority.issue(names, **past),
            "untrusted": stranger.issue(names),
            "wrong_host": authority.issue(["default.invalid", *(f"edge-{n:02d}.invalid" for n in range(PADDING))]),
        }
        for which, leaf in leaves.items():
            path = folder / "pki" / f"{host}.{which}.pem"
            with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
                out.write(leaf.certificate + leaf.key)


def _policy(folder: Path, vantage: VantagePlace) -> dict[str, Any]:
    """As an operator would write it: the private networks, the resolvers, the lab's authority."""
    policy: dict[str, Any] = {
        "allow": [{"network": network, "ports": "any", "kinds": "any"} for network in PRIVATE],
        "resolvers": {kind: [address] for kind, address in vantage.resolvers.items()},
        "tls": {"ca_file": "../ca.pem"},
        "capture": vantage.capture,
    }
    if vantage.kinds is not None:
        policy["kinds"] = list(vantage.kinds)
    if vantage.log_of:
        path = os.path.relpath(log_file(folder, f"vpc-{vantage.log_of}"), folder / "agents")
        policy["query_log"] = {"path": path, "format": "unbound"}
    return policy


def _dump(document: Mapping[str, Any], path: Path) -> None:
    """JSON is YAML, without anchors for what is written twice."""
    path.write_text(json.dumps(document, ensure_ascii=False, indent=1), encoding="utf-8")
