"""One DNS service on one address, UDP and TCP, around a handler that does the thinking."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

Via = Literal["udp", "tcp"]
Client = tuple[str, int]
Send = Callable[[bytes], None]
Handler = Callable[[bytes, Client, Via, Send], None]
"""Called with each query; calls `send` once, later, or never."""

IDLE_S = 10.0


class DnsServer:
    """Listens from `start` until `close`."""

    def __init__(self, address: str, port: int, handler: Handler) -> None:
        self._place = (address, port)
        self._handler = handler
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    async def start(self) -> None:
        """Bind both transports. Raises OSError when the port is taken."""
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Udp(self._handler), local_addr=self._place)
        self._tcp = await asyncio.start_server(self._serve, *self._place, backlog=256)

    async def close(self) -> None:
        """Stop listening."""
        if self._udp:
            self._udp.close()
        if self._tcp:
            self._tcp.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client: Client = writer.get_extra_info("peername")

        def send(data: bytes) -> None:
            if not writer.is_closing():
                writer.write(len(data).to_bytes(2, "big") + data)

        try:
            while True:
                async with asyncio.timeout(IDLE_S):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    data = await reader.readexactly(size)
                self._handler(data, client, "tcp", send)
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Client) -> None:
        sendto = self._transport.sendto
        self._handler(data, addr, "udp", lambda reply: sendto(reply, addr))
