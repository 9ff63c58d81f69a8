"""Scenarios drawn at random: what nobody has tuned for, as many as one likes.

A world is drawn first (regions, VPCs, vantage points, services, names and addresses), then one fault, two or none with
a severity and a place, then noise beside it. The verdict that is expected follows from the kind of the fault alone.
Faults are put only where the vantage points can tell what they are: a whole region needs two VPCs that look, a
cluster's DNS a pod and a machine beside it.

    python -m tests.lab.draw --seed 1 --count 30 FOLDER
    warroom lab run FOLDER/*.yaml --keep-going
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Row = dict[str, Any]


@dataclass(kw_only=True)
class World:
    """What is drawn so far. `regions` maps a region to its VPCs, `pods` are VPCs with a cluster."""

    dice: random.Random
    regions: dict[str, dict[str, Row]] = field(default_factory=dict)
    services: dict[str, Row] = field(default_factory=dict)
    controls: list[Row] = field(default_factory=list)
    outside: list[Row] = field(default_factory=list)
    faults: list[Row] = field(default_factory=list)
    traffic: list[Row] = field(default_factory=list)
    changes: list[Row] = field(default_factory=list)
    rehearse: bool = False
    taken: set[str] = field(default_factory=set)

    def name(self) -> str:
        """A word nobody has used yet."""
        while True:
            parts = [self.dice.choice("bdfgklmnprstvz") + self.dice.choice("aeiou") for _ in range(3)]
            word = "".join(parts)
            if word not in self.taken:
                self.taken.add(word)
                return word

    def address(self) -> str:
        """A public address of the documentation range that the lab's Internet has room for."""
        while True:
            found = f"198.51.100.{self.dice.randint(60, 250)}"
            if found not in self.taken:
                self.taken.add(found)
                return found

    @property
    def vpcs(self) -> dict[str, Row]:
        """Every VPC by name."""
        return {name: vpc for region in self.regions.values() for name, vpc in region.items()}

    def region_with_two(self) -> str | None:
        """A region that two VPCs look from, while another region looks too."""
        found = [name for name, vpcs in self.regions.items() if len(vpcs) > 1]
        return self.dice.choice(found) if found and len(self.regions) > 1 else None

    def vpc_with_neighbour(self) -> str | None:
        """A VPC in a region that has another one."""
        region = self.region_with_two()
        return self.dice.choice(list(self.regions[region])) if region else None

    def cluster(self) -> str | None:
        """A VPC with a cluster and a machine beside its pods, where the region has another VPC or cluster."""
        found = [n for n, v in self.vpcs.items() if "cluster" in v and any(p["kind"] != "pod" for p in v["vantages"])]
        return self.dice.choice(found) if found else None

    def of_kind(self, *kinds: str) -> str | None:
        """A service of some kind that is not ours."""
        found = [n for n, s in self.services.items() if s["kind"] in kinds and not s.get("own")]
        return self.dice.choice(found) if found else None


Fault = Callable[[World], str | None]
"""Adds a fault to the world; the id that is right then, or None where this world has no place for it."""


