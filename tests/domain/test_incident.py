"""The lifecycle is one table, and it has no holes."""

from __future__ import annotations

import pytest

from bot.domain.incident import ESCALATING, MOVES, OPEN, IncidentState, Move, moves_of
from tests.store.samples import incident

D, I, M, R, C = IncidentState  # noqa: E741 - their initials


@pytest.mark.parametrize(
    ("state", "moves"),
    [
        (D, (Move.INVESTIGATE, Move.MITIGATE, Move.RESOLVE)),
        (I, (Move.MITIGATE, Move.RESOLVE)),
        (M, (Move.REOPEN, Move.RESOLVE)),
        (R, (Move.REOPEN, Move.CLOSE)),
        (C, (Move.REOPEN,)),
    ],
)
def test_what_can_happen_in_each_state(state: IncidentState, moves: tuple[Move, ...]) -> None:
    assert moves_of(state) == moves


def test_every_state_can_be_reached_and_none_is_a_dead_end() -> None:
    assert set(MOVES.values()) == set(IncidentState) - {D}
    assert all(moves_of(state) for state in IncidentState)


def test_whoever_reopens_has_to_look_at_it_again() -> None:
    assert {to for (_, move), to in MOVES.items() if move is Move.REOPEN} == {I}


def test_people_are_called_only_about_what_is_open() -> None:
    assert ESCALATING < OPEN
    assert [incident(state=s).is_open for s in IncidentState] == [True, True, True, False, False]
    assert [incident(state=s).escalates for s in IncidentState] == [True, True, False, False, False]


def test_looking_at_it_moves_a_declared_incident_and_no_other() -> None:
    assert incident().looked_at().state is I
    assert incident(state=M).looked_at().state is M
    assert incident(state=C).after(Move.RESOLVE) is None
