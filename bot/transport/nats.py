"""One try to connect to a NATS server. Imported late by an agent, only when its hub is on NATS."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Callable
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


async def dial(
    server: Server,
    login: NatsLogin,
    *,
    name: str,
    tls: ssl.SSLContext | None,
    hear: Callable[[Exception], None],
    address: str = "",
) -> Client:
    """A connection that does not reconnect by itself. Raises OSError, NatsError, TimeoutError.

    `name` is what the server calls us, `address` where to find it when its name is not to be looked up; its
    certificate is checked against the name all the same. `hear` is told what goes wrong later.
    """
    client = _TlsClient() if server.scheme == "tls" else Client()
    dialling = True

    async def failed(exc: Exception) -> None:
        # The client would dial the same address for ever, whatever it is told about reconnecting.
        if dialling:
            raise exc
        hear(exc)

    try:
        await client.connect(
            servers=[server.at(address or server.host)],
            name=name,
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
    """End a connection, whatever state it is in: it waits for ever for one whose TLS handshake failed."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CLOSE_WITHIN_S):
            await client.close()
