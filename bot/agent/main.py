"""`warroom agent`: put the parts together and run until told to stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bot import __version__
from bot.agent.client import AgentClient, Carrier
from bot.agent.conversation import Party
from bot.agent.credentials import secret_of
from bot.agent.hub_tls import trusted
from bot.agent.keys import default_folder, own_key
from bot.agent.known_hub import HubMemory
from bot.agent.pipe import RefusedByHub, SentAway
from bot.agent.policy import load_policy
from bot.agent.pulse import Pulse, pulse_file
from bot.agent.runner import Runner
from bot.agent.websocket import WebSocketCarrier, hub_url
from bot.domain.agent_name import clean, fault_of
from bot.domain.errors import ConfigError
from bot.domain.log_filter import RewritingFilter
from bot.domain.probe import Agent
from bot.probes.redact import Redactor, redactor
from bot.probes.table import KINDS
from bot.wire.handshake import token_id

log = logging.getLogger("warroom.agent")


@dataclass(frozen=True, kw_only=True, slots=True)
class AgentOptions:
    """What the command line says. `vpc` "" takes its default: one per region, a second one for vm2."""

    hub: str
    name: str
    region: str
    vantage: str
    env: str = ""
    vpc: str = ""
    cluster: str = ""
    policy: Path | None = None
    state: Path | None = None


def default_vpc(region: str, vantage: str) -> str:
    """One VPC per region, a second one for vm2, none outside the cloud."""
    if vantage == "outside":
        return ""
    return f"{region}-2" if vantage == "vm2" else region


NATS_SECRETS = ("USER", "PASSWORD", "TOKEN")
"""WARROOM_NATS_<...>, each also as a file."""


def secrets_of(environ: Mapping[str, str]) -> tuple[str, ...]:
    """The values of our own variables whose names say that they are secret, wherever they stand. Raises ConfigError."""
    words = ("TOKEN", "PASSWORD", "SECRET", "KEY")
    ours = {name.removesuffix("_FILE") for name in environ if name.startswith("WARROOM_")}
    return tuple(secret_of(environ, name) for name in sorted(ours) if name.rpartition("_")[2] in words)


def keep_out_of_the_log(own: Redactor) -> None:
    """No record of any logger shows a secret, whatever a library writes."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(RewritingFilter(own.text))


def build(options: AgentOptions, environ: Mapping[str, str]) -> AgentClient:
    """The agent, ready to run. Raises ConfigError for a bad name, policy, token or address."""
    name = clean(options.name)
    if (fault := fault_of(name)) is not None:
        raise ConfigError(f"--name: {fault.en}")
    token = secret_of(environ, "WARROOM_AGENT_TOKEN")
    policy = load_policy(options.policy)
    context = policy.context(environ)
    nats = [secret_of(environ, f"WARROOM_NATS_{key}") for key in ("PASSWORD", "TOKEN")]
    keep_out_of_the_log(redactor(context, token, *filter(None, nats), *secrets_of(environ)))
    agent = Agent(
        name=name,
        region=options.region,
        vantage=options.vantage,
        env=options.env,
        vpc=options.vpc or default_vpc(options.region, options.vantage),
        cluster=options.cluster,
        version=__version__,
        kinds=tuple(policy.kinds_of(KINDS)),
        resolvers=context.resolvers,
    )
    carrier = carrier_of(options.hub, environ)
    folder = options.state or default_folder()
    memory = HubMemory(folder, agent=agent.name, url=options.hub)
    if not token and not memory.known.public_key:
        raise ConfigError("WARROOM_AGENT_TOKEN is not set; it must be the token the bot runs with, or a single-use one")
    party = Party(
        agent=agent,
        signer=own_key(agent.name, folder, once=bool(token_id(token))),
        runner=Runner(name=agent.name, context=context, concurrent=policy.concurrent),
        memory=memory,
        token=token,
        pulse=Pulse(pulse_file(folder, agent.name)),
    )
    return AgentClient(party=party, carrier=carrier, context=context)


def carrier_of(hub: str, environ: Mapping[str, str]) -> Carrier:
    """The way to a hub by its URL: wss://, ws://, nats:// or tls:// (NATS). Raises ConfigError."""
    if hub.startswith(("nats://", "tls://")):
        from bot.agent.nats import NatsCarrier
        from bot.wire.nats import PREFIX, NatsLogin, Subjects, server

        given = {key: secret_of(environ, f"WARROOM_NATS_{key}") for key in NATS_SECRETS}
        return NatsCarrier(
            server=server(hub, "--hub"),
            login=NatsLogin.read({**given, "CREDS_FILE": environ.get("WARROOM_NATS_CREDS_FILE", "")}),
            subjects=Subjects(environ.get("WARROOM_NATS_PREFIX") or PREFIX),
            tls=trusted(environ) if hub.startswith("tls:") else None,
        )
    url = hub_url(hub)
    return WebSocketCarrier(url=url, tls=trusted(environ) if url.startswith("wss:") else None)


NOT_LET_IN, SENT_AWAY = 3, 4
"""Exit statuses of an agent that ended for good. docs/deploy/warroom-agent.service starts neither anew."""


async def run(options: AgentOptions) -> int:
    """Run until SIGTERM or SIGINT, then drain; returns the exit status. Raises ConfigError."""
    client = build(options, os.environ)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, client.stop.set)
    try:
        await client.run()
    except SentAway as exc:
        log.error("agent %s was sent away by the hub: %s; then start it again", options.name, exc)
        return SENT_AWAY
    except RefusedByHub as exc:
        log.error("agent %s was not let in by the hub: %s; then start it again", options.name, exc)
        return NOT_LET_IN
    log.info("agent %s stopped", options.name)
    return 0
