"""Fetching the counters of one CoreDNS pod."""

from __future__ import annotations

import time

from bot.domain.failure import Failure
from bot.probes.base import ProbeContext
from bot.probes.cluster import coredns_metrics
from bot.probes.cluster.coredns_metrics import Scrape
from bot.probes.cluster.kubernetes import Unreadable
from bot.probes.params import Url
from bot.probes.web.exchange import Request, exchange


async def scrape(kind: str, address: str, port: int, ctx: ProbeContext) -> Scrape:
    """One GET of /metrics. Raises Unreadable and Denied."""
    url = Url(scheme="http", host=address, port=port, target="/metrics")
    request = Request(url=url, address=address, max_body=coredns_metrics.MAX_METRICS)
    seen = await exchange(kind, request, ctx, 4.0)
    at = time.monotonic()
    if seen.reply is None or seen.reply.status != 200:
        raise Unreadable(seen.failure or Failure.HTTP_STATUS, seen.reason)
    return coredns_metrics.scrape(seen.reply.body.decode("utf-8", "replace"), at)
