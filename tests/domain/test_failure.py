"""Every failure has a phase, somebody at fault, and words in both languages."""

from __future__ import annotations

import pytest

from bot.domain.failure import Failure, FaultOf, Phase, fault_of, phase_of
from bot.domain.failure_words import FAILURES


@pytest.mark.parametrize("failure", list(Failure))
def test_every_failure_is_classified_and_has_words(failure: Failure) -> None:
    assert phase_of(failure) in Phase
    assert fault_of(failure) in FaultOf
    assert FAILURES[failure].zh
    assert FAILURES[failure].en


@pytest.mark.parametrize(
    ("failure", "fault", "phase"),
    [
        (Failure.DNS_TIMEOUT, FaultOf.RESOLVER, Phase.DNS),
        (Failure.DNS_NXDOMAIN, FaultOf.TARGET, Phase.DNS),
        (Failure.HOST_UNREACHABLE, FaultOf.TARGET, Phase.TCP),
        (Failure.API_DENIED, FaultOf.TARGET, Phase.API),
        (Failure.PING_TIMEOUT, FaultOf.TARGET, Phase.ICMP),
        (Failure.AGENT_LOST, FaultOf.AGENT, Phase.AGENT),
        (Failure.NO_CREDENTIAL, FaultOf.AGENT, Phase.AGENT),
        (Failure.POLICY_DENIED, FaultOf.POLICY, Phase.AGENT),
    ],
)
def test_an_agents_own_trouble_is_never_the_targets(failure: Failure, fault: FaultOf, phase: Phase) -> None:
    assert (fault_of(failure), phase_of(failure)) == (fault, phase)
