"""Every server of a scenario in one process: the zone's authority, sites, and databases.

`python -m bot.lab.netns.serve WORLD.json` runs in the namespace of the Internet's servers and reads the file's
`settings` and `servfail` anew at SIGHUP; it says "AT 3." when version 3 of the file is in force. A site in a VPC
listens in that VPC's namespace.
"""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from bot.lab.loopback.dnsserver import Client, DnsServer, Send, Via
from bot.lab.loopback.dnswire import SERVFAIL, Answer, parse, reply
from bot.lab.loopback.http1 import Handler, converse
from bot.lab.loopback.resolver import Truth
from bot.lab.loopback.vendor import neighbour
from bot.lab.loopback.world import CRAWL_ZONE
from bot.lab.netns.databases import Database
from bot.lab.netns.enter import inside
from bot.lab.netns.sites import ApiPlace, Settings, Site

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
HANGS_S = 60.0


class Authority:
    """The zone of everything: a region's resolvers are told their own addresses. `silent` clients get SERVFAIL."""

    def __init__(self, world: Mapping[str, Any]) -> None:
        self.silent: frozenset[str] = frozenset()
        self._regions: Mapping[str, str] = world["clients"]
        self._views = {
            region: Truth(names, wildcard=CRAWL_ZONE, ttl_s=world["ttl_s"]) for region, names in world["zones"].items()
        }

    def __call__(self, data: bytes, client: Client, via: Via, send: Send) -> None:
        query = parse(data)
        if query is not None and client[0] in self.silent:
            send(reply(query, Answer(SERVFAIL)))
            return
        region = self._regions.get(client[0], "")
        self._views.get(region, self._views[""])(data, client, via, send)


class Servers:
    """Everything that listens."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._world: dict[str, Any] = json.loads(path.read_text())
        self._authority = Authority(self._world)
        self._dns = DnsServer(self._world["authority"], 53, self._authority)
        self._places: dict[tuple[str, str], Site | Database] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Bind everything. Raises OSError."""
        await self._dns.start()
        for row in self._world["listeners"]:
            self._listen(row)
        self.reload()

    def reload(self) -> None:
        """Take over what the file says of faults now."""
        world = json.loads(self._path.read_text())
        self._authority.silent = frozenset(world["servfail"])
        for (key, address), place in self._places.items():
            given = {**world["settings"].get(key, {}), **world["settings"].get(f"{key}@{address}", {})}
            place.settings = Settings(**given)
        sys.stdout.write(f"AT {world['version']}.\n")
        sys.stdout.flush()

    def _listen(self, row: Mapping[str, Any]) -> None:
        key, address = row["key"], row["address"]
        if row["kind"] in ("mysql", "redis", "postgres"):
            database = Database(row["kind"], row["connections"])
            self._places[key, address] = database
            self._accept(_socket(row, row["port"]), database, database, {})
            return
        site = Site(row["kind"], delay_ms=row["delay_ms"], api=ApiPlace(**row["api"]), keys=self._world["keys"])
        self._places[key, address] = site
        self._accept(_socket(row, row["port"]), _http(site), site, _contexts(self._path.parent, row["host"]))
        if row["neighbour"]:
            self._accept(_socket(row, 80), _http(neighbour), None, {})

    def _accept(
        self, sock: socket.socket, talk: Talk, place: Site | Database | None, tls: Mapping[str, ssl.SSLContext]
    ) -> None:
        async def accept() -> None:
            while True:
                client, _ = await asyncio.get_running_loop().sock_accept(sock)
                self._keep(asyncio.create_task(_one(client, talk, place.settings if place else Settings(), tls)))

        self._keep(asyncio.create_task(accept()))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _one(client: socket.socket, talk: Talk, now: Settings, tls: Mapping[str, ssl.SSLContext]) -> None:
    """One connection. What a client says before we begin TLS waits in the kernel."""
    if tls and now.tls == "hang":
        await asyncio.sleep(HANGS_S)
        client.close()
        return
    if tls:
        await asyncio.sleep(now.tls_delay_ms / 1000)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader, talk)
    try:
        context = tls[now.certificate] if tls else None
        await loop.connect_accepted_socket(lambda: protocol, client, ssl=context)
    except (OSError, ssl.SSLError):
        client.close()


def _http(handler: Handler) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await converse(handler, reader, writer)

    return talk


def _socket(row: Mapping[str, Any], port: int) -> socket.socket:
    def listen() -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((row["address"], port))
        sock.listen(256)
        return sock

    return inside(Path(row["namespace"]), listen)


def _contexts(folder: Path, host: str) -> Mapping[str, ssl.SSLContext]:
    """{which certificate: context}; "" is the good one."""
    found = {}
    for name in ("", "expired", "untrusted", "wrong_host"):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "pki" / f"{host}.{name or 'good'}.pem")
        context.num_tickets = 0  # every connection shows the certificate
        context.set_alpn_protocols(["http/1.1"])
        found[name] = context
    return found


async def _run(path: Path) -> None:
    servers = Servers(path)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, servers.reload)
    await servers.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_run(Path(sys.argv[1])))
