"""CEL over facts with three values."""

from __future__ import annotations

import pytest

from bot.diagnosis.expressions import Bound, Expression, ExpressionError, check_names

FACTS = Bound({"inside": {"tcp": {"up": True, "rate": 1.0, "failure": ""}}, "outside": {}})


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("inside.tcp.up", True),
        ("inside.tcp.rate < 0.5", False),
        ("outside.tcp.up", None),
        ("outside.tcp.up && inside.tcp.up", None),
        ("outside.tcp.up || inside.tcp.up", True),
        ("outside.tcp.up && inside.tcp.rate < 0.5", False),
        ("!outside.tcp.up", None),
        ('inside.tcp.failure in ["tcp_timeout"]', False),
    ],
)
def test_what_was_not_measured_is_unknown_and_never_no(source: str, said: bool | None) -> None:
    assert Expression(source).holds(FACTS) is said


@pytest.mark.parametrize("source", ["inside.tpc.up", "insde.tcp.up", "inside.tcp.upp", "inside.top.who", "scope.vpc"])
def test_a_misspelled_fact_is_an_error_and_not_for_ever_unknown(source: str) -> None:
    with pytest.raises(ExpressionError):
        check_names(source)


def test_names_inside_quotes_are_not_facts() -> None:
    check_names('inside.tcp.failure in ["tcp.timeout", "a.b.c"]')


def test_what_does_not_parse_says_so() -> None:
    with pytest.raises(ExpressionError):
        Expression("inside.tcp.up &&")
