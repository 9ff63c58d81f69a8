"""What one `/probe` sends: the same question for every agent, and no VPC's resolver asked too much.

All agents of a VPC together stay under the budget of a burst (docs: DIAGNOSIS); a count that cannot fit is refused
rather than quietly lowered, for somebody asked for it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from bot.diagnosis.adhoc import Adhoc
from bot.diagnosis.asks import Ask
from bot.diagnosis.forms import host_port, is_literal
from bot.diagnosis.pacing import BUDGET_QPS, BUDGET_QUERIES, paced, request
from bot.domain.command import unknown
from bot.domain.errors import UserError
from bot.domain.probe import Agent, Json, ProbeRequest
from bot.domain.text import Text

DNS_TRIES = 20
"""A limit shows as a share, and a share needs this many tries (docs: DIAGNOSIS)."""
DNS_TIMEOUT_MS = 1500
DNS_SPACING_MS = 100.0
SPACING_MS = 200.0
"""Between tries, where neither a budget nor anybody else sets the pace."""
LONGEST_MS = 30_000
"""How long a series of tries may take; `/watch` is for longer."""
BRISK = frozenset({"dns", "ping", "tcp", "tls", "http", "api", "object_store", "dns_top"})
"""Kinds whose tries, spacing and timeout tell how long they take."""
OTHERS_S = 25.0
"""What any other kind may take beyond that: thirty hops, a search for a size, a row of pods."""
TICK_S = 0.25
"""Starts are rounded to this, so that few batches go out."""
GROUPS = ("host", "vpc", "public")


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Requests that go out together, so many seconds after the start."""

    after_s: float
    requests: tuple[ProbeRequest, ...]


def server_of(via: str) -> str:
    """The parameter that `via` stands for: a group of resolvers of each agent, or one address. Raises UserError."""
    word = via.lower().removeprefix("@")
    if word in GROUPS:
        return f"@{word}"
    if "://" in via or not is_literal(_host_of(via)):
        hint = Text("可用：host、vpc、public，或一个地址", "there are: host, vpc, public, or an address")
        raise unknown(Text("解析器", "resolver"), word[:80], GROUPS, hint)
    return via


