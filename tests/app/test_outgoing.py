"""The rules of sending, without any I/O."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from bot.app.outgoing import (
    GiveUp,
    Retry,
    all_refused,
    chat_row,
    decide,
    first_pager,
    moves_on,
    page_row,
    read_message,
    read_page,
)
from bot.domain.errors import SendFailed
from tests.store.samples import ONSET, message, page


def after_tries(tries: int, error: SendFailed) -> float | None:
    row = dataclasses.replace(page_row(page(), due_at=ONSET), attempts=tries)
    decision = decide(row, error, ONSET)
    return (decision.at - ONSET) / timedelta(seconds=1) if isinstance(decision, Retry) else None


def test_the_pause_doubles_from_one_second_to_thirty_and_never_ends() -> None:
    pauses = [after_tries(n, SendFailed("HTTP 503")) for n in (1, 2, 3, 4, 5, 6, 7, 10_000)]
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]


def test_an_uncertain_failure_is_tried_again_like_any_other() -> None:
    assert after_tries(1, SendFailed("no answer", uncertain=True)) == 1


def test_a_longer_pause_is_kept_when_the_other_side_asks_for_it() -> None:
    assert after_tries(1, SendFailed("HTTP 429", retry_after_s=45)) == 45
    assert after_tries(5, SendFailed("HTTP 429", retry_after_s=2)) == 16


def test_a_refusal_for_good_is_given_up_with_its_reason() -> None:
    row = page_row(page(), due_at=ONSET)
    assert decide(row, SendFailed("HTTP 401", permanent=True), ONSET) == GiveUp(reason="HTTP 401")


@pytest.mark.parametrize(("tries", "first"), [(1, 0), (2, 0), (3, 1), (4, 1), (5, 2), (6, 2), (7, 0)])
def test_each_of_three_providers_gets_two_tries_in_turn(tries: int, first: int) -> None:
    assert first_pager(3, tries) == first


@pytest.mark.parametrize(
    ("error", "moves"),
    [
        (SendFailed("HTTP 401", permanent=True), True),
        (SendFailed("HTTP 429", retry_after_s=60), True),
        (SendFailed("HTTP 429", retry_after_s=2), False),
        (SendFailed("no answer", uncertain=True), False),
    ],
)
def test_a_page_moves_on_at_once_only_when_waiting_would_not_help(error: SendFailed, moves: bool) -> None:
    assert moves_on(error) is moves


def test_a_page_is_given_up_only_when_every_provider_refuses_for_good() -> None:
    gone, busy = SendFailed("HTTP 401", permanent=True), SendFailed("HTTP 429", retry_after_s=60)
    assert all_refused({"a": gone, "b": gone}).permanent
    mixed = all_refused({"a": gone, "b": busy})
    assert (mixed.permanent, mixed.retry_after_s, str(mixed)) == (False, 60, "a: HTTP 401; b: HTTP 429")


def test_pages_and_messages_come_out_of_the_outbox_as_they_went_in() -> None:
    assert read_page(page_row(page(), due_at=ONSET).payload) == page()
    assert read_message(chat_row(message("hello"), due_at=ONSET).payload) == message("hello")
