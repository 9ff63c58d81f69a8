"""What an observation says beyond "it works": times by phase, the reason of a failure, and the kind's own facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

from bot.app import words
from bot.domain.failure import Failure, FaultOf
from bot.domain.failure_words import failure_words
from bot.domain.probe import Json, Observation
from bot.domain.text import Lang, Text, join, percent, same

Detail = Mapping[str, Json]

PHASES: tuple[tuple[str, str], ...] = (
    ("dns", "dns"),
    ("tcp", "tcp"),
    ("tls", "tls"),
    ("greeting", "greeting"),
    ("first_byte", "first"),
    ("total", "total"),
    ("rtt", "rtt"),
)
"""Keys of timings_ms in the order in which they pass, and how they are shown."""
FAULTS: Mapping[FaultOf, Text] = {
    FaultOf.TARGET: Text("目标", "target"),
    FaultOf.RESOLVER: Text("解析器", "resolver"),
    FaultOf.AGENT: Text("观测点自身", "the agent itself"),
    FaultOf.POLICY: Text("观测点策略", "the agent's policy"),
}
LONG = 120
"""Characters of what a target says."""
LONG_OWN = 400
"""Characters of an agent's own reason: it ends with what to do about it."""
LOGIN_ASKED = frozenset({"1045", "28000", "NOAUTH"})
"""What a healthy database says to a stranger: MySQL 1045, PostgreSQL 28000, Redis NOAUTH."""


def measured(seen: Observation) -> bool:
    """Whether it tells anything of the target: an agent's own trouble does not."""
    return seen.ok or seen.fault_of not in (FaultOf.AGENT, FaultOf.POLICY)


def share(seen: Observation) -> str:
    """As "18/20", or "✓" and "✗" for a single try; "–" where nothing was measured."""
    if not measured(seen):
        return "–"
    ok, tries = seen.detail.get("ok"), seen.tries
    if tries > 1 and isinstance(ok, int) and not isinstance(ok, bool):
        return f"{ok}/{tries}"
    if seen.success_rate is not None and 0 < seen.success_rate < 1:
        return percent(seen.success_rate)
    return "✓" if seen.ok else "✗"


def timings(seen: Observation) -> str:
    """The median of every phase that was reached, in ms: "tcp 3.1 · tls 12 · total 40"."""
    found = [(label, seen.timings_ms[key]) for key, label in PHASES if key in seen.timings_ms]
    if not found:
        found = list(seen.timings_ms.items())[:4]
    if len(found) == 1:
        p95 = seen.timings_ms.get("dns_p95")
        return short_ms(found[0][1]) + (f" (p95 {short_ms(p95)})" if p95 is not None else "")
    return " · ".join(f"{label} {short_ms(ms)}" for label, ms in found)


def said(seen: Observation, lang: Lang) -> str:
    """What failed, why and whose fault it is; then what the kind found out."""
    parts = [*([_trouble(seen)] if not seen.ok or seen.detail.get("failures") else [])]
    facts = FACTS.get(seen.kind, _other)(seen.detail) if measured(seen) else ()
    told = parts[0].en if parts else ""
    return join([*parts, *(f for f in facts if f.en and not told.startswith(f.en))], zh="；", en="; ").in_(lang)


def _trouble(seen: Observation) -> Text:
    failures = seen.detail.get("failures") or ({seen.failure.value: 1} if seen.failure else {})
    ranked = sorted(failures.items(), key=lambda f: (-f[1], f[0]))[:3]
    named = [_failure(name, seen.detail) + same(f" ×{n}" if n > 1 else "") for name, n in ranked]
    text = join(named, zh="、", en=", ")
    if seen.fault_of in (FaultOf.TARGET, FaultOf.RESOLVER):
        whose = FAULTS[seen.fault_of]
        text += Text(f"（{whose.zh}）", f" ({whose.en})")
    reason = str(seen.detail.get("reason") or _first_reason(seen.detail) or _list(seen.detail.get("lacking")))
    if not reason:
        return text
    cut = same(_cut(reason, LONG if measured(seen) else LONG_OWN))
    return text + Text("：", ": ") + cut


def _failure(name: str, detail: Detail) -> Text:
    """In words; a bad status is told by its number."""
    status = _text(detail, "status")
    return same(f"HTTP {status}") if name == Failure.HTTP_STATUS and status else failure_words(name)


