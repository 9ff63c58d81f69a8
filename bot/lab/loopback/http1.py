"""A small HTTP/1.1 server on h11: a handler gets a whole request and gives a whole response."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate

import h11

IDLE_S = 30.0
MAX_BODY = 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """Header names are lower case; `path` has no query; `client` is an address, "" where there is none."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes
    client: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Response:
    """Date and Content-Length are added."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


Handler = Callable[[Request], Awaitable[Response]]


async def listen(
    handler: Handler, *, sock: socket.socket | None = None, address: str = "", port: int = 0, tls: ssl.SSLContext | None
) -> asyncio.Server:
    """Serve on a listening socket, or on an address. Raises OSError when it is taken."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await converse(handler, reader, writer)

    if sock is not None:
        return await asyncio.start_server(serve, sock=sock, ssl=tls, backlog=256)
    return await asyncio.start_server(serve, address, port, ssl=tls, backlog=256)


async def converse(handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection until its client leaves, breaks the protocol or falls silent."""
    try:
        await _converse(handler, reader, writer)
    except (TimeoutError, OSError, h11.ProtocolError):
        pass
    finally:
        writer.close()


async def _converse(handler: Handler, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    conn = h11.Connection(h11.SERVER, max_incomplete_event_size=64 * 1024)
    client = str((writer.get_extra_info("peername") or ("",))[0])
    while (request := await _read(conn, reader, client)) is not None:
        response = await handler(request)
        headers = {"Date": formatdate(usegmt=True), **response.headers, "Content-Length": str(len(response.body))}
        head = h11.Response(status_code=response.status, headers=list(headers.items()))
        parts = [conn.send(head)]
        if request.method != "HEAD":
            parts.append(conn.send(h11.Data(data=response.body)))
        parts.append(conn.send(h11.EndOfMessage()))
        writer.write(b"".join(part for part in parts if part))
        await writer.drain()
        if conn.our_state is h11.MUST_CLOSE:
            return
        conn.start_next_cycle()


async def _read(conn: h11.Connection, reader: asyncio.StreamReader, client: str) -> Request | None:
    head: h11.Request | None = None
    body = b""
    while True:
        event = conn.next_event()
        if event is h11.NEED_DATA:
            async with asyncio.timeout(IDLE_S):
                conn.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_BODY:
                return None
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            path, _, query = head.target.decode("ascii", "replace").partition("?")
            headers = {name.decode().lower(): value.decode("latin-1") for name, value in head.headers}
            method = head.method.decode()
            return Request(method=method, path=path, query=query, headers=headers, body=body, client=client)
        else:
            return None
