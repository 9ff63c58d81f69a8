"""The decision about an escalation: a function of where it stands, what the policies say, who is on call, and now.

It knows no clock, table or provider. All steps whose time has passed are taken in one decision, so that a bot that was
away for an hour calls each person once, for the present state, and names the steps it was late for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from bot.domain.escalation import LOUD, Escalation, Phase, Policy, QuietHours, Step, Target, Way
from bot.domain.page import CallMade, CallState, Person, page_key

Policies = Callable[[str], Policy | None]
"""A policy by its name, None for one that no longer exists."""
WhoIs = Callable[[Target, datetime], Sequence[Person]]
"""The people behind a target at a moment; nobody while a schedule has a gap or a role is free."""

LATE = timedelta(seconds=10)
"""A step later than this was held up: whoever is called gets the whole time to answer, counted from now."""
SHORTEST_ROUND = timedelta(seconds=1)
"""Between two rounds, whatever the policy says: a loop must not spin."""
LOST_POLICY_AGAIN = timedelta(minutes=1)
MOST_AT_ONCE = 50
"""Steps that reach nobody follow each other at once; after so many something must be wrong with the policies."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PageDue:
    """Somebody to be reached now. `step` and `attempt` belong to the page's key."""

    person: Person
    ways: tuple[Way, ...]
    step: int
    attempt: int = 1

    def call(self, incident: str, *, epoch: int = 0, at: datetime) -> CallMade:
        """The call as it is queued; where no phone is to ring it is said, and that is all."""
        return CallMade(
            key=page_key(incident, step=self.step, person=self.person.name, attempt=self.attempt),
            incident=incident,
            step=self.step,
            attempt=self.attempt,
            epoch=epoch,
            person=self.person.name,
            ways=tuple(way.value for way in self.ways),
            state=CallState.QUEUED if Way.PHONE in self.ways else CallState.SAID,
            queued_at=at,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class StepTaken:
    """One step of a policy: whom it reached, which of its targets stood for nobody, whose phone stays silent."""

    step: int
    policy: str
    index: int
    round: int
    due_at: datetime
    people: tuple[str, ...] = ()
    nobody: tuple[Target, ...] = ()
    no_phone: tuple[str, ...] = ()
    quiet: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What is to be done, and where the escalation stands then."""

    next: Escalation
    pages: tuple[PageDue, ...] = ()
    taken: tuple[StepTaken, ...] = ()
    unacknowledged: bool = False
    """Nobody did anything for too long: the incident is nobody's again."""
    exhausted: bool = False
    """Every round of the last level is done; `next` says whether it starts again."""
    lost_policy: str = ""
    """The policy that does not exist any more."""


def decide(state: Escalation, *, policies: Policies, who: WhoIs, now: datetime) -> Decision:
    """Take every step that is due; nothing when none is."""
    if state.phase is Phase.OVER or state.due_at is None or state.due_at > now:
        return Decision(next=state)
    unacknowledged = state.phase is Phase.HELD
    if unacknowledged:
        state = restarted(state, now)
    taken: list[StepTaken] = []
    pages: dict[str, PageDue] = {}
    exhausted, in_vain = False, 0
    while state.due_at is not None and state.due_at <= now:
        policy = policies(state.policy)
        if policy is None or not policy.steps:
            return _lost(state, policies, now, taken, pages, unacknowledged)
        due = state.due_at
        if state.index < len(policy.steps):
            step = _take(state, policy, policy.steps[state.index], who, now, pages)
            taken.append(step)
            reached = _reached(step)
            called = (*state.called, *step.people)
            state = replace(state, step=step.step, called=called)
        else:
            reached = True
        in_vain = 0 if reached else in_vain + 1
        gap = reached or in_vain >= MOST_AT_ONCE
        then, ended = _after(state, policy, policies, due, gap=gap)
        if then.due_at is not None and then.due_at > now and now - due > LATE:
            then, ended = _after(state, policy, policies, now, gap=gap)
        exhausted = exhausted or ended
        state = then
    return Decision(
        next=state,
        pages=tuple(pages.values()),
        taken=tuple(taken),
        unacknowledged=unacknowledged,
        exhausted=exhausted,
    )


def begin(incident: str, policy: Policy, *, severity: str, epoch: int, now: datetime, step: int = 0) -> Escalation:
    """The escalation of an incident at its start. `step` goes on counting where an earlier one ended."""
    return Escalation(
        incident=incident,
        policy=policy.name,
        first=policy.name,
        severity=severity,
        started_at=now,
        due_at=now + policy.steps[0].after if policy.steps else now,
        step=step,
        epoch=epoch,
    )


def hurried(state: Escalation, now: datetime) -> Escalation:
    """The next step is due now: somebody asked for it. One that was over goes on with its last level."""
    if state.phase is Phase.OVER:
        return replace(state, phase=Phase.PAGING, index=0, round=1, due_at=now)
    return replace(state, due_at=min(now, state.due_at or now))


def passed_over(state: Escalation, now: datetime) -> Escalation:
    """The step just taken reached nobody after all (every provider refuses): the next one is due now.

    Not so where the next step is the same people once more: asked again at once they would be refused again.
    """
    fresh_level = state.round == 1 and state.again == 0 and state.policy != state.first
    if state.phase is not Phase.PAGING or (state.index == 0 and not fresh_level):
        return state
    return hurried(state, now)


def held(state: Escalation, *, epoch: int, until: datetime | None) -> Escalation:
    """Somebody has it, until the moment at which it would be taken from them."""
    return replace(state, phase=Phase.HELD, epoch=epoch, due_at=until, called=())


def over(state: Escalation) -> Escalation:
    """The incident is over."""
    return replace(state, phase=Phase.OVER, due_at=None)


def restarted(state: Escalation, now: datetime) -> Escalation:
    """From the first step of the first level; `step` goes on counting, so that keys are new."""
    first = state.first or state.policy
    return replace(state, policy=first, phase=Phase.PAGING, index=0, round=1, again=0, due_at=now, called=())


def is_quiet(quiet: QuietHours | None, severity: str, now: datetime) -> bool:
    """Whether phones stay silent for this severity now."""
    if quiet is None or severity not in quiet.severities:
        return False
    at = now.astimezone(ZoneInfo(quiet.timezone)).time()
    if quiet.start <= quiet.end:
        return quiet.start <= at < quiet.end
    return at >= quiet.start or at < quiet.end


def _take(
    state: Escalation, policy: Policy, step: Step, who: WhoIs, now: datetime, pages: dict[str, PageDue]
) -> StepTaken:
    """Put the step's people into `pages`, each once; a person who is in it already is paged for the later step."""
    number = state.step + 1
    quiet = Way.PHONE in step.by and is_quiet(policy.quiet, state.severity, now)
    by = tuple(w for w in step.by if w is not Way.PHONE) or (Way.CHAT,) if quiet else step.by
    people: list[str] = []
    nobody: list[Target] = []
    no_phone: list[str] = []
    for target in step.who:
        found = who(target, now)
        if not found:
            nobody.append(target)
        for person in found:
            if person.name in people:
                continue
            people.append(person.name)
            ways = by
            if Way.PHONE in by and not person.phone:
                no_phone.append(person.name)
                ways = tuple(w for w in by if w is not Way.PHONE) or (Way.CHAT,)
            before = pages.pop(person.name, None)
            merged = tuple(dict.fromkeys((*(before.ways if before else ()), *ways)))
            pages[person.name] = PageDue(person=person, ways=merged, step=number)
    return StepTaken(
        step=number,
        policy=policy.name,
        index=state.index,
        round=state.round,
        due_at=state.due_at or now,
        people=tuple(people),
        nobody=tuple(nobody),
        no_phone=tuple(no_phone),
        quiet=quiet,
    )


def _reached(step: StepTaken) -> bool:
    """Whether anybody could answer: a phone that nobody has is no reason to wait."""
    return len(step.people) > len(step.no_phone)


def _after(
    state: Escalation, policy: Policy, policies: Policies, base: datetime, *, gap: bool
) -> tuple[Escalation, bool]:
    """Where it stands after the step at `state.index`, and whether that was the last one of all.

    `gap` is False when nobody was reached: the next step is due at once, unless it is the same people once more.
    """
    nothing = timedelta(0)
    if state.index + 1 < len(policy.steps):
        wait = policy.steps[state.index + 1].after if gap else nothing
        return replace(state, index=state.index + 1, due_at=base + wait), False
    every = max(policy.every, SHORTEST_ROUND)
    if state.round < policy.rounds:
        return replace(state, index=0, round=state.round + 1, due_at=base + every), False
    level = policies(policy.then) if policy.then else None
    if level is not None and level.steps:
        wait = (every if gap else nothing) + level.steps[0].after
        return replace(state, policy=level.name, index=0, round=1, due_at=base + wait), False
    if policy.stops or state.severity not in LOUD:
        return replace(state, phase=Phase.OVER, due_at=None), True
    return replace(state, index=0, round=1, again=state.again + 1, due_at=base + every), True


def _lost(
    state: Escalation,
    policies: Policies,
    now: datetime,
    taken: list[StepTaken],
    pages: dict[str, PageDue],
    unacknowledged: bool,
) -> Decision:
    """The policy is gone from the configuration: go on with the one it began with, else look again in a minute."""
    first = policies(state.first) if state.first != state.policy else None
    then = replace(state, index=0, round=1, due_at=now + LOST_POLICY_AGAIN)
    if first is not None and first.steps:
        then = replace(then, policy=first.name, due_at=now)
    return Decision(
        next=then,
        pages=tuple(pages.values()),
        taken=tuple(taken),
        unacknowledged=unacknowledged,
        lost_policy=state.policy,
    )
