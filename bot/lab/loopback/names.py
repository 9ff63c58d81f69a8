"""All the DNS servers of the lab, started and wired together."""

from __future__ import annotations

import asyncio
import time

from bot.lab.loopback.dnsserver import DnsServer
from bot.lab.loopback.faults import Switches
from bot.lab.loopback.policer import Policer
from bot.lab.loopback.querylog import QueryLog
from bot.lab.loopback.resolver import Resolver, Truth, Upstream
from bot.lab.loopback.world import (
    AUTHORITY,
    CLUSTER_DNS,
    CRAWL_ZONE,
    SITES,
    SMS,
    TTL_S,
    VPC_RESOLVER,
    WRONG_ADDRESS,
    ResolverPlace,
    World,
)

VPC_LIMIT_QPS = 150.0


class Names:
    """The truth and every resolver of a world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._servers: list[DnsServer] = []
        self._upstreams: list[Upstream] = []
        self._logs: list[QueryLog] = []
        self._resolvers: dict[str, Resolver] = {}

    async def start(self) -> None:
        """Bind everything. Raises OSError when a port is taken."""
        truth = Truth(SITES, wildcard=CRAWL_ZONE, ttl_s=TTL_S)
        await self._serve(DnsServer(AUTHORITY, self._world.ports.dns, truth))
        for place in self._world.resolvers:
            self._resolvers[place.id] = await self._start(place)

    def apply(self, switches: Switches) -> None:
        """Make the resolvers behave as the switches say, from the next query on."""
        vpc, cluster = self.vpc, self._resolvers[CLUSTER_DNS.id]
        vpc.policer = Policer(VPC_LIMIT_QPS, now=time.monotonic()) if switches.vpc_limit else None
        vpc.drop = 1.0 if switches.vpc_dns_down else 0.0
        vpc.lies = {SMS: WRONG_ADDRESS} if switches.vpc_dns_lies else {}
        cluster.drop = switches.cluster_dns_drop
        # a fault shows at once, not after the vendor's TTL; its end shows as slowly as in life
        if switches != Switches():
            for resolver in self._resolvers.values():
                resolver.forget()

    @property
    def vpc(self) -> Resolver:
        """The resolver of the VPC that the faults hit."""
        return self._resolvers[VPC_RESOLVER.id]

    def flush_logs(self) -> None:
        """Write the query logs."""
        for log in self._logs:
            log.flush()

    async def close(self) -> None:
        """Stop everything."""
        for server in self._servers:
            await server.close()
        for upstream in self._upstreams:
            upstream.close()
        for log in self._logs:
            log.close()

    async def _start(self, place: ResolverPlace) -> Resolver:
        port = self._world.ports.dns
        loop = asyncio.get_running_loop()
        _, upstream = await loop.create_datagram_endpoint(
            Upstream, local_addr=(place.address, 0), remote_addr=(place.upstream, port)
        )
        log = QueryLog(self._world.query_log(place.id)) if place.logged else None
        resolver = Resolver(place.own, upstream.ask, log)
        upstream.said = resolver.upstream_said
        self._upstreams.append(upstream)
        if log:
            self._logs.append(log)
        await self._serve(DnsServer(place.address, port, resolver))
        return resolver

    async def _serve(self, server: DnsServer) -> None:
        await server.start()
        self._servers.append(server)
