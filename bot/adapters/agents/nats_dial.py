"""The bot's way to NATS: one connection, and whether it serves a hub."""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from bot.transport.nats import close, dial
from bot.wire.nats import NatsLogin, Server, Subjects

REFUSED_WITHIN_S = 0.3
"""A server says that something is not permitted just after it has answered a ping."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NatsAddress:
    """Which NATS to use and how to be let in."""

    server: Server
    login: NatsLogin = field(default_factory=NatsLogin)
    subjects: Subjects = field(default_factory=Subjects)
    tls: ssl.SSLContext | None = None


async def connect(address: NatsAddress, hear: Callable[[Exception], None]) -> Client:
    """A connection as a hub. Raises OSError, NatsError, TimeoutError; `hear` is told what goes wrong later."""
    return await dial(address.server, address.login, name="warroom hub", tls=address.tls, hear=hear)


async def trouble(address: NatsAddress) -> str:
    """Why no hub can be there, "" when one can: the login opens, and what a hub must say and hear is permitted."""
    said: list[str] = []
    subjects, ident = address.subjects, secrets.token_hex(8)

    async def ignore(_: Msg) -> None:
        return

    try:
        client = await connect(address, lambda exc: said.append(str(exc)))
    except (OSError, NatsError, TimeoutError) as exc:
        return str(exc) or type(exc).__name__
    try:
        for subject in (subjects.links(ident), subjects.knock_at(ident), subjects.knock):
            await client.subscribe(subject, cb=ignore)
        await client.publish(subjects.agent("doctor", ident), b"")
        await client.flush(3)
        await asyncio.sleep(REFUSED_WITHIN_S)
    except (OSError, NatsError, TimeoutError) as exc:
        said.append(str(exc) or type(exc).__name__)
    finally:
        await close(client)
    return said[0][:300] if said else ""
