"""The judge on ledgers made by hand: what is right passes, and each wrong is named."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from tests.faults.invariants import add_up, judge, people_of, table
from tests.faults.ledger import Ledger

KEY = "INC-1:1:lin:1"
ALIVE = (7, 0.0, 100.0, "end", [])


def page(state: str, seq: int, **more: Any) -> dict[str, Any]:
    return {
        "seq": seq,
        "kind": "page",
        "incident": "INC-1",
        "actor": "warroom",
        "data": {"key": KEY, "state": state, **more},
    }


def step(numbers: list[int], people: list[str], seq: int) -> dict[str, Any]:
    pages = [{"key": f"INC-1:{numbers[-1]}:{name}:1", "person": name, "step": numbers[-1]} for name in people]
    data = {"steps": numbers, "pages": pages}
    return {"seq": seq, "kind": "escalation", "incident": "INC-1", "actor": "warroom", "data": data}


def ledger(**more: Any) -> Ledger:
    """One incident, one page that went out once and was recorded, nobody has it."""
    rows = {
        "incidents": [{"id": "INC-1", "room": "console:f1", "state": "open", "epoch": 0, "acked_by": None}],
        "escalations": [{"incident": "INC-1", "phase": "paging", "step": 1, "due_at": "later"}],
        "calls": [
            {"key": KEY, "incident": "INC-1", "step": 1, "person": "lin", "ways": "phone", "epoch": 0, "state": "sent"}
        ],
        "outbox": [{"key": KEY, "incident": "INC-1", "state": "sent", "epoch": 0, "error": None}],
        "timeline": [step([1], ["lin"], 1), page("sent", 2)],
    }
    made = {
        "people": ((), (("lin",), ("chen",))),
        "posts": [(KEY, 10.1)],
        "effects": {KEY: 1},
        "events": [claim(9.9), post(10.0), answer(10.2, status=202), record(10.3)],
        "lives": [ALIVE],
        "rows": rows,
    }
    return Ledger(**{**made, **more})


def claim(at: float, pid: int = 7, *, generation: int = 1, ran: float = 0.0) -> dict[str, Any]:
    return {"e": "claim", "at": at, "since": at, "pid": pid, "keys": [[KEY, generation]], "ran": ran}


def post(at: float, pid: int = 7, *, look: float | None = None, generation: int = 1) -> dict[str, Any]:
    looked = at - 0.001 if look is None else look
    return {
        "generation": generation,
        "e": "post",
        "at": at,
        "pid": pid,
        "key": KEY,
        "look": looked,
        "looked": looked,
        "read": looked,
        "waited": 0.0,
    }


def answer(at: float, pid: int = 7, **more: Any) -> dict[str, Any]:
    return {"e": "answer", "at": at, "pid": pid, "key": KEY, **more}


def record(at: float, pid: int = 7, *, done: bool = True) -> dict[str, Any]:
    return {"e": "record", "at": at, "pid": pid, "key": KEY, "state": "sent", "done": done}


def acked(made: Ledger, at: float, *, late: bool | None = None) -> Ledger:
    """The same with an acknowledgement that committed `at`; `late` sets what the page's entry says, after it."""
    made.rows["incidents"][0].update(epoch=1, acked_by="lin")
    entry = {"seq": 3, "kind": "ack", "incident": "INC-1", "actor": "lin", "data": {}}
    made.rows["timeline"].append(entry)
    if late is not None:
        made.rows["timeline"][1] = page("sent", 4, **({"late_call": True} if late else {}))
    made.events.append({"e": "ack", "at": at, "pid": 7, "incident": "INC-1", "epoch": 1})
    return made


def found(made: Ledger) -> dict[str, int]:
    return {kind: count for kind, count in judge(made).to_json()["violations"].items() if count}


def test_a_page_that_went_out_once_is_well() -> None:
    assert found(ledger()) == {}


def test_a_page_written_down_as_sent_that_never_rang_was_never_called() -> None:
    assert found(ledger(posts=[], effects={}, events=[])) == {"never_called": 1}


