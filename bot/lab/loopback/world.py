"""Who lives where in the loopback lab. Addresses are fixed; ports are whatever is free at start."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

SMS = "sms.tencentcloudapi.com"
BUCKET = "warroom-1250000000.cos.ap-shanghai.myqcloud.com"
CONTROLS = ("www.qq.com", "www.gov.cn")
INTERNAL = "kubernetes.default.svc.cluster.local"
CRAWL_ZONE = "crawl"
"""Everything the crawler asks for ends in this."""

AUTHORITY = "127.53.0.1"
PUBLIC_RESOLVER = "127.119.29.29"
SITES: Mapping[str, str] = {
    SMS: "127.90.1.1",
    BUCKET: "127.90.2.1",
    CONTROLS[0]: "127.91.1.1",
    CONTROLS[1]: "127.91.2.1",
}
"""Host name -> address: the truth."""
WRONG_ADDRESS = "127.66.6.6"
"""What a lying resolver says; nobody listens there."""
CLUSTER_NAMES: Mapping[str, str] = {
    INTERNAL: "127.10.96.1",
    "kube-dns.kube-system.svc.cluster.local": "127.10.96.10",
}
PROD_NETWORK = "127.10.0.0/16"
CRAWLER = "127.10.7.21"
TTL_S = 2
"""Time to live of all records: short, so that the cluster DNS' cache neither hides a fault nor delays a recovery."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Ports:
    """One port per role, the same on every address."""

    dns: int
    https: int
    neighbour: int
    phone: int
    control: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ResolverPlace:
    """A resolver. `upstream` is the address it forwards to; `own` are the names it serves by itself."""

    id: str
    address: str
    upstream: str
    own: Mapping[str, str] = field(default_factory=dict)
    logged: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentPlace:
    """A vantage point. `resolvers` maps "host", "vpc" and "public" to addresses; `log_of` is the id of the
    resolver whose query log it may read.
    """

    name: str
    region: str
    vantage: str
    env: str
    vpc: str
    address: str
    resolvers: Mapping[str, str]
    cluster: str = ""
    log_of: str = ""


VPC_RESOLVER = ResolverPlace(id="vpc-prod", address="127.10.0.2", upstream=AUTHORITY, logged=True)
CLUSTER_DNS = ResolverPlace(id="tke-prod", address="127.10.0.10", upstream=VPC_RESOLVER.address, own=CLUSTER_NAMES)
RESOLVERS = (
    VPC_RESOLVER,
    CLUSTER_DNS,
    ResolverPlace(id="vpc-tools", address="127.11.0.2", upstream=AUTHORITY, logged=True),
    ResolverPlace(id="vpc-gz", address="127.20.0.2", upstream=AUTHORITY, logged=True),
    ResolverPlace(id="isp", address="127.30.0.2", upstream=AUTHORITY),
    ResolverPlace(id="public", address=PUBLIC_RESOLVER, upstream=AUTHORITY),
)


def _vm(name: str, region: str, vantage: str, vpc: str, address: str, resolver: str) -> AgentPlace:
    return AgentPlace(
        name=name,
        region=region,
        vantage=vantage,
        env="prod",
        vpc=vpc,
        address=address,
        resolvers={"host": resolver, "vpc": resolver, "public": PUBLIC_RESOLVER},
        log_of=vpc,
    )


AGENTS = (
    AgentPlace(
        name="shanghai-pod",
        region="shanghai",
        vantage="pod",
        env="prod",
        vpc="vpc-prod",
        cluster="tke-prod",
        address="127.10.1.5",
        resolvers={"host": CLUSTER_DNS.address, "vpc": VPC_RESOLVER.address, "public": PUBLIC_RESOLVER},
    ),
    _vm("shanghai-vm", "shanghai", "vm", "vpc-prod", "127.10.2.5", VPC_RESOLVER.address),
    _vm("shanghai-vm2", "shanghai", "vm2", "vpc-tools", "127.11.2.5", "127.11.0.2"),
    _vm("guangzhou-vm", "guangzhou", "vm", "vpc-gz", "127.20.2.5", "127.20.0.2"),
    AgentPlace(
        name="office",
        region="office",
        vantage="outside",
        env="prod",
        vpc="",
        address="127.30.2.5",
        resolvers={"host": "127.30.0.2", "public": PUBLIC_RESOLVER},
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class World:
    """One lab in one working folder."""

    folder: Path
    ports: Ports
    agents: tuple[AgentPlace, ...] = AGENTS
    resolvers: tuple[ResolverPlace, ...] = RESOLVERS

    @property
    def playbooks(self) -> Path:
        """The shipped playbooks with the lab's ports added."""
        return self.folder / "playbooks"

    @property
    def ca_file(self) -> Path:
        """The lab's certificate authority, PEM."""
        return self.folder / "ca.pem"

    @property
    def phone_url(self) -> str:
        """Where pages are posted to."""
        return f"http://127.0.0.1:{self.ports.phone}/calls"

    @property
    def control_url(self) -> str:
        """The servers' own small API; no slash at the end."""
        return f"http://127.0.0.1:{self.ports.control}"

    def policy(self, agent: str) -> Path:
        """The policy file of one agent."""
        return self.folder / "agents" / f"{agent}.yaml"

    def agent_log(self, agent: str) -> Path:
        """What one agent process says."""
        return self.folder / "logs" / f"{agent}.log"

    def query_log(self, resolver: str) -> Path:
        """The query log of one resolver, CoreDNS `log` format."""
        return self.folder / "queries" / f"{resolver}.log"

    def leaf(self, host: str) -> Path:
        """Certificate and key of one site, PEM, in one file."""
        return self.folder / "pki" / f"{host}.pem"

    def save(self) -> None:
        """Write world.json, from which `load` makes the same world again."""
        (self.folder / "world.json").write_text(json.dumps({"ports": asdict(self.ports)}, indent=1))

    @classmethod
    def load(cls, folder: Path) -> World:
        """Read what `save` wrote. Raises OSError, ValueError or TypeError."""
        row = json.loads((folder / "world.json").read_text())
        return cls(folder=folder, ports=Ports(**row["ports"]))


@dataclass(frozen=True, kw_only=True, slots=True)
class Secrets:
    """Made anew for every lab. `phone` is a Standard Webhooks secret ("whsec_...")."""

    control: str = field(repr=False)
    phone: str = field(repr=False)
    tencent_id: str
    tencent_key: str = field(repr=False)

    def save(self, folder: Path) -> None:
        """Write secrets.json, readable by its owner only."""
        path = folder / "secrets.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(asdict(self)))

    @classmethod
    def load(cls, folder: Path) -> Secrets:
        """Read what `save` wrote. Raises OSError, ValueError or TypeError."""
        return cls(**json.loads((folder / "secrets.json").read_text()))


def free_ports() -> Ports:
    """Five ports below the ephemeral range, free for UDP and TCP on every address at this moment."""
    found: list[int] = []
    for port in random.sample(range(18000, 31000), 400):
        if _free(port):
            found.append(port)
        if len(found) == 5:
            return Ports(dns=found[0], https=found[1], neighbour=found[2], phone=found[3], control=found[4])
    raise OSError("no five free ports between 18000 and 31000")


def _free(port: int) -> bool:
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        with socket.socket(socket.AF_INET, kind) as sock:
            try:
                # every address at once: a listener on any of them would be in the lab's way
                sock.bind(("0.0.0.0", port))  # noqa: S104
            except OSError:
                return False
    return True