def _world(dice: random.Random) -> World:
    world = World(dice=dice)
    for n in range(dice.randint(2, 4)):
        vpcs: dict[str, Row] = {}
        for m in range(2 if n == 0 else dice.choice([1, 1, 2])):
            vantages = [{"kind": "vm" if m == 0 else "vm2"}]
            vpc: Row = {"vantages": vantages}
            if m == 0 and (n == 0 or dice.random() < 0.4):
                vantages.append({"kind": "pod"})
                vpc["cluster"] = {"name": f"kube-{world.name()}", "replicas": dice.randint(2, 5)}
                vpc["cluster"]["nodes"] = dice.randint(5, 16 * vpc["cluster"]["replicas"] // 2)
            vpcs[world.name()] = vpc
        world.regions[world.name()] = vpcs
    if dice.random() < 0.5:
        world.outside.append({"name": world.name(), "region": "hq"})
    kinds = ["tencent_api", "web", "cos", dice.choice(["mysql", "redis", "postgres"])]
    dice.shuffle(kinds)
    for kind in kinds[: dice.choice([1, 1, 2, 3])]:
        world.services[world.name()] = _service(world, kind)
    if not world.of_kind("tencent_api", "web"):
        world.services[world.name()] = _service(world, dice.choice(["tencent_api", "web"]))
    world.controls = [{"host": f"www.{world.name()}.example"} for _ in range(dice.randint(2, 3))]
    return world


def _service(world: World, kind: str) -> Row:
    host = {
        "tencent_api": "sms.tencentcloudapi.com",
        "cos": f"{world.name()}-125{world.dice.randint(1000, 9999)}.cos.ap-{world.name()}.myqcloud.com",
    }.get(kind, f"{world.name()}.{world.name()}.example")
    return {"host": host, "kind": kind}


# --- faults --------------------------------------------------------------------------------------------------------


def _dns_limit(world: World) -> str | None:
    vpc = world.vpc_with_neighbour() or world.dice.choice(list(world.vpcs))
    rate = world.dice.randint(120, 400)
    world.faults.append({"kind": "dns_limit", "vpc": vpc, "rate": rate})
    world.traffic.append({"vpc": vpc, "rate": round(rate * world.dice.uniform(2.0, 7.0))})
    return "vpc_dns_rate_limited"


def _dns_down(world: World) -> str | None:
    world.faults.append(
        {"kind": "dns_down", "vpc": world.dice.choice(list(world.vpcs)), "how": world.dice.choice(["drop", "reject"])}
    )
    return "resolver_down"


def _dns_servfail(world: World) -> str | None:
    world.faults.append({"kind": "dns_servfail", "vpc": world.dice.choice(list(world.vpcs))})
    return "resolver_down"


def _dns_wrong(world: World) -> str | None:
    vpc, service = world.vpc_with_neighbour(), world.of_kind("tencent_api", "web", "cos")
    if vpc is None or service is None:
        return None
    world.faults.append({"kind": "dns_wrong", "vpc": vpc, "services": [service], "address": world.address()})
    return "dns_wrong_answer"


def _coredns(world: World) -> str | None:
    vpc = world.cluster()
    if vpc is None:
        return None
    world.faults.append({"kind": "coredns_limit", "vpc": vpc, "loss": world.dice.randint(25, 85)})
    return "coredns_overload"


def _race(world: World) -> str | None:
    vpc = world.cluster()
    if vpc is None:
        return None
    world.faults.append({"kind": "conntrack_race", "vpc": vpc, "loss": world.dice.randint(20, 60)})
    return "conntrack_race"


def _egress(world: World) -> str | None:
    region = world.region_with_two()
    if region is None:
        return None
    if world.dice.random() < 0.3:
        world.faults.append({"kind": "egress_down", "region": region})
    else:
        world.faults.append({"kind": "egress_loss", "region": region, "loss": world.dice.randint(12, 70)})
    return "region_egress_loss"


def _block(world: World) -> str | None:
    vpc, service = world.vpc_with_neighbour(), world.of_kind("tencent_api", "web", "mysql", "redis", "postgres")
    if vpc is None or service is None:
        return None
    how = world.dice.choice(["drop", "reset"])
    world.faults.append({"kind": "block", "vpc": vpc, "services": [service], "how": how})
    return "firewall_block"


def _mtu(world: World) -> str | None:
    vpc = world.vpc_with_neighbour()
    if vpc is None or world.of_kind("tencent_api", "web", "cos") is None:
        return None
    world.faults.append({"kind": "mtu_black_hole", "vpc": vpc, "mtu": world.dice.randint(600, 1380)})
    return "mtu_black_hole"


def _machine(world: World) -> str | None:
    name = f"{world.name()}-vm"
    vpc = world.vpcs[world.vpc_with_neighbour() or next(iter(world.vpcs))]
    vpc["vantages"].append({"kind": "vm", "name": name})
    world.faults.append({"kind": "vantage_faulty", "vantage": name, "loss": world.dice.choice([70, 100])})
    return "vantage_faulty"


def _outage(world: World) -> str | None:
    service = world.of_kind("tencent_api", "web", "cos")
    phase = world.dice.choice(["host", "tcp", "refuse", "tls", "http"])
    fault = {"kind": "vendor_down", "services": [service], "phase": phase}
    if phase == "http":
        fault |= {"status": world.dice.choice([500, 502, 503, 504]), "share": world.dice.choice([40, 60, 100])}
    world.faults.append(fault)
    return "vendor_outage_global"


def _regional_outage(world: World) -> str | None:
    region, service = world.region_with_two(), world.of_kind("tencent_api", "web")
    if region is None or service is None:
        return None
    world.services[service]["address"] = {name: world.address() for name in world.regions}
    phase = world.dice.choice(["tcp", "refuse", "tls", "http"])
    world.faults.append({"kind": "vendor_down_region", "service": service, "region": region, "phase": phase})
    return "vendor_outage_regional"


def _certificate(world: World) -> str | None:
    service = world.of_kind("tencent_api", "web", "cos")
    kind = world.dice.choice(["cert_expired", "cert_untrusted", "cert_wrong_host"])
    world.faults.append({"kind": kind, "services": [service]})
    return "certificate_expired" if kind == "cert_expired" else "certificate_invalid"


def _key(world: World) -> str | None:
    service = world.of_kind("tencent_api")
    if service is None:
        return None
    kinds = {
        "permission_revoked": "permission_revoked",
        "key_dead": "credential_invalid",
        "quota": "vendor_quota",
        "throttled": "vendor_throttled",
    }
    kind = world.dice.choice(list(kinds))
    share = {"share": world.dice.randint(35, 100)} if kind == "throttled" else {}
    world.faults.append({"kind": kind, "services": [service], **share})
    return kinds[kind]


def _allowlist(world: World) -> str | None:
    service = world.of_kind("tencent_api")
    if service is None:
        return None
    world.faults.append({"kind": "allowlist", "services": [service], "refuse": [world.dice.choice(list(world.vpcs))]})
    return "vendor_allowlist"


def _clock(world: World) -> str | None:
    if world.of_kind("tencent_api") is None:
        return None
    name = f"{world.name()}-vm"
    world.dice.choice(list(world.vpcs.values()))["vantages"].append({"kind": "vm", "name": name})
    minutes = world.dice.choice([-1, 1]) * world.dice.randint(7, 55)
    world.faults.append({"kind": "clock_skew", "vantage": name, "minutes": minutes})
    return "clock_skew"


def _database(world: World) -> str | None:
    service = world.of_kind("mysql", "redis", "postgres")
    if service is None:
        return None
    world.services[service]["connections"] = world.dice.randint(20, 200)
    world.faults.append({"kind": "connections_exhausted", "services": [service]})
    return "connections_exhausted"


def _slow(world: World) -> str | None:
    service = world.of_kind("tencent_api", "web")
    if service is None or len([s for s in world.services.values() if not s.get("own")]) > 1:
        return None
    world.rehearse = True
    world.faults.append({"kind": "slow", "services": [service], "ms": world.dice.randint(900, 2500)})
    return "dependency_slow"


def _own(world: World) -> str | None:
    name = world.name()
    world.services[name] = {"host": f"{name}.corp.example", "kind": "web", "own": True, "path": "/healthz"}
    world.faults.append({"kind": "own_service", "service": name, "status": world.dice.choice([500, 503])})
    if world.dice.random() < 0.5:
        change = {"kind": "deploy", "title": f"{name} 2.{world.dice.randint(0, 40)}", "minutes_ago": 9, "service": name}
        world.changes.append(change)
        world.rehearse = True
    return "own_service_fault"


FAULTS: Mapping[str, Fault] = {
    fault.__name__.strip("_"): fault
    for fault in (
        _dns_limit,
        _dns_down,
        _dns_servfail,
        _dns_wrong,
        _coredns,
        _race,
        _egress,
        _block,
        _mtu,
        _machine,
        _outage,
        _regional_outage,
        _certificate,
        _key,
        _allowlist,
        _clock,
        _database,
        _slow,
        _own,
    )
}
PAIRS = (
    ("dns_limit", "key"),
    ("dns_limit", "certificate"),
    ("coredns", "allowlist"),
    ("race", "certificate"),
    ("block", "database"),
    ("egress", "certificate"),
    ("dns_wrong", "database"),
    ("dns_down", "key"),
    ("machine", "outage"),
    ("coredns", "outage"),
)
"""Two that a person could tell apart: another place, or another layer."""


def _noise(world: World) -> None:
    """What happens on any night and is nobody's fault."""
    dice = world.dice
    if dice.random() < 0.3:
        world.controls[-1]["flaky"] = dice.randint(5, 20)
    if dice.random() < 0.4:
        world.traffic.append({"vpc": dice.choice(list(world.vpcs)), "rate": dice.randint(20, 120)})
    for service in world.services.values():
        if dice.random() < 0.2 and service["kind"] in ("web", "tencent_api") and not world.rehearse:
            service["delay_ms"] = dice.randint(50, 700)


def _calm(world: World) -> None:
    """Beside that, what looks like a fault and is none."""
    dice = world.dice
    one = dice.choice(["loss", "limit", "addresses", "nothing"])
    if one == "loss":
        world.faults.append({"kind": "egress_loss", "region": dice.choice(list(world.regions)), "loss": 1})
    elif one == "limit":
        vpc = dice.choice(list(world.vpcs))
        world.faults.append({"kind": "dns_limit", "vpc": vpc, "rate": 1500})
        world.traffic.append({"vpc": vpc, "rate": dice.randint(200, 500)})
    elif one == "addresses" and (service := world.of_kind("tencent_api", "web")):
        world.services[service]["address"] = {name: world.address() for name in world.regions}


def draw(seed: int) -> Row:
    """A scenario as a document; the same seed always gives the same one."""
    dice = random.Random(f"warroom {seed}")
    while True:
        world = _world(dice)
        what = dice.choices(["healthy", "one", "two", "hidden"], weights=[20, 55, 18, 7])[0]
        if what == "healthy":
            _calm(world)
            expected = ["healthy"]
        else:
            names = dice.choice(PAIRS) if what == "two" else (dice.choice(list(FAULTS)),)
            found = [FAULTS[name](world) for name in names]
            if None in found:
                continue
            expected = [str(one) for one in found]
        _noise(world)
        row: Row = {
            "scenario": f"drawn-{seed}",
            "about": f"Drawn at random: {', '.join(expected)}.",
            "regions": {name: {"vpcs": vpcs} for name, vpcs in world.regions.items()},
            "services": world.services,
            "controls": world.controls,
            "expect": {"verdict": expected},
        }
        if what == "hidden":
            silent = _spared(world)
            if silent is None:
                continue
            row["missing"] = [{"vantage": silent, "how": dice.choice(["never", "killed", "frozen"])}]
        for key in ("outside", "faults", "traffic", "changes"):
            if getattr(world, key):
                row[key] = getattr(world, key)
        return row | ({"rehearse": True} if world.rehearse else {})


def _spared(world: World) -> str | None:
    """A vantage point the fault does not touch, so that the others still tell what it is."""
    return str(world.outside[0]["name"]) if world.outside else None


def main() -> None:
    """Write scenarios to a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=1, help="the first of the seeds")
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    for seed in range(given.seed, given.seed + given.count):
        text = yaml.safe_dump(draw(seed), sort_keys=False, allow_unicode=True)
        (given.folder / f"drawn-{seed}.yaml").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
