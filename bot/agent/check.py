"""`warroom agent --check`: what would happen, without joining a hub: policy, token, self-test, the way to the hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from bot.agent.credentials import secret_of
from bot.agent.dial_hub import reach
from bot.agent.keys import default_folder
from bot.agent.known_hub import HubMemory
from bot.agent.main import AgentOptions, build
from bot.agent.pipe import PipeBroken
from bot.agent.policy import Policy, load_policy
from bot.agent.selftest import self_test
from bot.domain.agent_name import clean

PORTS = {"ws": 80, "wss": 443, "nats": 4222, "tls": 4222}


async def check(options: AgentOptions, environ: Mapping[str, str]) -> tuple[list[str], bool]:
    """Lines for an operator, and whether the agent could work. Raises ConfigError for what keeps it from starting.

    The agent's key is made if there is none, as a start would; nothing is sent to the hub but a TCP handshake.
    """
    build(options, environ)
    policy = load_policy(options.policy)
    folder = options.state or default_folder()
    lines = [*_policy(options.policy, policy), *_known(options, environ, folder)]
    # The self-test logs nothing here; what it finds stands in the lines.
    lacks = await self_test(policy.context(environ))
    lines += [f"lacks: {sentence}" for sentence in lacks] or ["self-test: nothing is lacking"]
    memory = HubMemory(folder, agent=clean(options.name), url=options.hub)
    reached, line = await _hub(options.hub, memory.known.addresses)
    return [*lines, line], reached


def _policy(path: Path | None, policy: Policy) -> Iterator[str]:
    kinds = "every kind" if policy.kinds is None else ", ".join(sorted(policy.kinds))
    yield f"policy: {path or 'the default one'} is valid; {kinds}"
    yield from (f"resolvers of {group}: {', '.join(named)}" for group, named in policy.resolvers().items())


def _known(options: AgentOptions, environ: Mapping[str, str], folder: Path) -> Iterator[str]:
    known = HubMemory(folder, agent=clean(options.name), url=options.hub).known
    if known.public_key:
        yield f"enrolled: the hub of {options.hub} is known, and the key is in {folder}; no token is needed"
    elif secret_of(environ, "WARROOM_AGENT_TOKEN"):
        yield f"token: there is one; whether it is right only the hub can tell. The key is kept in {folder}"


async def _hub(url: str, kept: tuple[str, ...]) -> tuple[bool, str]:
    """Whether the hub's port takes a connection, found as the agent would find it."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    try:
        sock, address = await reach(host, port, kept, {})
    except PipeBroken as exc:
        return False, f"hub: {exc}"
    sock.close()
    return True, f"hub: {host} is {address}, and port {port} takes a connection"
