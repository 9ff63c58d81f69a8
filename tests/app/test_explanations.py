"""Every cause is explained in both languages: one sentence, reasons that were seen, what to do, and who does it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache

import pytest

from bot.app.cards import verdict_card
from bot.app.deciding import SURE, questions
from bot.app.document import document
from bot.app.reasons import reasons
from bot.diagnosis.hypothesis import INCONCLUSIVE
from bot.diagnosis.investigation import Investigation
from bot.domain.message import Block, Bullets, Header, Paragraph, Ranking
from bot.domain.text import LANGS, Lang, Text
from bot.remote import summary
from tests.app import explaining
from tests.diagnosis import nights

NIGHTS = {
    "certificate_expired": "certificate-ran-out",
    "certificate_invalid": "certificate-of-another",
    "clock_skew": "clock-twelve-behind",
    "connections_exhausted": "postgres-full",
    "conntrack_race": "race-in-the-nat-table",
    "coredns_overload": "coredns-drowns",
    "credential_invalid": "dead-key",
    "dependency_slow": "slow-vendor",
    "dns_wrong_answer": "poisoned-name",
    "firewall_block": "security-group-typo",
    "healthy": "quiet-tuesday",
    "mtu_black_hole": "small-packets-only",
    "own_service_fault": "bad-deploy",
    "permission_revoked": "key-lost-its-rights",
    "region_egress_loss": "lossy-way-out",
    "resolver_down": "resolver-fell-silent",
    "vantage_faulty": "one-machine-unplugged",
    "vendor_allowlist": "not-on-the-list",
    "vendor_outage_global": "vendor-5xx",
    "vendor_outage_regional": "one-region-of-the-vendor",
    "vendor_quota": "quota-used-up",
    "vendor_throttled": "throttled-key",
    "vpc_dns_rate_limited": "crawler-eats-the-limit",
}
TERMS = set(
    re.split(
        " ",
        "ACL API CoreDNS DNS DNSCache Date HTTP HTTPS ICMP ICMPv IP IPv MSS MTU NTP NodeLocal S TCP TLS UDP VPC chrony "
        "code conntrack dig insert_failed min ms ntpd pod ping resolv.conf s single-request-reopen type use-vc",
    )
)
"""Words of the field that Chinese engineers write in Latin letters."""


@cache
def told(name: str) -> Investigation:
    return explaining.told(explaining.night(name))


def sentences(blocks: tuple[Block, ...], lang: Lang) -> Iterator[str]:
    """Everything a card says in words, the ranking's evidence included."""
    for block in blocks:
        match block:
            case Header(text=text):
                yield text.in_(lang)
            case Paragraph(text=text, label=label):
                yield from (part.in_(lang) for part in (label, text) if part)
            case Bullets(items=items, label=label):
                yield from (part.in_(lang) for part in (label, *items) if part)
            case Ranking(shares=shares):
                for share in shares:
                    yield share.title.in_(lang)
                    yield from (text.in_(lang) for text, _ in share.evidence)


def card(run: Investigation, lang: Lang) -> list[str]:
    return list(sentences(verdict_card(run, took_s=8.4, incident=None), lang))


def names(run: Investigation) -> str:
    """Names and codes of the night, which are the same in both languages."""
    agents = [f"{a.name} {a.region} {a.vpc} {a.cluster} {a.vantage}" for a in run.agents]
    owners = [*run.playbook.owners.values(), "@"]
    codes = [code for cell in run.picture().cells for code in cell.codes]
    changes = [f"{c.title} {c.who} {c.env}" for c in run.picture().changes or ()]
    kinds = [step.kind for step in run.playbook.steps]
    return " ".join((*agents, *owners, *codes, *changes, *kinds))


def foreign(sentence: str, run: Investigation) -> set[str]:
    """Latin words in a Chinese sentence that are neither a name nor a term."""
    known = names(run)
    found = re.findall(r"[A-Za-z][A-Za-z._-]*[A-Za-z]|[A-Za-z]", sentence)
    return {word for word in found if word not in TERMS and word not in known}


def test_every_cause_there_is_has_its_night() -> None:
    assert {h.id for h in nights.HYPOTHESES} == set(NIGHTS)


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("cause", NIGHTS)
def test_a_card_leaves_no_blank_and_no_placeholder(cause: str, lang: Lang) -> None:
    run = told(NIGHTS[cause])
    assert run.verdict().ids == (cause,)
    for said in card(run, lang):
        assert not re.search(r"\?|？|None|[{}]|\bnan\b|\(\)|（）|  ", said), said


@pytest.mark.parametrize("cause", NIGHTS)
def test_a_chinese_card_is_chinese(cause: str) -> None:
    run = told(NIGHTS[cause])
    assert {said: found for said in card(run, "zh") if (found := foreign(said, run))} == {}


