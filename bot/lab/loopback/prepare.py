"""Everything a lab needs on disk: certificates, secrets, agent policies, playbooks."""

from __future__ import annotations

import base64
import os
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from bot.lab.loopback.playbooks import copy_playbooks, shipped_playbooks
from bot.lab.loopback.world import SITES, SMS, AgentPlace, Ports, Secrets, World
from bot.lab.pki import Authority, Leaf

EXPIRED = f"expired.{SMS}"
"""The name under which the SMS API's expired certificate is kept."""


def prepare(folder: Path, ports: Ports, *, playbooks: Path | None = None) -> World:
    """Write a lab into `folder` (made if missing) and return its description.

    `playbooks` is the folder to copy playbooks from, by default the shipped ones.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    world = World(folder=folder.resolve(), ports=ports)
    for part in ("agents", "logs", "queries", "pki"):
        (folder / part).mkdir(exist_ok=True)
    world.save()
    _secrets().save(folder)
    _certificates(world)
    for agent in world.agents:
        with world.policy(agent.name).open("w", encoding="utf-8") as out:
            YAML().dump(_policy(world, agent), out)
    copy_playbooks(playbooks or shipped_playbooks(), world.playbooks, ports)
    return world


def _secrets() -> Secrets:
    return Secrets(
        control=secrets.token_urlsafe(24),
        phone="whsec_" + base64.b64encode(secrets.token_bytes(24)).decode(),
        tencent_id="AKID" + secrets.token_hex(16),
        tencent_key=secrets.token_hex(16),
    )


def _certificates(world: World) -> None:
    authority = Authority()
    world.ca_file.write_bytes(authority.certificate)
    for host in SITES:
        _write(world.leaf(host), authority.issue([host]))
    past = authority.issue([SMS], begins=timedelta(days=-365), ends=timedelta(hours=-1))
    _write(world.leaf(EXPIRED), past)


def _write(path: Path, leaf: Leaf) -> None:
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as out:
        out.write(leaf.certificate + leaf.key)


def _policy(world: World, agent: AgentPlace) -> dict[str, Any]:
    """The policy file: this agent may touch the lab and nothing else."""
    ports = world.ports
    network = "127.0.0.0/8"
    policy: dict[str, Any] = {
        "allow": [
            {"network": network, "ports": [ports.dns, ports.https, ports.neighbour], "kinds": "any"},
            {"network": network, "ports": "any", "kinds": ["ping"]},
        ],
        "public": "deny",
        "resolvers": {kind: [f"{address}:{ports.dns}"] for kind, address in agent.resolvers.items()},
        "source": agent.address,
        "tls": {"ca_file": os.path.relpath(world.ca_file, world.policy(agent.name).parent)},
        "capture": False,
    }
    if agent.log_of:
        path = os.path.relpath(world.query_log(agent.log_of), world.policy(agent.name).parent)
        policy["query_log"] = {"path": path, "format": "coredns"}
    return policy
