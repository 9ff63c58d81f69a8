"""The judge: a function of what the provider, the proxy, the processes and the tables say. It does no I/O.

`judge` counts what must be zero and what is told beside it; `table` prints it. Times are monotonic seconds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.faults.excuses import Attempt, attempts_of, overlap
from tests.faults.ledger import Ledger, Rounds
from tests.faults.load import LAST

AFTER_ACK_S = 0.05
VIOLATIONS = {
    "never_called": "pages whose phone never rang although nobody had acknowledged",
    "promised_and_lost": "pages or acknowledgements that were answered with success and are not in the database",
    "effects": "pages for which a phone rang more than once (at a provider that honours keys)",
    "duplicates": "POSTs of a key beyond the first and beyond what was uncertain",
    "after_ack": "POSTs that began more than 50 ms after the acknowledgement had committed",
    "after_claim": "POSTs that began although the claim was lost before the last look; pages that two bots had",
    "late_unrecorded": "calls that crossed an acknowledgement and are not recorded as late",
    "steps": "steps skipped, repeated, out of order, or for the wrong people",
    "page_entries": "pages without exactly one timeline entry",
    "ack_entries": "acknowledgements without exactly one timeline entry",
    "stuck": "rows that were due and free for longer than lease + 2 s with a bot up",
    "timers": "incidents that lost their timer, or that the auditor had to mend",
    "fell_over": "bots that ended by themselves",
    "forged": "POSTs whose signature or key did not fit",
}
"""What must be 0."""
COUNTS = {
    "kills": "kill -9 of a bot",
    "kills_at_points": "... of them at a named crash point",
    "posts_cut_off": "POSTs that a kill cut off before their record",
    "stops": "bots that stood still beyond their lease",
    "database_crashes": "crashes of PostgreSQL",
    "injected": "faults of the proxy",
    "injected_uncertain": "... of them with an uncertain outcome",
    "refusals": "times the provider's port was closed",
    "incidents": "incidents",
    "acknowledged": "acknowledgements",
    "pages": "pages to phones",
    "cancelled": "... of them cancelled before they were made",
    "posts": "POSTs that reached the provider",
    "raw_duplicates": "... of them repeats of a key",
    "allowed_duplicates": "repeats that uncertain outcomes allow",
    "kept_acks": 'acknowledgements answered with "not recorded yet", and found later',
    "slow": "uncertain outcomes for which a measured want of processor or database is the reason",
    "late_calls": "POSTs of stopped or descheduled bots after the acknowledgement (late_call)",
    "coalesced_steps": "steps that were taken together with a later one",
}


@dataclass
class Verdict:
    """`violations` name each of them by kind; `counts` are the rest of the table."""

    violations: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in VIOLATIONS})
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def well(self) -> bool:
        return not any(self.violations.values())

    def add(self, kind: str, what: str) -> None:
        self.violations[kind].append(what)

    def to_json(self) -> dict[str, Any]:
        return {
            "violations": {kind: len(found) for kind, found in self.violations.items()},
            "named": {kind: found[:20] for kind, found in self.violations.items() if found},
            "counts": {name: self.counts[name] for name in COUNTS},
        }


def judge(ledger: Ledger) -> Verdict:
    """Everything that can be said about one world."""
    verdict = Verdict()
    attempts = list(attempts_of(ledger))
    _count(ledger, verdict)
    _never_called(ledger, verdict)
    _duplicates(ledger, verdict, attempts)
    _after_ack(ledger, verdict, attempts)
    _after_claim(ledger, verdict, attempts)
    _steps(ledger, verdict)
    _entries(ledger, verdict)
    _kept(ledger, verdict)
    return verdict


def _count(ledger: Ledger, verdict: Verdict) -> None:
    counts = verdict.counts
    for _pid, began, ended, how, stops in ledger.lives:
        counts["kills"] += how.startswith(("kill", "point"))
        counts["kills_at_points"] += how.startswith("point")
        counts["stops"] += len(stops)
        if how.startswith("exit"):
            verdict.add("fell_over", f"{how} after {ended - began:.1f} s")
    counts["database_crashes"] = len(ledger.crashes)
    counts["injected"] = sum(1 for one in ledger.injected if one[1])
    counts["injected_uncertain"] = sum(one[1] in ("hang", "reset", "500", "drip") for one in ledger.injected)
    counts["refusals"] = ledger.refusals
    counts["incidents"] = len(ledger.rows["incidents"])
    counts["pages"] = len(ledger.rows["outbox"])
    counts["cancelled"] = sum(row["state"] == "cancelled" for row in ledger.rows["outbox"])
    counts["posts"] = len(ledger.posts)
    if ledger.forged:
        verdict.add("forged", f"{ledger.forged} POSTs")


def _never_called(ledger: Ledger, verdict: Verdict) -> None:
    nobodys = {row["id"] for row in ledger.rows["incidents"] if not row["epoch"]}
    acked = _ack_moments(ledger)
    for row in ledger.rows["outbox"]:
        rang, key = ledger.effects.get(row["key"], 0), row["key"]
        if rang > 1 and ledger.honours_keys:
            verdict.add("effects", f"{key}: {rang} times")
        if rang:
            continue
        had = row["incident"] not in nobodys and bool(acked.get(row["incident"]))
        if row["state"] != "cancelled" or not had:
            verdict.add("never_called", f"{key} is {row['state']}: {row.get('error') or ''}")
    rooms = {row["room"]: row["id"] for row in ledger.rows["incidents"]}
    begun = {row["incident"] for row in ledger.rows["escalations"]}
    for room in ledger.promised_rooms:
        if rooms.get(room) not in begun:
            verdict.add("promised_and_lost", f"the page of {room}")
    taken = {(e["incident"], e["actor"] == LAST) for e in ledger.rows["timeline"] if e["kind"] == "ack"}
    verdict.counts["kept_acks"] = ledger.kept_acks
    for incident, way in ledger.promised_acks:
        # What is acknowledged in the end hides nothing that was promised before.
        if (incident, False) not in taken and not (way == "end" and (incident, True) in taken):
            verdict.add("promised_and_lost", f"the acknowledgement of {incident} by {way}")


def _duplicates(ledger: Ledger, verdict: Verdict, attempts: Sequence[Attempt]) -> None:
    begun: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        begun[attempt.key].append(attempt)
        verdict.counts["posts_cut_off"] += attempt.excuse == "killed"
        verdict.counts["slow"] += attempt.excuse == "slow"
    arrived: dict[str, list[str]] = defaultdict(list)
    for key, at in ledger.posts:
        # What arrives belongs to the attempt that began last and has not arrived yet: a request may be overtaken by
        # the next one on its way. One that never arrived excuses nothing.
        before = [attempt for attempt in begun[key] if attempt.at <= at]
        arrived[key].append(before[-1].excuse if before else "")
        if before:
            begun[key].remove(before[-1])
    for key, excuses in arrived.items():
        uncertain = sum(map(bool, excuses))
        verdict.counts["raw_duplicates"] += len(excuses) - 1
        verdict.counts["allowed_duplicates"] += uncertain
        if len(excuses) - 1 > uncertain:
            verdict.add("duplicates", f"{key}: {len(excuses)} POSTs, {uncertain} uncertain")


def _ack_moments(ledger: Ledger) -> dict[str, list[tuple[int, float]]]:
    """Incident -> (epoch, latest moment at which it can have committed), by the bots' own word, else by the answer."""
    moments: dict[str, dict[int, float]] = defaultdict(dict)
    for event in ledger.events:
        if event["e"] == "ack":
            moments[event["incident"]].setdefault(event["epoch"], event["at"])
    for row in ledger.rows["incidents"]:
        if row["epoch"] and row["epoch"] not in moments[row["id"]]:
            # Killed between the commit and our line about it.
            moments[row["id"]][row["epoch"]] = ledger.ack_answers.get(row["id"], float("inf"))
    return {incident: sorted(found.items()) for incident, found in moments.items()}


