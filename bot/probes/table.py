"""The kinds of probe there are: one explicit table, and the one way to run a kind."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path

from bot.domain.failure import Failure
from bot.domain.probe import Json, Outcome
from bot.probes.base import BadParams, Denied, Prepare, Probe, ProbeContext, failed
from bot.probes.classify import Classified
from bot.probes.redact import redactor


def _late(module: str) -> Prepare:
    """A kind whose module is imported when it is first asked for, so that an agent takes no memory for the others."""

    @cache
    def found() -> Prepare:
        prepare: Prepare = import_module(f"bot.probes.{module}").prepare
        return prepare

    def prepare(params: Mapping[str, Json]) -> Probe:
        return found()(params)

    return prepare


KINDS: dict[str, Prepare] = {
    "dns": _late("dns"),
    "tcp": _late("tcp"),
    "tls": _late("tls"),
    "http": _late("http"),
    "ping": _late("ping"),
    "mtu": _late("mtu"),
    "trace": _late("trace"),
    "clock": _late("clock"),
    "api": _late("api"),
    "object_store": _late("object_store"),
    "dns_top": _late("dns_top"),
    "mysql": _late("mysql"),
    "postgres": _late("postgres"),
    "redis": _late("redis"),
    "coredns": _late("coredns"),
    "changes": _late("changes"),
    "status_page": _late("status_page"),
    "metrics": _late("metrics"),
    "logs": _late("logs"),
}
_log = logging.getLogger(__name__)


def check(kind: str, params: Mapping[str, Json]) -> None:
    """What the hub refuses before it sends anything: an unknown kind, a parameter that is wrong. Raises BadParams."""
    prepare = KINDS.get(kind)
    if prepare is None:
        raise BadParams(f"there is no probe of kind {kind[:40]!r}; there are {', '.join(KINDS)}")
    prepare(params)


async def run(kind: str, params: Mapping[str, Json], ctx: ProbeContext, timeout_s: float) -> Outcome:
    """Run one probe; whatever happens is an Outcome without our secrets (only cancellation passes through)."""
    return redactor(ctx).outcome(await _run(kind, params, ctx, timeout_s))


async def _run(kind: str, params: Mapping[str, Json], ctx: ProbeContext, timeout_s: float) -> Outcome:
    prepare = KINDS.get(kind)
    if prepare is None:
        return failed(Failure.UNSUPPORTED, reason=f"this agent knows no probe of kind {kind[:40]!r}")
    if ctx.kinds is not None and kind not in ctx.kinds:
        return failed(Failure.POLICY_DENIED, reason=f"the agent's policy permits only {', '.join(sorted(ctx.kinds))}")
    if ctx.pace is not None and not await ctx.pace("probe"):
        return failed(Failure.AGENT_OVERLOADED, reason="the agent's budget of probes per second is used up")
    try:
        async with asyncio.timeout(timeout_s):
            return await prepare(params)(ctx)
    except Denied as exc:
        return failed(Failure.POLICY_DENIED, reason=str(exc))
    except BadParams as exc:
        return failed(Failure.UNSUPPORTED, reason=str(exc))
    except Classified as exc:
        return failed(exc.failure, fault=exc.fault, reason=exc.reason)
    except TimeoutError:
        return failed(Failure.AGENT_ERROR, reason=f"the probe did not finish within {timeout_s:g} s")
    except Exception as exc:  # noqa: BLE001 - a probe's bug must not take the agent down; the hub gets its name only
        # One short line, for it may come 50 times a second; and no message, for a library may put anything into it.
        frame = traceback.extract_tb(exc.__traceback__)[-1]
        _log.warning("probe %s failed: %s at %s:%s", kind, type(exc).__name__, Path(frame.filename).name, frame.lineno)
        _log.debug("probe %s failed", kind, exc_info=True)
        return failed(Failure.AGENT_ERROR, reason=type(exc).__name__)
