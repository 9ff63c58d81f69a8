"""The diag document: what `diag --format json` prints and what is kept of a run."""

from __future__ import annotations

from datetime import UTC, tzinfo
from typing import Any

from bot.app import reasons
from bot.app.before import before, changes_of, meanings, onset_of
from bot.app.cards import cause, caveats, headline, todo
from bot.app.deciding import questions, unknowns
from bot.app.missing import missing
from bot.app.plain import plain
from bot.diagnosis.cells import Key
from bot.diagnosis.hypothesis import Ranked
from bot.diagnosis.investigation import Investigation
from bot.domain.incident import Run
from bot.domain.text import Lang


def document(run: Investigation, kept: Run, *, took_s: float, lang: Lang, zone: tzinfo = UTC) -> dict[str, Any]:
    """The run, which is kept as `kept`, as one JSON object (shape: DESIGN, public surfaces).

    Texts are in `lang`, with both under "texts".
    Times in texts are told in `zone`; all others are ISO 8601.
    """
    verdict, why = run.verdict(), reasons.flat(run)
    hypotheses = [_hypothesis(r, lang) for r in verdict.ranked]
    hypotheses.append(_inconclusive(verdict.inconclusive_share, lang))
    hypotheses.sort(key=lambda h: -h["share"])
    return {
        "run": kept.id,
        "playbook": run.playbook.name,
        "incident": kept.incident,
        "started_at": kept.started_at.isoformat(),
        "took_s": round(took_s, 3),
        "agents": [a.to_json() for a in run.agents],
        "observations": [o.to_json() for o in run.observations()],
        "verdict": list(verdict.ids),
        "share": round(verdict.share, 4),
        "title": cause(run).in_(lang),
        "headline": headline(run).in_(lang),
        "why": [text.in_(lang) for text in why],
        "reasons": [_reasons(group, lang) for group in reasons.reasons(run)],
        "deciding": [question.text.in_(lang) for question in questions(run)],
        "hypotheses": hypotheses,
        "culprit": culprit_of(run),
        "missing": [f"{name}: {reason or 'not connected'}" for name, reason in run.why_missing().items()],
        "missing_text": missing(run).in_(lang),
        "gaps": [gap.to_json() for gap in run.gaps()],
        "unexplained": [_cell(key) for key in sorted(verdict.unexplained)],
        "next": _next(run),
        "onset": onset_of(run),
        "changes": changes_of(run),
        "recalled": run.recalled(),
        "errors": [text.in_(lang) for text in meanings(run)],
        "language": lang,
        "before": plain(before(run.picture(), zone), lang).splitlines(),
        "doing": [text.in_(lang) for text in todo(verdict, run.playbook)],
        "notes": plain(caveats(verdict), lang).splitlines(),
        "texts": _texts(run),
    }


def _reasons(group: reasons.Reasons, lang: Lang) -> dict[str, Any]:
    cause_ = group.cause
    return {
        "id": cause_.hypothesis.id if cause_ else None,
        "title": cause_.title.in_(lang) if cause_ else "",
        "why": [text.in_(lang) for text in group.items],
    }


def _texts(run: Investigation) -> dict[str, Any]:
    """What other rooms than the run's may be told, in both languages."""
    return {
        "headline": headline(run).to_json(),
        "why": [text.to_json() for text in reasons.flat(run)],
        "reasons": [
            {
                "title": group.cause.title.to_json() if group.cause else None,
                "why": [text.to_json() for text in group.items],
            }
            for group in reasons.reasons(run)
        ],
        "deciding": [question.text.to_json() for question in questions(run)],
        "missing": missing(run).to_json(),
    }


def culprit_of(run: Investigation) -> dict[str, Any] | None:
    """Who or what is behind the leading cause, where a probe has named it."""
    return next((c for c in (leader.culprit() for leader in run.verdict().leaders()) if c), None)


def _cell(key: Key) -> dict[str, str]:
    agent, layer, service = key
    return {"agent": agent, "layer": layer, "service": service}


def _hypothesis(ranked: Ranked, lang: Lang) -> dict[str, Any]:
    return {
        "id": ranked.hypothesis.id,
        "title": ranked.title.in_(lang),
        "share": round(ranked.share, 4),
        "logit": round(ranked.logit, 3),
        "scope": {"kind": ranked.scope.kind, "name": ranked.scope.name, "region": ranked.scope.region}
        | ({"service": ranked.scope.service} if ranked.scope.service else {}),
        "explains": [_cell(key) for key in sorted(ranked.explained)],
        "evidence": [
            {
                "id": f.evidence.id,
                "text": f.text.in_(lang),
                "weight": f.weight,
                "for": f.weight > 0,
                "holds": f.holds,
            }
            for f in ranked.findings
            if f.holds or f.weight
        ],
        "unknown": [f.evidence.id for f in ranked.findings if f.holds is None],
        "remedy": ranked.remedy.in_(lang),
        "owner": ranked.hypothesis.owner.in_(lang),
    }


def _inconclusive(share: float, lang: Lang) -> dict[str, Any]:
    title = {"zh": "还不能下结论", "en": "something not named here"}[lang]
    return {
        "id": "inconclusive",
        "title": title,
        "share": round(share, 4),
        "explains": [],
        "evidence": [],
        "remedy": "",
        "owner": "",
    }


def _next(run: Investigation) -> list[dict[str, Any]]:
    """What would tell the leading two apart: follow-up kinds not asked yet, and evidence nobody could measure."""
    leaders = [r for r in run.verdict().ranked[:2] if r.share >= 0.05]
    asked = {follow.kind for follow in run.follow_ups}
    out: list[dict[str, Any]] = [
        {"probe": kind, "for": r.hypothesis.id} for r in leaders for kind in r.hypothesis.next if kind not in asked
    ]
    out += [{"evidence": f.evidence.id, "for": r.hypothesis.id} for r, f in unknowns(leaders)]
    return out[:6]