def _after_ack(ledger: Ledger, verdict: Verdict, attempts: Sequence[Attempt]) -> None:
    acks = _ack_moments(ledger)
    calls = {row["key"]: row for row in ledger.rows["calls"]}
    for attempt in attempts:
        call = calls.get(attempt.key)
        if call is None:
            continue
        older = [at for epoch, at in acks.get(call["incident"], ()) if epoch > call["epoch"]]
        after_s = attempt.at - min(older, default=float("inf"))
        if after_s <= 0:
            continue
        facts = attempt.facts
        knew = facts.get("look", float("inf")) > min(older)
        stood = sum(
            until - since
            for since, until in facts["stops"]
            if overlap(facts.get("look", 0), attempt.at, (since, until))
        )
        # What it waited for a processor, stood still, or waited for the database to end its reading.
        excuse = facts["waited"] + stood + max(0.0, facts.get("read", 0) - facts.get("looked", 0))
        if knew or after_s - excuse > AFTER_ACK_S:
            verdict.add("after_ack", f"{attempt.key}: {after_s * 1000:.0f} ms after, excused {excuse * 1000:.0f} ms")
        elif after_s > AFTER_ACK_S:
            verdict.counts["late_calls"] += 1


def _after_claim(ledger: Ledger, verdict: Verdict, attempts: Sequence[Attempt]) -> None:
    """Lost: its lease had run out, or somebody had claimed the page anew, when the last look began."""
    claims: dict[str, list[tuple[int, float]]] = defaultdict(list)
    whose: dict[tuple[str, int], int] = {}
    for event in ledger.events:
        for key, generation in event["keys"] if event["e"] == "claim" else ():
            if whose.setdefault((key, generation), event["pid"]) != event["pid"]:
                verdict.add("after_claim", f"{key}#{generation}: claimed by two bots at once")
            # Not before it was written down; what a kill kept from being written down accuses nobody.
            claims[key].append((generation, event["at"]))
    for attempt in attempts:
        mine, look = attempt.facts.get("generation", 0), attempt.facts.get("look")
        lost = [at for generation, at in claims[attempt.key] if generation > mine]
        lost += [at + ledger.lease_s for generation, at in claims[attempt.key] if generation == mine]
        if look is not None and (late_s := look - min(lost, default=look)) > 0:
            verdict.add("after_claim", f"{attempt.key}#{mine}: looked {late_s * 1000:.0f} ms after its claim was lost")


