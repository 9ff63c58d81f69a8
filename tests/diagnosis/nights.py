"""Nights told as rules: what each vantage point would see of each layer. Shared by the diagnosis tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bot.adapters.playbooks import load_hypotheses, load_playbooks
from bot.diagnosis.hypothesis import Verdict
from bot.diagnosis.investigation import Investigation
from bot.domain.failure import Failure, fault_of
from bot.domain.incident import Run
from bot.domain.playbook import Playbook
from bot.domain.probe import Agent, Observation, Outcome, ProbeRequest, observe

FOLDER = Path(__file__).parents[2] / "playbooks"
HYPOTHESES = load_hypotheses(FOLDER)
PLAYBOOKS = load_playbooks(FOLDER)
AT = datetime(2026, 11, 23, 23, 0, tzinfo=UTC)

RUN = Run(id="run-1", playbook="sms", room="console:main", user="lin", started_at=AT)
RESOLVERS = {"public": ("9.9.9.9",)}


def agents() -> tuple[Agent, ...]:
    def one(name: str, region: str, vantage: str, vpc: str, cluster: str = "") -> Agent:
        host = {"host": (f"host-of-{vpc}",) if cluster or not vpc else (f"vpc-of-{vpc}",)}
        own = {"vpc": (f"vpc-of-{vpc}",)} if vpc else {}
        return Agent(
            name=name,
            region=region,
            vantage=vantage,
            vpc=vpc,
            cluster=cluster,
            env="prod",
            resolvers={**host, **own, **RESOLVERS},
        )

    return (
        one("east-pod", "east", "pod", "blue", "k1"),
        one("east-vm", "east", "vm", "blue"),
        one("east-vm2", "east", "vm2", "green"),
        one("west-vm", "west", "vm", "red"),
        one("office", "office", "outside", ""),
    )


Rule = Callable[[ProbeRequest, Agent], tuple[int, Failure] | None]
"""(tries that work, failure of the rest), or None when all is well."""

GOOD_MS = 5.0


def outcome(request: ProbeRequest, agent: Agent, rule: Rule) -> Outcome:
    tries = int(request.params.get("tries", 1))
    said = rule(request, agent)
    ok, failure = (tries, None) if said is None else said
    ok = min(ok, tries)
    bad = tries - ok
    detail: dict[str, object] = {"tries": tries, "ok": ok}
    if bad and failure:
        detail["failures"] = {failure.value: bad}
        if failure.startswith("api_"):
            detail["code"] = "Vendor." + failure.value
    if request.kind == "dns" and ok:
        detail["answers"] = ["203.0.113.7"]
    timings = {"dns" if request.kind == "dns" else "total": GOOD_MS}
    good = bad == 0
    return Outcome(
        ok=good,
        failure=None if good else failure,
        fault_of=None if good or failure is None else fault_of(failure),
        success_rate=ok / tries,
        timings_ms=timings,
        detail=detail,
    )


def investigate(
    rule: Rule,
    *,
    who: Sequence[Agent] | None = None,
    playbook: Playbook | None = None,
    top: dict[str, object] | None = None,
) -> Investigation:
    """Play a night to its end, as the loop in `bot.app.diag` would."""
    known = tuple(who if who is not None else agents())
    by_name = {a.name: a for a in known}
    run = Investigation(playbook or PLAYBOOKS["sms"], HYPOTHESES, known)
    queue, elapsed = list(run.start()), 0.0
    while queue:
        for request in queue:
            agent = by_name[request.agent]
            run.take(see(request, agent, rule, top))
        elapsed += 3.0
        queue = list(run.more(elapsed_s=elapsed))
    return run


def see(request: ProbeRequest, agent: Agent, rule: Rule, top: dict[str, object] | None = None) -> Observation:
    return observe(request, agent, answer(request, agent, rule, top), at=AT, took_ms=1.0)


def answer(request: ProbeRequest, agent: Agent, rule: Rule, top: dict[str, object] | None = None) -> Outcome:
    if request.kind == "dns_top":
        return Outcome(ok=True, detail=top) if top and agent.vantage == "vm" else _no_capture()
    return outcome(request, agent, rule)


def _no_capture() -> Outcome:
    return Outcome(ok=False, failure=Failure.NOT_PERMITTED, fault_of=fault_of(Failure.NOT_PERMITTED))


def lost(*names: str) -> tuple[Agent, ...]:
    """The same agents with some of them gone."""
    return tuple(replace(a, state="lost") if a.name in names else a for a in agents())


def shares(verdict: Verdict) -> dict[str, float]:
    return {r.hypothesis.id: round(r.share, 3) for r in verdict.ranked if r.share > 0.005}


def healthy(_request: ProbeRequest, _agent: Agent) -> None:
    return None


def uses_vpc_dns(request: ProbeRequest, agent: Agent, vpc: str = "blue") -> bool:
    """Whether this probe resolves a name through that VPC's resolver."""
    if agent.vpc != vpc:
        return False
    return request.layer in ("dns_vpc", "dns_host", "control_dns", "api", "store", "by_name")


