"""Which of two severities is the graver."""

from __future__ import annotations

from bot.domain.severity import graver, gravest


def test_sev1_is_the_gravest() -> None:
    assert (gravest(["sev2", "sev1"]), gravest(["sev3", "sev4"]), gravest(["sev2"])) == ("sev1", "sev3", "sev2")
    assert (graver("sev1", "sev2"), graver("sev2", "sev1"), graver("sev2", "sev2")) == (True, False, False)
