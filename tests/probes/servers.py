"""Real servers on loopback for the probes to meet."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from bot.lab.pki import Authority
from tests.ports import free_port

HOST = "127.31.0.10"
DAY = timedelta(days=1)
Answer = Callable[[bytes], bytes]


@dataclass
class Site:
    """A listening server; `requests` are the heads and bodies it was sent."""

    port: int
    requests: list[bytes] = field(default_factory=list)


def http(status: str = "200 OK", body: bytes = b"hello", *headers: str) -> bytes:
    """One HTTP answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def tls_of(
    authority: Authority, folder: Path, names: Sequence[str] = ("api.test",), *, ends: timedelta = 30 * DAY
) -> ssl.SSLContext:
    """A server context with a fresh certificate."""
    leaf = authority.issue(names, begins=-300 * DAY, ends=ends)
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".pem", delete=False) as file:
        file.write(leaf.certificate + leaf.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file.name)
    return context


@contextlib.asynccontextmanager
async def site(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Site]:
    """Serve `answer(request)`; b"" closes without a word, b"hang" never answers."""
    seen = Site(port=0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = next((int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.startswith(b"content-length")), 0)
            seen.requests.append(head + await reader.readexactly(length))
            reply = answer(seen.requests[-1])
            if reply == b"hang":
                await asyncio.sleep(5)
            writer.write(reply)
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, HOST, 0, ssl=tls) as server:
        seen.port = server.sockets[0].getsockname()[1]
        yield seen


@contextlib.asynccontextmanager
async def raw(act: Callable[[socket.socket], None]) -> AsyncIterator[int]:
    """A TCP server that does `act` with each accepted socket and keeps it until the end; yields its port."""
    kept: list[socket.socket] = []
    loop = asyncio.get_running_loop()
    with socket.create_server((HOST, 0)) as listener:
        listener.setblocking(False)

        async def accept() -> None:
            while True:
                peer, _ = await loop.sock_accept(listener)
                kept.append(peer)
                act(peer)

        task = asyncio.create_task(accept())
        try:
            yield listener.getsockname()[1]
        finally:
            task.cancel()
            for peer in kept:
                peer.close()


ZONES = """
  local-zone: "test." static
  local-data: "api.test. 60 IN A 127.31.0.10"
  local-data: "two.test. 60 IN A 203.0.113.1"
  local-data: "two.test. 60 IN A 203.0.113.2"
  local-data: "six.test. 60 IN AAAA ::1"
  local-data: "metadata.test. 60 IN A 169.254.169.254"
  local-zone: "refused.test." refuse
  local-zone: "silent.test." deny
  local-zone: "servfail.test." transparent
"""


@contextlib.contextmanager
def unbound(host: str, folder: Path, extra: str = "") -> Iterator[int]:
    """A real resolver; yields its port, which serves UDP and TCP."""
    port = free_port(host)
    config = folder / "unbound.conf"
    config.write_text(
        f"""server:
  interface: {host}@{port}
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  logfile: "{folder}/unbound.log"
  num-threads: 1
  module-config: "iterator"
  access-control: 127.0.0.0/8 allow
  do-not-query-localhost: yes
{extra}{ZONES}
forward-zone:
  name: "servfail.test."
  forward-addr: 127.31.0.99@9
remote-control:
  control-enable: no
"""
    )
    process = subprocess.Popen(["unbound", "-d", "-c", str(config)], stderr=subprocess.PIPE)
    try:
        _await(host, port)
        yield port
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _await(host: str, port: int) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            socket.create_connection((host, port), timeout=1).close()
            return
        time.sleep(0.05)
    raise TimeoutError("the resolver did not start")