@pytest.mark.parametrize("cause", NIGHTS)
def test_an_english_card_is_english(cause: str) -> None:
    assert not [said for said in card(told(NIGHTS[cause]), "en") if re.search("[\u4e00-\u9fff]", said)]


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("cause", NIGHTS)
def test_the_cause_is_one_short_sentence_with_reasons_a_remedy_and_an_owner(cause: str, lang: Lang) -> None:
    run = told(NIGHTS[cause])
    (leader,) = run.verdict().leaders()
    title = leader.title.in_(lang)
    assert title
    assert not re.search(r"[。.!；;]", title)
    assert len(title) <= {"zh": 40, "en": 80}[lang]
    (group,) = reasons(run)
    assert len(group.items) >= 2
    assert len(set(group.items)) == len(group.items)
    doing = [b for b in verdict_card(run, took_s=1, incident=None) if _labelled(b, Text("现在做", "Do now"))]
    assert len(doing) == 1
    assert re.search({"zh": "（负责人：.+）$", "en": r" \(owner: .+\)$"}[lang], doing[0].text.in_(lang))


def _labelled(block: Block, label: Text) -> bool:
    return isinstance(block, Paragraph) and block.label == label


@pytest.mark.parametrize("name", ["blocked-and-throttled", "race-and-quota", "two-regions-two-troubles"])
def test_the_reasons_of_a_double_fault_stand_under_their_cause(name: str) -> None:
    run = told(name)
    leaders = run.verdict().leaders()
    labels = [b.label.en for b in verdict_card(run, took_s=1, incident=None) if isinstance(b, Bullets) and b.label]
    assert [label for label in labels if label.startswith("Why")] == [f"Why: {leader.title.en}" for leader in leaders]
    for group in reasons(run):
        assert group.cause is not None
        assert set(group.items) <= {f.text for f in group.cause.findings if f.holds}


def test_a_vpc_of_any_name_reads_as_a_place() -> None:
    run = told("two-regions-two-troubles")
    titles = [leader.title for leader in run.verdict().leaders()]
    assert Text("VPC no 的 DNS 解析器宕机", "the DNS resolver of VPC no is down") in titles
    assert Text("jaffa 地域的出口丢包", "the egress of region jaffa loses packets") in titles


SAME = ("slow-vendor", "bad-deploy", "blocked-and-throttled", "silent-region-is-no-proof", "two-regions-two-troubles")


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("name", SAME)
def test_card_document_and_terminal_say_the_same(name: str, lang: Lang) -> None:
    run = told(name)
    kept = document(run, nights.RUN, took_s=8.4, lang=lang)
    in_terminal = summary(kept).replace("  · ", "")
    said = card(run, lang)
    assert said[0] == kept["headline"] == in_terminal.splitlines()[0]
    for group in kept["reasons"]:
        assert set(group["why"]) <= set(said)
    both = [*kept["why"], *kept["deciding"], *kept["doing"], kept["missing_text"]]
    for line in (*both, *(note.partition(COLON[lang])[2] for note in kept["notes"])):
        assert any(line in sentence for sentence in said), line
        assert line in in_terminal


COLON = {"zh": "：", "en": ": "}
LESS = [
    ("coredns-drowns", "dns"),
    ("resolver-port-closed", "dns"),
    ("crawler-eats-the-limit", "dns"),
    ("one-region-of-the-vendor", "dns"),
    ("name-points-next-door", "dns"),
    ("security-group-typo", "http"),
    ("vendor-hangs-in-tls", "http"),
    ("race-in-the-nat-table", "dns"),
]


def leaning(run: Investigation) -> bool:
    return run.verdict().share < SURE or run.verdict().ids == (INCONCLUSIVE,)


def test_with_less_to_go_by_most_of_these_nights_lean() -> None:
    runs = [explaining.told(explaining.night(name).without_kind(kind)) for name, kind in LESS]
    assert sum(leaning(run) for run in runs) > len(runs) / 2


@pytest.mark.parametrize(("name", "kind"), LESS)
def test_a_leaning_card_asks_for_what_was_not_measured_and_states_none_of_it(name: str, kind: str) -> None:
    run = explaining.told(explaining.night(name).without_kind(kind))
    asked = questions(run)
    assert bool(asked) == leaning(run)
    for question in asked:
        assert re.search(r"？（.+）$|^让|^在", question.text.zh), question.text.zh
        assert re.search(r"\? \(.+\)$|^(get|run|let) ", question.text.en), question.text.en
        assert not foreign(question.text.zh, run), question.text.zh
    never = {f.text for r in run.verdict().ranked for f in r.findings if f.holds is None}
    measured = {f.text for r in run.verdict().ranked for f in r.findings if f.holds is not None}
    said = set(card(run, "en"))
    assert not said & {text.en for text in never - measured}
    assert not [s for s in said if re.search(r"(?<![a-z])\?(?! \()", s)]
