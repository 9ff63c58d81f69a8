from __future__ import annotations

import errno

import pytest

from bot.domain.failure import Failure, FaultOf, Phase
from bot.probes.classify import Closed, LocalError, classify


@pytest.mark.parametrize(
    ("exc", "phase", "failure"),
    [
        (TimeoutError(), Phase.DNS, Failure.DNS_TIMEOUT),
        (OSError(errno.ETIMEDOUT, ""), Phase.TCP, Failure.TCP_TIMEOUT),
        (TimeoutError(), Phase.TLS, Failure.TLS_TIMEOUT),
        (TimeoutError(), Phase.HTTP, Failure.HTTP_TIMEOUT),
        (TimeoutError(), Phase.ICMP, Failure.PING_TIMEOUT),
        (OSError(errno.ECONNREFUSED, ""), Phase.TCP, Failure.TCP_REFUSED),
        (OSError(errno.ECONNRESET, ""), Phase.TCP, Failure.TCP_RESET),
        (OSError(errno.ECONNRESET, ""), Phase.TLS, Failure.TLS_FAILED),
        (OSError(errno.EPIPE, ""), Phase.HTTP, Failure.HTTP_PROTOCOL),
        (OSError(errno.EHOSTUNREACH, ""), Phase.TCP, Failure.HOST_UNREACHABLE),
        (OSError(errno.ENETUNREACH, ""), Phase.ICMP, Failure.NETWORK_UNREACHABLE),
        (OSError(errno.EHOSTUNREACH, ""), Phase.DNS, Failure.DNS_UNREACHABLE),
        (Closed(), Phase.TLS, Failure.TLS_FAILED),
    ],
)
def test_the_phase_names_what_the_network_said(exc: Exception, phase: Phase, failure: Failure) -> None:
    seen = classify(exc, phase)
    assert (seen.failure, seen.fault) == (failure, None)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL])
def test_the_agents_own_limits_are_never_the_targets_fault(code: int) -> None:
    for phase in (Phase.DNS, Phase.TCP, Phase.ICMP):
        seen = classify(OSError(code, ""), phase)
        assert (seen.failure, seen.fault) == (Failure.AGENT_ERROR, FaultOf.AGENT)


def test_having_no_route_oneself_is_the_agents_fault() -> None:
    seen = classify(LocalError(errno.ENETUNREACH), Phase.TCP)
    assert (seen.failure, seen.fault, seen.reason) == (Failure.NETWORK_UNREACHABLE, FaultOf.AGENT, "ENETUNREACH")


def test_what_nobody_expected_is_named_by_its_class_only() -> None:
    seen = classify(RuntimeError("secret words"), Phase.HTTP)
    assert (seen.failure, seen.fault, seen.reason) == (Failure.AGENT_ERROR, FaultOf.AGENT, "RuntimeError")