def complete(kind: str, params: Mapping[str, Json], able: Sequence[Agent]) -> dict[str, Json]:
    """With what a series of DNS tries needs; without a count, as many as the busiest VPC and 30 seconds bear."""
    if kind != "dns":
        return dict(params)
    bears = [BUDGET_QUERIES // n for n in _crowds(kind, params, able).values()]
    spacing = _number(params, "spacing_ms", 0)
    fits = [int(LONGEST_MS // spacing)] if spacing else []
    return {"tries": max(1, min([DNS_TRIES, *bears, *fits])), "timeout_ms": DNS_TIMEOUT_MS, **params}


def _crowds(kind: str, params: Mapping[str, Json], agents: Sequence[Agent]) -> Counter[str]:
    """How many agents of each VPC would ask its resolver."""
    return Counter(a.vpc for a in agents if _through_vpc(kind, params, a))


def _through_vpc(kind: str, params: Mapping[str, Json], agent: Agent) -> bool:
    """Whether this probe's names are resolved by the resolver of the agent's VPC, as far as anybody can tell."""
    if not agent.vpc:
        return False
    if kind != "dns":
        return _resolves(params)
    own = {_host_of(text) for group in ("host", "vpc") for text in agent.resolvers.get(group, ())}
    return any(s in ("@host", "@vpc") or _host_of(s) in own for s in servers(params))


def servers(params: Mapping[str, Json]) -> Sequence[str]:
    """The resolvers that a DNS probe names."""
    value = params.get("server", "@host")
    return [str(v) for v in value] if isinstance(value, (list, tuple)) else [str(value)]


def _server(asked: Sequence[str]) -> Json:
    return asked[0] if len(asked) == 1 else list(asked)


def _host_of(server: str) -> str:
    try:
        return host_port(server)[0]
    except ValueError:
        return server


def _resolves(params: Mapping[str, Json]) -> bool:
    """Whether a probe that is no DNS probe looks a name up first."""
    if "address" in params:
        return False
    host = str(params.get("host") or urlsplit(str(params.get("url") or "")).hostname or "")
    return bool(host) and not is_literal(host)


def batches(
    asked: Adhoc,
    params: Mapping[str, Json],
    able: Sequence[Agent],
    known: Collection[str],
    resolvers: Mapping[str, Sequence[str]],
) -> list[Batch]:
    """The requests in the order in which they go out, with each agent's `resolvers` for DNS.

    Raises UserError for what would be too much.
    """
    crowds = _crowds(asked.kind, params, able)
    tries, spacing = int(_number(params, "tries", 1)), _number(params, "spacing_ms", 0)
    for vpc, crowd in crowds.items():
        if crowd * tries > BUDGET_QUERIES:
            raise _too_much(vpc, crowd, tries)
    if tries * spacing > LONGEST_MS:
        raise _too_long(tries, spacing)
    asks = [_ask(asked, agent, params, spacing) for agent in able]
    if asked.kind == "dns":
        aimed = [replace(ask, params={**ask.params, "server": _server(resolvers[ask.agent.name])}) for ask in asks]
        return [Batch(after_s=0.0, requests=tuple(paced(aimed, BUDGET_QPS)))]
    return _staggered(asks, crowds, known)


def _ask(asked: Adhoc, agent: Agent, params: Mapping[str, Json], spacing: float) -> Ask:
    queries = int(_number(params, "tries", 1)) if _through_vpc(asked.kind, params, agent) else 0
    return Ask(
        agent=agent,
        probe=f"{asked.kind}/{asked.target}"[:120],
        kind=asked.kind,
        layer="probe",
        target=asked.target or asked.kind,
        params={key: value for key, value in params.items() if key != "spacing_ms"},
        queries=queries,
        spacing_ms=spacing or (DNS_SPACING_MS if asked.kind == "dns" else SPACING_MS),
        least_spacing_ms=spacing,
    )


def _staggered(asks: Sequence[Ask], crowds: Mapping[str, int], known: Collection[str]) -> list[Batch]:
    """A probe that looks its name up does so at every try: the agents of a VPC begin one after another."""
    begun: Counter[str] = Counter()
    batches: dict[int, list[ProbeRequest]] = {}
    for ask in asks:
        after_s, spacing = 0.0, ask.spacing_ms
        if ask.queries:
            after_s = begun[ask.agent.vpc] / BUDGET_QPS
            begun[ask.agent.vpc] += 1
            spacing = max(spacing, 1000.0 * crowds[ask.agent.vpc] / BUDGET_QPS)
        series = {"spacing_ms": round(spacing)} if "tries" in ask.params and "spacing_ms" in known else {}
        sent = request(replace(ask, params={**ask.params, **series}), "")
        if ask.kind not in BRISK:
            sent = replace(sent, timeout_s=sent.timeout_s + OTHERS_S)
        batches.setdefault(int(after_s / TICK_S), []).append(sent)
    return [Batch(after_s=tick * TICK_S, requests=tuple(sent)) for tick, sent in sorted(batches.items())]


def _number(params: Mapping[str, Json], name: str, default: float) -> float:
    """A parameter that is known to be a number, or not there."""
    value = params.get(name)
    return default if value is None else float(value)


def _too_much(vpc: str, crowd: int, tries: int) -> UserError:
    fits = BUDGET_QUERIES // crowd
    how = Text(f"请写 count={fits}，或者", f"write count={fits}, or ") if fits and tries > 1 else Text("请", "")
    return UserError(
        "too_many_queries",
        Text(
            f"{vpc} 的解析器一次最多承受 {BUDGET_QUERIES} 次查询，{crowd} 个观测点各 {tries} 次太多；"
            f"{how.zh}用 from 少选几个观测点",
            f"{vpc}'s resolver is asked at most {BUDGET_QUERIES} times at once, and {crowd} agents with "
            f"{tries} each are more; {how.en}name fewer with from",
        ),
    )


def _too_long(tries: int, spacing_ms: float) -> UserError:
    takes, most = f"{tries * spacing_ms / 1000:.0f}", f"{LONGEST_MS / 1000:.0f}"
    return UserError(
        "too_long",
        Text(
            f"{tries} 次、每次间隔 {spacing_ms:.0f} ms 需要 {takes} 秒，最多 {most} 秒；"
            f"减少 count 或 spacing，长时间请用 /watch",
            f"{tries} tries {spacing_ms:.0f} ms apart take {takes} s, at most {most} s are possible; lower count or "
            f"spacing, or use /watch for longer",
        ),
    )
