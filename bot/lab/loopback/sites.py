"""All the HTTPS servers of the lab, each with its plain neighbour port."""

from __future__ import annotations

import asyncio
import ssl

from bot.lab.loopback.faults import Switches
from bot.lab.loopback.firewall import Firewall
from bot.lab.loopback.http1 import Handler, listen
from bot.lab.loopback.prepare import EXPIRED
from bot.lab.loopback.vendor import SmsApi, bucket, neighbour, page
from bot.lab.loopback.world import BUCKET, PROD_NETWORK, SITES, SMS, Secrets, World


class Sites:
    """The vendor's services and the control sites."""

    def __init__(self, world: World, secrets: Secrets) -> None:
        self._world = world
        self._api = SmsApi({secrets.tencent_id: secrets.tencent_key})
        self._servers: list[asyncio.Server] = []
        self._firewall: Firewall | None = None
        self._expired = False

    async def start(self) -> None:
        """Bind everything. Raises OSError when a port is taken."""
        ports = self._world.ports
        self._firewall = Firewall(SITES[SMS], ports.https, PROD_NETWORK)
        self._servers.append(await listen(self._api, sock=self._firewall.listener, tls=self._sms_context()))
        for host, address in SITES.items():
            self._servers.append(await listen(neighbour, address=address, port=ports.neighbour, tls=None))
            if host != SMS:
                handler: Handler = bucket if host == BUCKET else page
                tls = self._context(host)
                self._servers.append(await listen(handler, address=address, port=ports.https, tls=tls))

    def apply(self, switches: Switches) -> None:
        """Make the sites behave as the switches say, from the next connection or request on."""
        assert self._firewall is not None
        self._api.mode = switches.api
        self._expired = switches.expired_certificate
        if switches.firewall:
            self._firewall.block()
        else:
            self._firewall.lift()

    async def close(self) -> None:
        """Stop everything."""
        for server in self._servers:
            server.close()
        if self._firewall:
            self._firewall.close()

    def _sms_context(self) -> ssl.SSLContext:
        valid, expired = self._context(SMS), self._context(EXPIRED)

        def choose(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
            connection.context = expired if self._expired else valid

        valid.sni_callback = choose
        return valid

    def _context(self, leaf: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._world.leaf(leaf))
        context.num_tickets = 0  # every connection shows the certificate
        context.set_alpn_protocols(["http/1.1"])
        return context
