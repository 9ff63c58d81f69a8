"""Playbooks as files: what is refused, with its place, and that nothing accepted is silently left out."""

from __future__ import annotations

import pytest

from bot.adapters.playbooks import load_hypotheses, read_hypothesis, read_playbook
from bot.diagnosis.plan import sweep
from bot.domain.errors import PlaybookError
from tests.diagnosis.nights import FOLDER, agents

HEAD = 'playbook: x\ntitle: x\ntargets: {api: "https://a.example"}\n'


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ("probe:\n  - dns_top: {seconds: 3}\n", "x.yaml:5:5: probe.0: dns_top is asked under then:"),
        (
            "probe:\n  - http: {to: api}\nthen:\n  - tcp: {to: api, ports: [80]}\n",
            "x.yaml:7:5: then.0: under then: stand",
        ),
        ("probe:\n  - http: {to: apo}\n", 'target "apo" is not under targets:'),
        ("own: shop\nprobe:\n  - http: {to: api}\n", 'own: "shop" is not under targets: (api)'),
        ("probe:\n  - http: {to: api}\nerrors: {E1: {means: vendor, text: x}}\n", "errors.E1.means"),
        ("probe:\n  - http: {too: api}\n", "x.yaml:5:12: probe.0.http.too: unknown key"),
    ],
)
def test_a_step_that_would_not_be_asked_is_refused_where_it_stands(rest: str, said: str) -> None:
    with pytest.raises(PlaybookError) as refused:
        read_playbook(HEAD + rest, name="x.yaml")
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("target", "step", "said"),
    [
        ("mysql://db.example", "http: {to: db}", "a step http needs a https:// or http:// target"),
        ("https://a.example", "mysql: {to: db}", 'a step mysql needs a mysql:// target, and "db" is https://a.example'),
        ("redis://db.example", "postgres: {to: db}", "a step postgres needs a postgres:// target"),
        ("mysql://root:pw@db.example", "mysql: {to: db}", "a password has no place in a playbook"),
        ("mysql://db.example/orders", "mysql: {to: db}", "must read mysql://host[:port]"),
        ("ftp://db.example", "mysql: {to: db}", "or begin with mysql://, redis://, postgres://"),
        ("mysql://db.example", "tcp: {to: db, ports: 3306}", "gets our host blocked"),
        ("mysql://db.example", "ping: {to: db}", "gets our host blocked"),
    ],
)
def test_a_step_must_fit_its_target(target: str, step: str, said: str) -> None:
    with pytest.raises(PlaybookError) as refused:
        read_playbook(f'playbook: x\ntitle: x\ntargets: {{db: "{target}"}}\nprobe:\n  - {step}\n')
    assert said in str(refused.value)


def test_a_control_is_a_web_site() -> None:
    with pytest.raises(PlaybookError, match="must read https"):
        read_playbook(HEAD + "controls: [mysql://db.example]\nprobe:\n  - http: {to: api}\n")


def test_tries_within_a_shorter_time_are_asked_faster() -> None:
    def public_spacing(within: str) -> set[int]:
        book = read_playbook(HEAD + f"probe:\n  - dns: {{of: api, via: public, tries: 10, within: {within}}}\n")
        asked = [r for r in sweep(book, agents()).now if r.layer == "dns_public"]
        return {r.params["spacing_ms"] for r in asked}

    assert public_spacing("500ms") == {50}
    assert public_spacing("5s") == {100}


def test_a_template_of_the_remedy_without_a_culprit_is_checked_like_the_others() -> None:
    text = (FOLDER / "hypotheses" / "vpc_dns_rate_limited.yaml").read_text(encoding="utf-8")
    wrong = text.replace('remedy_unnamed:\n  zh: "', 'remedy_unnamed:\n  zh: "{inside.tops.client} ')
    with pytest.raises(PlaybookError, match=r"\{inside\.tops\.client\}: unknown field"):
        read_hypothesis(wrong)


def test_an_own_target_is_asked_by_name_as_the_service_and_not_as_a_dependency() -> None:
    shop = read_playbook(
        'playbook: shop\ntitle: shop\ntargets: {pay: "https://pay.example", shop: "https://shop.example"}\nown: shop\n'
        "probe:\n  - http: {to: pay}\n  - http: {to: shop, path: /healthz}\n"
    )
    plan = sweep(shop, agents())
    assert {r.layer for r in plan.now if r.probe == "http/shop"} == {"service"}
    assert {a.target for a in plan.pinned if a.layer == "http"} == {"https://pay.example"}


def test_half_a_character_is_refused_and_no_crash_later_on() -> None:
    with pytest.raises(PlaybookError, match="x:1:1: holds half a character"):
        read_playbook(HEAD.replace("title: x", 'title: "\\ud800"') + "probe:\n  - http: {to: api}\n", name="x")


def test_no_list_of_causes_shows_a_placeholder() -> None:
    families = {h.id: h.family for h in load_hypotheses(FOLDER)}
    assert families["vpc_dns_rate_limited"].en == "DNS of one place is rate-limited by the provider"
    assert families["vpc_dns_rate_limited"].zh == "某处的 DNS 被云厂商限频"
    assert [name for name, text in families.items() if "{" in text.zh + text.en] == []