def test_a_cancelled_page_is_well_only_if_somebody_had_it() -> None:
    made = ledger(posts=[], effects={}, events=[])
    made.rows["outbox"][0]["state"] = "cancelled"
    made.rows["timeline"].pop()
    assert found(deepcopy(made)) == {"never_called": 1}
    assert found(acked(made, 9.0)) == {}


def test_a_second_post_needs_an_uncertain_first() -> None:
    twice = {"posts": [(KEY, 10.1), (KEY, 12.1)]}
    again = [claim(11.9, generation=2), post(12.0, generation=2), answer(12.2, status=202)]
    first = [claim(9.9), post(10.0)]
    lost = [*first, answer(10.2, error="connection lost before the answer"), record(10.3)]
    assert found(ledger(**twice, events=[*first, answer(10.2, status=202), record(10.3), *again])) == {"duplicates": 1}
    assert found(ledger(**twice, events=[*lost, *again, record(12.3)])) == {"duplicates": 1}
    injected = [(KEY, "reset", 10.1, 0.0)]
    assert found(ledger(**twice, injected=injected, events=[*lost, *again, record(12.3)])) == {}


def test_a_request_that_is_overtaken_by_the_next_one_is_still_the_first_ones() -> None:
    events = [claim(9.9), post(10.0), answer(10.7, error="no answer within 0.6 s"), record(10.75)]
    events += [claim(11.9, generation=2), post(12.0, generation=2), answer(12.2, status=202), record(12.3)]
    both_late = {"posts": [(KEY, 12.1), (KEY, 12.1)], "events": events}
    assert found(ledger(**both_late)) == {"duplicates": 1}
    assert found(ledger(**both_late, lags=[(10.1, 12.05)])) == {}


def test_a_kill_between_post_and_record_excuses_one_repeat_and_not_two() -> None:
    lives = [(6, 0.0, 10.2, "kill", []), ALIVE]
    first, again = [claim(9.9, 6), post(10.0, 6)], [claim(11.9, generation=2), post(12.0, generation=2)]
    events = [*first, *again, answer(12.2, status=202), record(12.3)]
    assert found(ledger(posts=[(KEY, 10.1), (KEY, 12.1)], lives=lives, events=events)) == {}
    assert found(ledger(posts=[(KEY, 10.1), (KEY, 12.1), (KEY, 12.15)], lives=lives, events=events)) == {
        "duplicates": 1
    }


def test_a_provider_that_honours_keys_rings_once() -> None:
    assert found(ledger(effects={KEY: 2})) == {"effects": 1}
    assert found(ledger(effects={KEY: 2}, honours_keys=False)) == {}


def test_a_post_that_began_60_ms_after_the_acknowledgement_is_wrong_and_40_ms_is_on_its_way() -> None:
    assert found(acked(ledger(), 9.94, late=True)) == {"after_ack": 1}
    early = ledger()
    early.events[1] = post(10.0, look=9.9)
    assert found(acked(early, 9.96, late=True)) == {}


def test_a_bot_that_stood_still_between_its_look_and_its_post_is_excused_and_the_call_must_be_recorded_as_late() -> (
    None
):
    stood = ledger(lives=[(7, 0.0, 100.0, "end", [(9.0, 9.95)])])
    stood.events[1] = post(10.0, look=8.99)
    assert found(acked(deepcopy(stood), 9.5, late=True)) == {}
    assert judge(acked(deepcopy(stood), 9.5, late=True)).counts["late_calls"] == 1
    assert found(acked(stood, 9.5, late=False)) == {"late_unrecorded": 1}


def test_a_bot_that_looked_after_the_acknowledgement_has_no_excuse() -> None:
    assert found(acked(ledger(lives=[(7, 0.0, 100.0, "end", [(9.0, 9.95)])]), 9.99, late=True)) == {"after_ack": 1}


