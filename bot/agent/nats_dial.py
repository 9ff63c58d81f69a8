"""One try to connect to one address of a NATS server. Imported by the agent only when its hub is on NATS."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any

from nats.aio.client import Client

from bot.wire.nats import NatsLogin, Server, insist_on_tls

CLOSE_WITHIN_S = 1.0


class _TlsClient(Client):
    """Says nothing, and no password, to a server without TLS."""

    async def _process_info(self, info: dict[str, Any], initial_connection: bool = False) -> None:
        if initial_connection:
            insist_on_tls(info)
        await super()._process_info(info, initial_connection)


async def dial(server: Server, address: str, login: NatsLogin, *, tls: ssl.SSLContext | None, name: str) -> Client:
    """A connection that does not reconnect by itself. Raises OSError, NatsError, TimeoutError."""
    client = _TlsClient() if server.scheme == "tls" else Client()
    dialling = True

    async def failed(exc: Exception) -> None:
        # The client would dial the same address for ever, whatever it is told about reconnecting; what breaks
        # a connection later is said once, where it is noticed.
        if dialling:
            raise exc

    try:
        await client.connect(
            servers=[server.at(address)],
            name=f"warroom agent {name}",
            tls=tls,
            tls_hostname=server.host if tls else None,
            allow_reconnect=False,
            connect_timeout=3,
            ping_interval=10,
            error_cb=failed,
            **login.options(),
        )
    except BaseException:
        dialling = False
        await close(client)
        raise
    dialling = False
    return client


async def close(client: Client) -> None:
    """It waits for ever for the end of a connection whose TLS handshake failed."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_WITHIN_S):
            await client.close()
