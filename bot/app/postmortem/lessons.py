"""What went well and what hurt: facts that speak for themselves, then what people wrote. Systems, never persons."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bot.app import words
from bot.app.postmortem import knowing, times
from bot.app.postmortem.facts import SURE, Facts, share_of
from bot.domain.incident import EntryKind, Role
from bot.domain.page import CallState
from bot.domain.text import Text, percent

QUICK_ACK_S, SLOW_ACK_S = 300.0, 900.0
QUICK_DIAGNOSIS_S, SLOW_DIAGNOSIS_S = 120.0, 900.0
SLOW_LOOK_S = 600.0
SLOW_VENDOR_S = 1800.0
NOT_REACHED = frozenset({CallState.NO_ANSWER, CallState.BUSY, CallState.FAILED, CallState.REFUSED})


def well(facts: Facts) -> tuple[Text, ...]:
    """What to do again."""
    return (*_all(facts, _WELL), *knowing.marked(facts, knowing.WELL))


def hurt(facts: Facts) -> tuple[Text, ...]:
    """What to do something about."""
    return (*_all(facts, _HURT), *knowing.marked(facts, knowing.HURT))


def _all(facts: Facts, rules: tuple[Callable[[Facts], Iterator[Text]], ...]) -> list[Text]:
    return [text for rule in rules for text in rule(facts)]


def _seconds(facts: Facts, name: str) -> float | None:
    return next(m.seconds for m in times.measures(facts) if m.id == name)


def _quick_ack(facts: Facts) -> Iterator[Text]:
    took = _seconds(facts, "time_to_acknowledge")
    if took is not None and took <= QUICK_ACK_S:
        lasted = words.duration(took)
        yield Text(f"登记后 {lasted.zh}就有人接手", f"somebody had it {lasted.en} after it was declared")


def _quick_diagnosis(facts: Facts) -> Iterator[Text]:
    final = facts.verdict()
    first = next((run for run, doc in facts.found if final and doc["verdict"] == final[1]["verdict"]), None)
    if first is None or first.finished_at is None or not facts.runs:
        return
    took = (first.finished_at - facts.runs[0].started_at).total_seconds()
    if took <= QUICK_DIAGNOSIS_S:
        lasted = words.duration(round(took, 1))
        yield Text(
            f"第一次 /diag 之后 {lasted.zh}就说出了原因", f"the cause was named {lasted.en} after the first /diag"
        )


def _nothing_missing(facts: Facts) -> Iterator[Text]:
    final = facts.verdict()
    if final is not None and not final[1].get("missing") and len(final[1].get("agents", ())) > 1:
        count = len(final[1]["agents"])
        yield Text(
            f"{count} 个观测点全部有应答，证据没有缺口", f"all {count} vantage points answered: no gap in the evidence"
        )


def _measured_recovery(facts: Facts) -> Iterator[Text]:
    if facts.of(EntryKind.RECOVERY):
        yield Text(
            "恢复是实测的：连续多轮全绿，不靠人工重试",
            "recovery was measured, green several times over, not guessed by hand",
        )


def _quick_vendor(facts: Facts) -> Iterator[Text]:
    for case in facts.incident.vendors:
        took = (case.replied_at - case.asked_at).total_seconds() if case.replied_at else None
        if took is not None and took < SLOW_VENDOR_S:
            lasted = words.duration(took)
            yield Text(f"{case.name} 在 {lasted.zh}内首次回复", f"{case.name} first replied within {lasted.en}")


def _slow_ack(facts: Facts) -> Iterator[Text]:
    took = _seconds(facts, "time_to_acknowledge")
    if took is None and facts.calls:
        yield Text("呼叫了人，没有人接手", "people were called and nobody acknowledged")
    if took is not None and took >= SLOW_ACK_S:
        lasted = words.duration(took)
        yield Text(f"登记后 {lasted.zh}才有人接手", f"it took {lasted.en} from the declaration until somebody had it")


def _not_reached(facts: Facts) -> Iterator[Text]:
    failed = sum(call.state in NOT_REACHED for call in facts.calls)
    if failed:
        calls = words.count(failed, "次", "call")
        yield Text(
            f"{calls.zh}呼叫没有接通：看看号码、静默时段和备用通道",
            f"{calls.en} reached nobody: look at numbers, quiet hours and the other ways",
        )


def _late_look(facts: Facts) -> Iterator[Text]:
    took = _seconds(facts, "time_to_first_look")
    if took is not None and took >= SLOW_LOOK_S:
        lasted = words.duration(took)
        yield Text(f"第一次诊断在发现 {lasted.zh}之后才开始", f"the first /diag came {lasted.en} after it was noticed")
    if not facts.runs:
        yield Text(
            "没有做过诊断：原因没有实测证据", "nothing was diagnosed: there is no measured evidence of the cause"
        )


def _slow_diagnosis(facts: Facts) -> Iterator[Text]:
    took = _seconds(facts, "time_to_diagnosis")
    if took is not None and took >= SLOW_DIAGNOSIS_S:
        lasted = words.duration(took)
        yield Text(f"从发现到定位用了 {lasted.zh}", f"it took {lasted.en} from the first notice to the cause")


def _wrong_leads(facts: Facts) -> Iterator[Text]:
    final = facts.verdict()
    if final is None:
        return
    before = [
        doc for run, doc in facts.found if run.started_at < final[0].started_at and times.named(list(doc["verdict"]))
    ]
    other = dict.fromkeys(tuple(doc["verdict"]) for doc in before if doc["verdict"] != final[1]["verdict"])
    for verdict in other:
        document = next(doc for doc in before if tuple(doc["verdict"]) == verdict)
        said = knowing.headline(document)
        yield Text(f"先前的结论后来被推翻：{said.zh}", f"an earlier verdict did not stand: {said.en}")


def _missing(facts: Facts) -> Iterator[Text]:
    final = facts.verdict() or next(iter(facts.found), None)
    gone = [str(one).partition(":")[0] for one in final[1].get("missing", ())] if final else []
    if gone:
        names = ", ".join(gone)
        yield Text(f"没有应答的观测点或检查：{names}", f"vantage points or checks without an answer: {names}")
    if final and times.named(list(final[1]["verdict"])) and share_of(final[1]) < SURE:
        share = percent(share_of(final[1]))
        yield Text(
            f"结论只是倾向（{share}）：还缺能分辨的证据",
            f"the verdict only leans ({share}): what would decide it was not seen",
        )


def _slow_vendor(facts: Facts) -> Iterator[Text]:
    for case in facts.incident.vendors:
        if case.replied_at is None:
            yield Text(f"{case.name} 没有记录到回复", f"no reply of {case.name} is on record")
        elif (took := (case.replied_at - case.asked_at).total_seconds()) >= SLOW_VENDOR_S:
            lasted = words.duration(took)
            yield Text(f"{case.name} {lasted.zh}后才首次回复", f"the first reply of {case.name} took {lasted.en}")


def _unrecorded(facts: Facts) -> Iterator[Text]:
    if not facts.incident.impact:
        yield Text("影响了谁没有写下来（/incident impact）", "who was hit was not written down (/incident impact)")
    grave = facts.incident.severity in ("sev1", "sev2")
    if grave and not facts.incident.roles.get(Role.COMMANDER):
        yield Text("没有指定指挥", "nobody was named commander")


_WELL = (_quick_ack, _quick_diagnosis, _nothing_missing, _measured_recovery, _quick_vendor)
_HURT = (_slow_ack, _not_reached, _late_look, _slow_diagnosis, _wrong_leads, _missing, _slow_vendor, _unrecorded)
