"""The kinds of probe there are: one explicit table, and the one way to run a kind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from bot.domain.failure import Failure
from bot.domain.probe import Json, Outcome
from bot.probes import api, dns, dns_top, http, object_store, ping, tcp, tls
from bot.probes.base import BadParams, Denied, ProbeContext, ProbeFunction, failed

KINDS: dict[str, ProbeFunction] = {
    "dns": dns.probe,
    "tcp": tcp.probe,
    "tls": tls.probe,
    "http": http.probe,
    "ping": ping.probe,
    "api": api.probe,
    "object_store": object_store.probe,
    "dns_top": dns_top.probe,
}
_log = logging.getLogger(__name__)


async def run(kind: str, params: Mapping[str, Json], ctx: ProbeContext, timeout_s: float) -> Outcome:
    """Run one probe; whatever happens is an Outcome (only cancellation passes through)."""
    function = KINDS.get(kind)
    if function is None:
        return failed(Failure.UNSUPPORTED, reason=f"this agent knows no probe of kind {kind[:40]!r}")
    if ctx.kinds is not None and kind not in ctx.kinds:
        return failed(Failure.POLICY_DENIED, reason=f"the agent's policy permits only {', '.join(sorted(ctx.kinds))}")
    if ctx.pace is not None and not await ctx.pace("probe"):
        return failed(Failure.AGENT_OVERLOADED, reason="the agent's budget of probes per second is used up")
    try:
        async with asyncio.timeout(timeout_s):
            return await function(params, ctx)
    except Denied as exc:
        return failed(Failure.POLICY_DENIED, reason=str(exc))
    except BadParams as exc:
        return failed(Failure.UNSUPPORTED, reason=str(exc))
    except TimeoutError:
        return failed(Failure.AGENT_ERROR, reason=f"the probe did not finish within {timeout_s:g} s")
    except Exception as exc:  # noqa: BLE001 - a probe's bug must not take the agent down; the hub gets its name only
        _log.warning("probe %s failed", kind, exc_info=True)
        return failed(Failure.AGENT_ERROR, reason=type(exc).__name__)
