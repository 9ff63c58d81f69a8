"""How we knew: the matrix at onset, verdict and recovery, the hypotheses, the cause, and the raw evidence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from bot.app.matrix import matrix
from bot.app.postmortem.facts import SURE, Facts, share_of
from bot.app.postmortem.model import Asked, Cause, Considered, Raw, Snapshot
from bot.diagnosis.hypothesis import HEALTHY, INCONCLUSIVE
from bot.diagnosis.rank import picture
from bot.diagnosis.replay import read
from bot.domain.failure_words import failure_words
from bot.domain.incident import Entry, EntryKind, Run
from bot.domain.layers import BY_ID
from bot.domain.message import Matrix, from_json
from bot.domain.text import Text, join, same

MOST_CONSIDERED = 8
WORTH = 0.01
"""A share worth speaking of."""
MOST_REASONS = 4
MOST_RAW = 60


def both(document: Mapping[str, Any], *path: str) -> Text | None:
    """A text of the document in both languages, under "texts"; None where an older document has none."""
    found: Any = document.get("texts", {})
    for key in path:
        found = found.get(key) if isinstance(found, Mapping) else None
    return Text(zh=found["zh"], en=found["en"]) if isinstance(found, Mapping) and "zh" in found else None


def headline(document: Mapping[str, Any]) -> Text:
    """What a run said."""
    return both(document, "headline") or same(str(document.get("headline", "")))


def snapshots(facts: Facts) -> tuple[Snapshot, ...]:
    """The first run with something red, the run whose verdict stands, and what the watch saw at the end."""
    found = []
    first, final = next(_red(facts), None), facts.verdict()
    if first is not None and (final is None or first[0].id != final[0].id):
        found += _snapshot("onset", Text("最初看到的", "At onset"), *first)
    if final is not None:
        once = first is not None and first[0].id == final[0].id
        title = (
            Text("最初看到的，也是定论时", "At onset and at the verdict") if once else Text("定论时", "At the verdict")
        )
        found += _snapshot("verdict", title, *final)
    for entry in facts.of(EntryKind.RECOVERY)[-1:]:
        if shown := entry.data.get("matrix"):
            (table,) = from_json([shown])
            assert isinstance(table, Matrix)
            title = Text("恢复时", "At recovery")
            found.append(Snapshot(id="recovery", title=title, at=entry.at, said=Text(entry.zh, entry.en), matrix=table))
    return tuple(found)


def _red(facts: Facts) -> Iterator[tuple[Run, Mapping[str, Any]]]:
    return iter([(run, doc) for run, doc in facts.found if list(doc["verdict"]) != [HEALTHY]])


def _snapshot(name: str, title: Text, run: Run, document: Mapping[str, Any]) -> list[Snapshot]:
    seen = read(run.id, document)
    table = matrix(picture(seen.observations, seen.agents, seen.missing, seen.history))
    if table is None:
        return []
    at = run.finished_at or run.started_at
    return [Snapshot(id=name, title=title, at=at, said=headline(document), matrix=table, run=run.id)]


def considered(facts: Facts) -> tuple[Considered, ...]:
    """The hypotheses of the run that settled it, the likeliest first, with what spoke for and against each."""
    final = facts.verdict()
    if final is None:
        return ()
    document = final[1]
    ranked = [h for h in document.get("hypotheses", ()) if h["id"] not in (INCONCLUSIVE, HEALTHY)]
    named = [h for h in ranked if h["id"] in document["verdict"]]
    others = [h for h in ranked if h["id"] not in document["verdict"] and _was_considered(h)]
    others.sort(key=lambda h: (-h["share"] if h["share"] >= WORTH else 0.0, -len(h.get("explains", ()))))
    explained = {_key(cell) for h in named for cell in h.get("explains", ())}
    return tuple(_considered(document, h, len(explained)) for h in [*named, *others][:MOST_CONSIDERED])


def _was_considered(hypothesis: Mapping[str, Any]) -> bool:
    """It accounts for something that was red, or had a share to speak of."""
    return bool(hypothesis.get("explains")) or hypothesis["share"] >= WORTH


def _considered(document: Mapping[str, Any], hypothesis: Mapping[str, Any], red: int) -> Considered:
    name = str(hypothesis["id"])
    evidence = sorted(hypothesis.get("evidence", ()), key=lambda e: -abs(e["weight"]))
    named = name in document["verdict"]
    against = [_said(document, name, e) for e in evidence if e["weight"] < 0][:MOST_REASONS]
    explains = len(hypothesis.get("explains", ()))
    if not named and explains < red:
        against.append(
            Text(f"{red} 格异常里只能解释 {explains} 格", f"accounts for {explains} of the {red} cells that failed")
        )
    return Considered(
        id=name,
        title=both(document, "hypotheses", name, "title") or same(str(hypothesis["title"])),
        share=float(hypothesis["share"]),
        named=named,
        speaks_for=tuple([_said(document, name, e) for e in evidence if e["weight"] > 0][:MOST_REASONS]),
        against=tuple(against),
    )


def _said(document: Mapping[str, Any], name: str, evidence: Mapping[str, Any]) -> Text:
    told = both(document, "hypotheses", name, "evidence", str(evidence.get("id", "")))
    return told or same(str(evidence["text"]))


def _key(cell: Mapping[str, Any]) -> tuple[str, str, str]:
    return str(cell.get("agent")), str(cell.get("layer")), str(cell.get("service", ""))


def cause(facts: Facts) -> Cause | None:
    """What it was, as the verdict that stands says it, and what people wrote about it."""
    final = facts.verdict()
    told, fixes = marked(facts, CAUSE), marked(facts, FIX)
    if final is None:
        if not told and not fixes:
            return None
        return Cause(titles=(), share=0.0, sure=False, why=(), behind=same(""), told=told, fixes=fixes)
    document = final[1]
    share = share_of(document)
    why = document.get("texts", {}).get("why")
    reasons = [Text(zh=w["zh"], en=w["en"]) for w in why] if why else [same(w) for w in document.get("why", ())]
    return Cause(
        titles=titles(document),
        share=round(share, 4),
        sure=share >= SURE,
        why=tuple(reasons),
        behind=_behind(document.get("culprit")),
        remedies=tuple(_remedies(document)),
        told=told,
        fixes=fixes,
    )


TAGS_OF = frozenset({EntryKind.NOTE, EntryKind.CORRECTION})
CAUSE = ("cause:", "cause：", "root cause:", "原因:", "原因：", "根因:", "根因：")
"""A note that begins so says what it was."""


WELL = ("well:", "well：", "went well:", "顺利:", "顺利：", "做得好:", "做得好：")
HURT = ("hurt:", "hurt：", "went badly:", "不顺:", "不顺：", "痛点:", "痛点：")
"""And so, what went well and what hurt."""


FIX = ("fix:", "fix：", "fixed by:", "修复:", "修复：", "解决办法:", "解决办法：")
"""And so, what helped."""


def tagged(entry: Entry, tags: tuple[str, ...]) -> Text | None:
    """What follows the tag at the beginning of a note; None for any other entry."""
    if entry.kind not in TAGS_OF:
        return None
    tag = next((tag for tag in tags if entry.zh.lower().startswith(tag)), None)
    return same(entry.zh[len(tag) :].strip()) if tag else None


def marked(facts: Facts, tags: tuple[str, ...]) -> tuple[Text, ...]:
    """What people wrote under these tags; what was mended later says so."""
    mended = Text("（已更正）", " (corrected)")
    found = ((entry, tagged(entry, tags)) for entry in facts.told)
    return tuple(said + mended if entry.seq in facts.corrections else said for entry, said in found if said)


def titles(document: Mapping[str, Any]) -> tuple[Text, ...]:
    """The causes a verdict names."""
    known = {h["id"]: str(h["title"]) for h in document.get("hypotheses", ())}
    return tuple(both(document, "hypotheses", one, "title") or same(known.get(one, one)) for one in document["verdict"])


def _behind(culprit: Mapping[str, Any] | None) -> Text:
    """The system behind it: an address and a rate, never a person."""
    if not culprit:
        return same("")
    said = [same(str(culprit[key])) for key in ("address", "name", "title") if culprit.get(key)]
    if culprit.get("qps") is not None:
        rate = f"{float(culprit['qps']):,.0f}"
        said.append(Text(f"每秒 {rate} 次查询", f"{rate} queries per second"))
    return join(said)


def _remedies(document: Mapping[str, Any]) -> Iterable[Text]:
    for found in document.get("hypotheses", ()):
        if found["id"] in document["verdict"] and found.get("remedy"):
            told = both(document, "hypotheses", found["id"], "remedy") or same(str(found["remedy"]))
            owner = both(document, "hypotheses", found["id"], "owner") or same(str(found.get("owner", "")))
            yield told + (Text(f"（{owner.zh}）", f" ({owner.en})") if owner.en else same(""))


def asked(facts: Facts) -> tuple[Asked, ...]:
    """Every run that came to an end."""
    return tuple(
        Asked(
            run=run.id,
            at=run.started_at,
            playbook=run.playbook,
            by=run.user,
            took_s=document.get("took_s"),
            said=headline(document),
            missing=both(document, "missing") or same(", ".join(document.get("missing", ()))),
        )
        for run, document in facts.found
    )


def raw(facts: Facts) -> tuple[Raw, ...]:
    """What failed in the run that settled it, by layer and place."""
    final = facts.verdict()
    if final is None:
        return ()
    failed = [
        o for o in final[1].get("observations", ()) if not o["ok"] and o.get("fault_of") not in ("agent", "policy")
    ]
    failed.sort(key=lambda o: (str(o.get("layer")), str(o.get("region")), str(o.get("agent")), str(o.get("target"))))
    return tuple(_raw(one) for one in failed[:MOST_RAW])


def _raw(seen: Mapping[str, Any]) -> Raw:
    layer = BY_ID.get(str(seen.get("layer")))
    return Raw(
        at=str(seen.get("at") or ""),
        where=f"{seen.get('region')}/{seen.get('vantage')} ({seen.get('agent')})",
        layer=layer.title if layer else same(str(seen.get("kind"))),
        target=str(seen.get("target", "")),
        rate=seen.get("success_rate"),
        tries=int((seen.get("detail") or {}).get("tries", 1)),
        failure=failure_words(str(seen.get("failure"))) if seen.get("failure") else same("?"),
    )