def _steps(ledger: Ledger, verdict: Verdict) -> None:
    last: dict[str, int] = defaultdict(int)
    base: dict[str, int] = defaultdict(int)
    for entry in ledger.rows["timeline"]:
        data, incident = entry["data"], entry["incident"]
        if entry["kind"] != "escalation":
            continue
        if "audit" in data:
            verdict.add("timers", f"{incident}: the auditor says {data['audit']}")
        if "severity" in data and "policy" in data:
            base[incident] = last[incident]
        steps = data.get("steps")
        if not steps:
            continue
        if steps != list(range(last[incident] + 1, last[incident] + 1 + len(steps))):
            verdict.add("steps", f"{incident}: {steps} after {last[incident]}")
        verdict.counts["coalesced_steps"] += len(steps) - 1
        expected = {name: number for number in steps for name in people_of(ledger.people, number - base[incident])}
        found = {page["person"]: page["step"] for page in data["pages"]}
        if expected != found or len(found) != len(data["pages"]):
            verdict.add("steps", f"{incident}: steps {steps} called {found}, not {expected}")
        last[incident] = steps[-1]
    for row in ledger.rows["escalations"]:
        if row["step"] != last[row["incident"]]:
            verdict.add("steps", f"{row['incident']}: stands at {row['step']}, recorded {last[row['incident']]}")


def people_of(rounds: Rounds, number: int) -> Sequence[str]:
    """Who is called by the n-th step, counted from 1."""
    once, ever = rounds
    index = number - 1
    return once[index] if index < len(once) else ever[(index - len(once)) % len(ever)] if ever else ()


def _entries(ledger: Ledger, verdict: Verdict) -> None:
    queued: Counter[str] = Counter()
    ended: dict[str, list[dict[str, Any]]] = defaultdict(list)
    acks: dict[str, list[int]] = defaultdict(list)
    for entry in ledger.rows["timeline"]:
        data = entry["data"]
        queued.update(page["key"] for page in data.get("pages") or () if entry["kind"] == "escalation")
        queued.update([data["key"]] if "paged" in data else data.get("spooled") or ())
        if entry["kind"] == "page" and "state" in data:
            ended[data["key"]].append(entry)
        if entry["kind"] == "ack":
            acks[entry["incident"]].append(entry["seq"])
    epochs = {row["key"]: row["epoch"] for row in ledger.rows["calls"]}
    for row in ledger.rows["outbox"]:
        key, state = row["key"], row["state"]
        if queued[key] != 1:
            verdict.add("page_entries", f"{key}: queued by {queued[key]} entries")
        wanted = (0, 1) if state == "cancelled" else (0,) if state == "pending" else (1,)
        if len(ended[key]) not in wanted:
            verdict.add("page_entries", f"{key} is {state}: {len(ended[key])} entries about its end")
        for entry in ended[key]:
            before = sum(seq < entry["seq"] for seq in acks[row["incident"]])
            late = entry["data"]["state"] == "sent" and before > epochs.get(key, 0)
            if late != bool(entry["data"].get("late_call")):
                verdict.add("late_unrecorded", f"{key}: late_call is {entry['data'].get('late_call')}")
    for row in ledger.rows["incidents"]:
        verdict.counts["acknowledged"] += row["epoch"]
        if len(acks[row["id"]]) != row["epoch"]:
            verdict.add("ack_entries", f"{row['id']}: {len(acks[row['id']])} entries, epoch {row['epoch']}")


def _kept(ledger: Ledger, verdict: Verdict) -> None:
    for name in ledger.stuck:
        verdict.add("stuck", name)
    for incident in ledger.without_timer:
        verdict.add("timers", f"{incident} waits for nothing")


def add_up(verdicts: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, int]]:
    """The sums of what `Verdict.to_json` gave for several worlds."""
    sums: dict[str, Counter[str]] = {"violations": Counter(), "counts": Counter()}
    for row in verdicts:
        for part, counts in sums.items():
            counts.update(row[part])
    return {part: dict(counts) for part, counts in sums.items()}


def table(columns: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures of each combination, and of all together."""
    names = [*columns, "all"]
    sums = {**columns, "all": add_up(columns.values())}
    lines = [f"{'':<20}" + "".join(f"{name:>15}" for name in names)]
    for part, words in (("violations", VIOLATIONS), ("counts", COUNTS)):
        lines.append("must be 0" if part == "violations" else "told beside it")
        for name in words:
            figures = "".join(f"{sums[column][part].get(name, 0):>15,}" for column in names)
            lines.append(f"  {name:<18}{figures}")
    return "\n".join(lines)