def vpc_dns_rate_limited(request: ProbeRequest, agent: Agent) -> tuple[int, Failure] | None:
    if uses_vpc_dns(request, agent):
        return (1 if int(request.params.get("tries", 1)) > 5 else 0, Failure.DNS_TIMEOUT)
    return None


CRAWLER = {
    "qps": 2228.0,
    "seconds": 3,
    "source": "query_log",
    "clients": [{"address": "10.3.7.21", "qps": 2140.0, "share": 0.96, "distinct": 6000, "nxdomain_share": 0.1}],
}


def permission_revoked(request: ProbeRequest, _agent: Agent) -> tuple[int, Failure] | None:
    return (0, Failure.API_DENIED) if request.layer == "api_signed" else None


def firewall_block(request: ProbeRequest, agent: Agent) -> tuple[int, Failure] | None:
    if agent.vpc == "blue" and request.layer in ("http", "api", "api_signed"):
        return (0, Failure.TCP_TIMEOUT)
    return None


def vendor_outage_global(request: ProbeRequest, _agent: Agent) -> tuple[int, Failure] | None:
    if request.layer in ("http", "by_name", "api", "api_signed", "store"):
        return (0, Failure.HTTP_STATUS)
    return None


def certificate_expired(request: ProbeRequest, _agent: Agent) -> tuple[int, Failure] | None:
    if request.layer in ("http", "api", "api_signed"):
        return (0, Failure.TLS_EXPIRED)
    return None


def resolver_down(request: ProbeRequest, agent: Agent) -> tuple[int, Failure] | None:
    if uses_vpc_dns(request, agent) or (agent.vpc == "blue" and request.layer == "dns_vpc_tcp"):
        return (0, Failure.DNS_TIMEOUT)
    return None


def coredns_overload(request: ProbeRequest, agent: Agent) -> tuple[int, Failure] | None:
    if agent.cluster == "k1" and request.layer in ("dns_host", "dns_internal", "api"):
        return (int(request.params.get("tries", 1)) // 4, Failure.DNS_SERVFAIL)
    return None


def vendor_throttled(request: ProbeRequest, _agent: Agent) -> tuple[int, Failure] | None:
    return (1, Failure.API_THROTTLED) if request.layer == "api_signed" else None


def credential_invalid(request: ProbeRequest, _agent: Agent) -> tuple[int, Failure] | None:
    return (0, Failure.API_BAD_CREDENTIAL) if request.layer == "api_signed" else None


def vendor_quota(request: ProbeRequest, _agent: Agent) -> tuple[int, Failure] | None:
    return (0, Failure.API_QUOTA) if request.layer == "api_signed" else None


def vendor_allowlist(request: ProbeRequest, agent: Agent) -> tuple[int, Failure] | None:
    return (0, Failure.API_ALLOWLIST) if request.layer == "api_signed" and agent.vpc == "blue" else None


def vantage_faulty(request: ProbeRequest, agent: Agent) -> tuple[int, Failure] | None:
    if agent.name != "west-vm":
        return None
    return (0, Failure.DNS_TIMEOUT if request.kind == "dns" or "address" not in request.params else Failure.TCP_TIMEOUT)


def region_egress_loss(request: ProbeRequest, agent: Agent) -> tuple[int, Failure] | None:
    if agent.region == "east" and (request.kind in ("http", "tcp", "api") or request.layer == "dns_public"):
        failure = Failure.DNS_TIMEOUT if request.kind == "dns" else Failure.TCP_TIMEOUT
        return (int(request.params.get("tries", 1)) // 2, failure)
    return None


def two_faults(request: ProbeRequest, agent: Agent) -> tuple[int, Failure] | None:
    return vpc_dns_rate_limited(request, agent) or permission_revoked(request, agent)
