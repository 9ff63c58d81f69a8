"""The bot's way to NATS: one connection, and whether it serves a hub."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from bot.wire.nats import NatsLogin, Server, Subjects, insist_on_tls

log = logging.getLogger("warroom.hub")

CLOSE_WITHIN_S = 1.0
REFUSED_WITHIN_S = 0.3
"""A server says that something is not permitted just after it has answered a ping."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NatsAddress:
    """Which NATS to use and how to be let in."""

    server: Server
    login: NatsLogin = field(default_factory=NatsLogin)
    subjects: Subjects = field(default_factory=Subjects)
    tls: ssl.SSLContext | None = None


class _TlsClient(Client):
    """Says nothing, and no password, to a server without TLS."""

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection:
            insist_on_tls(info)
        await super()._process_info(info, initial_connection)


async def dial(address: NatsAddress, hear: Callable[[Exception], None]) -> Client:
    """A client that does not reconnect by itself. Raises OSError, NatsError, TimeoutError.

    It would wait for ever for the end of a connection whose TLS handshake failed. `hear` is told what goes wrong later.
    """
    client = _TlsClient() if address.server.scheme == "tls" else Client()
    dialling = True

    async def failed(exc: Exception) -> None:
        if dialling:
            raise exc
        hear(exc)

    try:
        await client.connect(
            servers=[address.server.url],
            name="warroom hub",
            tls=address.tls,
            allow_reconnect=False,
            connect_timeout=3,
            ping_interval=10,
            error_cb=failed,
            **address.login.options(),
        )
    except BaseException:
        dialling = False
        await close(client)
        raise
    dialling = False
    return client


async def close(client: Client) -> None:
    """End a connection, whatever state it is in."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_WITHIN_S):
            await client.close()


async def trouble(address: NatsAddress) -> str:
    """Why no hub can be there, "" when one can: the login opens, and what a hub must say and hear is permitted."""
    said: list[str] = []
    subjects, ident = address.subjects, secrets.token_hex(8)

    async def ignore(_: Msg) -> None:
        return

    try:
        client = await dial(address, lambda exc: said.append(str(exc)))
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
