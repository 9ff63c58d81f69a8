"""The one address of all bots, as a load balancer is: a connection goes to any bot that accepts it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress

from tests.ports import free_port


class Front:
    """Relays TCP; a bot that refuses is passed over, one that stands still keeps its connection waiting."""

    def __init__(self, ports: Sequence[int], seed: int) -> None:
        self._ports, self._dice = list(ports), random.Random(seed)
        self.port = free_port()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def stop(self) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for port in self._dice.sample(self._ports, len(self._ports)):
            with suppress(OSError):
                there, back = await asyncio.open_connection("127.0.0.1", port)
                await asyncio.gather(_pour(reader, back), _pour(there, writer))
                return
        writer.close()


async def _pour(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    try:
        with suppress(OSError):
            while part := await source.read(65536):
                target.write(part)
                await target.drain()
    finally:
        target.close()