def _first_reason(detail: Detail) -> str:
    each = detail.get("each")
    rows = each if isinstance(each, list) else []
    return next((str(row["reason"]) for row in rows if isinstance(row, dict) and row.get("reason")), "")


def _dns(detail: Detail) -> Sequence[Text]:
    via = _list(detail.get("resolvers"))
    return same(_list(detail.get("answers"))), Text(f"经 {via}", f"via {via}") if via else same("")


def _tls(detail: Detail) -> Sequence[Text]:
    return same(_text(detail, "version")), _expiry(detail)


def _http(detail: Detail) -> Sequence[Text]:
    status, address = _text(detail, "status"), _text(detail, "address")
    location = _text(detail, "location")
    answered = same(f"HTTP {status}" if status else "")
    return answered, same(f"@ {address}" if address else ""), same(f"→ {_cut(location)}" if location else "")


def _api(detail: Detail) -> Sequence[Text]:
    return *_http(detail)[:1], same(_text(detail, "code")), same(_cut(_text(detail, "message")))


def _trace(detail: Detail) -> Sequence[Text]:
    hops = detail.get("hops")
    count = len(hops) if isinstance(hops, list) else 0
    return (words.count(count, "跳", "hop") if count else same(""),)


def _mtu(detail: Detail) -> Sequence[Text]:
    size, by = detail.get("path_mtu"), _text(detail, "reported_by")
    least = Text("至少 ", "at least ") if detail.get("capped") else same("")
    found = Text(f"路径 MTU {least.zh}{size} 字节", f"path MTU {least.en}{size} bytes") if size else same("")
    hole = Text("更大的包无声消失", "larger ones vanish without a word") if detail.get("black_hole") else same("")
    told = Text(f"由 {by} 报告", f"reported by {by}") if by else same("")
    return same(_text(detail, "method")), found, hole, told, same(_list(detail.get("lacking")))


def _ping(detail: Detail) -> Sequence[Text]:
    low, high, loss = detail.get("min_ms"), detail.get("max_ms"), detail.get("loss")
    spread = f"{short_ms(low)}–{short_ms(high)} ms" if is_number(low) and is_number(high) else ""
    lost = Text(f"丢包 {percent(loss)}", f"{percent(loss)} lost") if is_number(loss) and loss else same("")
    return same(_text(detail, "method")), same(spread), lost


def _database(detail: Detail) -> Sequence[Text]:
    used, limit = detail.get("connections"), detail.get("limit")
    held = Text("", "")
    if is_number(used):
        most = f"/{limit:.0f}" if is_number(limit) else ""
        held = Text(f"连接 {used:.0f}{most}", f"{used:.0f}{most} connection" + "s" * (used != 1 or bool(most)))
    code = _text(detail, "code")
    login = Text(f"需要登录（{code}）", f"asks for a login ({code})") if code in LOGIN_ASKED else same(code)
    return same(_text(detail, "version")), held, same(_text(detail, "role")), login


def _dns_top(detail: Detail) -> Sequence[Text]:
    clients = detail.get("clients")
    rows = [c for c in clients if isinstance(c, dict)][:3] if isinstance(clients, list) else []
    total = detail.get("qps")
    all_ = Text(f"共 {total:.0f} 次/秒", f"{total:.0f} queries/s in all") if is_number(total) else same("")
    return all_, *(same(f"{c.get('address')} {c.get('qps', 0):.0f}/s {percent(c.get('share', 0.0))}") for c in rows)


def _metrics(detail: Detail) -> Sequence[Text]:
    series = detail.get("series_total")
    many = Text(f"{series:.0f} 条序列", f"{series:.0f} series") if is_number(series) else same("")
    return same(_text(detail, "value")), many, same(_cut(_text(detail, "message")))


def _logs(detail: Detail) -> Sequence[Text]:
    total, counts = detail.get("total"), detail.get("counts")
    lines = words.count(total, "行", "line") if is_number(total) else same("")
    numbers = {k: n for k, n in counts.items() if is_number(n)} if isinstance(counts, dict) else {}
    top = sorted(numbers.items(), key=lambda c: -c[1])[:3]
    return lines, same(", ".join(f"{code} ×{n:.0f}" for code, n in top)), same(_cut(_text(detail, "message")))


