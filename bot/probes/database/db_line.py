"""One connection to a database: framed reading, and TLS where the protocol puts it."""

from __future__ import annotations

import ssl
from pathlib import Path

from bot.domain.failure import Failure, Phase
from bot.probes.classify import Classified, Closed
from bot.probes.net.ready import Socket
from bot.probes.net.stopwatch import Stopwatch
from bot.probes.net.stream import Plain, Stream, Tls, trusting, unverified


class Line:
    """A connected socket being talked over. `tls` is "none", "require" or "verify"."""

    def __init__(self, sock: Socket, watch: Stopwatch, *, tls: str, name: str, ca_file: Path | None) -> None:
        self.sock, self.watch = sock, watch
        self.tls, self.name = tls, name
        self._ca_file = ca_file
        self._stream: Stream = Plain(sock)
        self._data = bytearray()

    @property
    def wants_tls(self) -> bool:
        """Whether the connection is to be encrypted."""
        return self.tls != "none"

    def trusted(self) -> ssl.SSLContext:
        """The TLS context asked for."""
        return trusting(self._ca_file) if self.tls == "verify" else unverified()

    async def secure(self) -> None:
        """Shake hands, and be in the phase DB again. What came in the clear before is an attack (CVE-2011-0411)."""
        if self._data:
            raise Classified(Failure.DB_PROTOCOL, reason="data before the TLS handshake")
        self.watch.begin(Phase.TLS)
        stream = Tls(self.sock, self.trusted(), self.name)
        await stream.shake()
        self.watch.end()
        self.watch.begin(Phase.DB)
        self._stream = stream

    def greeted(self) -> None:
        """The server's first word is there: end the phase DB."""
        if "greeting" not in self.watch.done_ms:
            self.watch.end()

    async def send(self, data: bytes) -> None:
        """Write all of it."""
        await self._stream.send(data)

    async def exactly(self, count: int) -> bytes:
        """The next `count` bytes. Raises Closed."""
        while len(self._data) < count:
            await self._more()
        found = bytes(self._data[:count])
        del self._data[:count]
        return found

    async def upto(self, end: bytes, limit: int) -> bytes:
        """The bytes before the next `end`, which is taken off. Raises Closed, or Classified beyond `limit`."""
        while (at := self._data.find(end)) < 0:
            if len(self._data) > limit:
                raise Classified(Failure.DB_PROTOCOL, reason="a line without end")
            await self._more()
        found = bytes(self._data[:at])
        del self._data[: at + len(end)]
        return found

    async def _more(self) -> None:
        data = await self._stream.receive()
        if not data:
            raise Closed
        self._data += data