def test_a_bot_that_calls_after_its_claim_was_lost_has_no_excuse() -> None:
    """Its lease was over, or another one had the page, when it looked for the last time; afterwards it cannot know."""
    over = ledger(lives=[(7, 0.0, 100.0, "end", [(8.3, 9.9)])])
    over.events[0] = claim(8.2)
    assert found(over) == {"after_claim": 1}
    taken = ledger(posts=[(KEY, 10.1)])
    taken.events.insert(1, claim(9.95, 8, generation=2))
    assert found(taken) == {"after_claim": 1}
    both = ledger()
    both.events.insert(1, claim(9.99, 8))
    assert found(both) == {"after_claim": 1}
    after_the_look = ledger()
    after_the_look.events[1] = post(10.0, look=9.9)
    after_the_look.events.insert(1, claim(9.95, 8, generation=2))
    assert found(after_the_look) == {}


def test_a_slow_bot_is_excused_by_what_was_measured_and_by_nothing_else() -> None:
    twice = {"posts": [(KEY, 10.1), (KEY, 12.1)]}
    again = [claim(11.9, generation=2), post(12.0, generation=2), answer(12.2, status=202), record(12.3)]
    late = [claim(9.9), post(10.0), answer(10.8, error="no answer within 0.8 s"), record(10.9)]
    assert found(ledger(**twice, events=[*late, *again])) == {"duplicates": 1}
    late[2]["ran"] = 0.35  # it ran, or waited for a processor
    assert found(ledger(**twice, events=[*late, *again])) == {}
    late[2]["ran"], late[2]["database"] = 0.0, 0.35
    assert found(ledger(**twice, events=[*late, *again])) == {}
    late[2]["database"] = 0.0
    assert found(ledger(**twice, events=[*late, *again], lags=[(10.1, 10.5)])) == {}


def test_what_is_acknowledged_in_the_end_hides_no_acknowledgement_that_was_lost() -> None:
    made = acked(ledger(promised_acks=[("INC-1", "phone")], kept_acks=1), 11.0)
    assert found(made) == {}
    made.rows["timeline"][-1]["actor"] = "boss"
    assert found(made) == {"promised_and_lost": 1}
    made.promised_acks = [("INC-1", "end")]
    assert found(made) == {}


def test_steps_are_taken_in_order_by_the_right_people_and_coalesced_ones_are_named() -> None:
    assert people_of(((("a",),), (("b",), ("c",))), 4) == ("b",)
    made = ledger()
    made.rows["escalations"][0]["step"] = 3
    skipped, together = deepcopy(made), deepcopy(made)
    skipped.rows["timeline"].append(step([3], ["lin"], 3))
    assert "steps" in found(skipped)
    both = step([2, 3], ["lin"], 3)
    both["data"]["pages"].append({"key": "INC-1:2:chen:1", "person": "chen", "step": 2})
    together.rows["timeline"].append(both)
    assert "steps" not in found(together)


def test_what_was_promised_is_kept() -> None:
    assert found(ledger(promised_rooms=["console:f2"], promised_acks=[("INC-1", "phone")])) == {"promised_and_lost": 2}


def test_an_acknowledgement_has_one_entry_and_a_page_one_end() -> None:
    made = acked(ledger(), 11.0)
    made.rows["timeline"].pop()
    made.rows["timeline"].append(page("sent", 5))
    assert found(made) == {"ack_entries": 1, "page_entries": 1}


def test_what_the_auditor_had_to_mend_is_counted_and_so_is_a_bot_that_fell_over() -> None:
    made = ledger(lives=[(7, 0.0, 100.0, "exit 1", [])], without_timer=["INC-1"], stuck=["INC-1 step 1"])
    assert found(made) == {"timers": 1, "fell_over": 1, "stuck": 1}


def test_the_table_adds_up() -> None:
    row = judge(ledger()).to_json()
    assert add_up([row, row])["counts"]["pages"] == 2
    assert "never_called" in table({"sqlite/1": row})