def _changes(detail: Detail) -> Sequence[Text]:
    rows, total = detail.get("changes"), detail.get("total")
    newest = [r for r in rows if isinstance(r, dict)][:2] if isinstance(rows, list) else []
    many = words.count(total, "次变更", "change") if is_number(total) else same("")
    return many, *(same(f"{str(row.get('at'))[:16]} {_cut(str(row.get('title')), 60)}") for row in newest)


def _coredns(detail: Detail) -> Sequence[Text]:
    replicas, qps = detail.get("replicas"), detail.get("qps")
    pods = dict(replicas) if isinstance(replicas, dict) else {}
    ready = Text(f"副本 {pods.get('ready')}/{pods.get('wanted')}", f"{pods.get('ready')}/{pods.get('wanted')} replicas")
    load = Text(f"{qps:.0f} 次/秒", f"{qps:.0f} queries/s") if is_number(qps) else same("")
    return (ready if pods else same("")), load


def _clock(detail: Detail) -> Sequence[Text]:
    offset, sure = detail.get("offset_ms"), detail.get("uncertainty_ms")
    if not is_number(offset):
        return ()
    within = f" ±{short_ms(sure)}" if is_number(sure) else ""
    return (
        Text(f"比本机快 {short_ms(offset)}{within} ms", f"ahead of ours by {short_ms(offset)}{within} ms"),
        same(_text(detail, "method")),
    )


def _status_page(detail: Detail) -> Sequence[Text]:
    rows, count = detail.get("incidents"), detail.get("open")
    titles = [_cut(str(r.get("title")), 60) for r in rows if isinstance(r, dict)][:2] if isinstance(rows, list) else []
    unresolved = Text(f"{count} 起未解决", f"{count} unresolved") if is_number(count) and count else same("")
    said = _text(detail, "description") or _text(detail, "indicator")
    return same(_cut(said)), unresolved, *(same(title) for title in titles if count)


def _other(detail: Detail) -> Sequence[Text]:
    """Whatever is short and not shown elsewhere."""
    hidden = {"tries", "ok", "low", "high", "failures", "each", "reason", "address", "port", "malformed"}
    plain = [(k, v) for k, v in detail.items() if k not in hidden and isinstance(v, (str, int, float)) and v != ""]
    return [same(f"{key} {_cut(str(value), 60)}") for key, value in plain[:4]]


def _expiry(detail: Detail) -> Text:
    certificate = detail.get("certificate")
    if not isinstance(certificate, dict) or not certificate.get("not_after"):
        return same("")
    moment = str(certificate["not_after"])[:16].replace("T", " ") + " UTC"
    left = certificate.get("days_left")
    until = Text(f"证书到 {moment}", f"certificate until {moment}")
    if not is_number(left):
        return until
    days = words.count(left, "天", "day")
    return until + Text(f"（{days.zh}）", f" ({days.en})")


FACTS: Mapping[str, Callable[[Detail], Sequence[Text]]] = {
    "dns": _dns,
    "tcp": lambda _: (),
    "tls": _tls,
    "http": _http,
    "object_store": _api,
    "api": _api,
    "ping": _ping,
    "trace": _trace,
    "mtu": _mtu,
    "mysql": _database,
    "redis": _database,
    "postgres": _database,
    "dns_top": _dns_top,
    "clock": _clock,
    "metrics": _metrics,
    "logs": _logs,
    "changes": _changes,
    "coredns": _coredns,
    "status_page": _status_page,
}


def short_ms(value: Any) -> str:
    """Milliseconds as short as they say enough."""
    size = abs(value)
    return f"{value:.0f}" if size >= 10 else f"{value:.1f}" if size >= 1 else f"{value:.2f}"


def _cut(text: str, most: int = LONG) -> str:
    """What does not fit ends in an ellipsis, so that nobody takes it for the whole."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value that an agent sent can be reckoned with."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(detail: Detail, key: str) -> str:
    value = detail.get(key)
    return "" if value is None or isinstance(value, (dict, list)) else str(value)


def _list(value: Json, most: int = 3) -> str:
    items = [str(v) for v in value] if isinstance(value, list) else []
    return ", ".join(items[:most]) + (f" +{len(items) - most}" if len(items) > most else "")
