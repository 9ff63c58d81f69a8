"""Lines of `/probe` taken apart: what is asked for, or what is wrong with it."""

from __future__ import annotations

from typing import Any

import pytest

from bot.diagnosis.adhoc import Adhoc, read
from bot.diagnosis.values import typed
from bot.domain.command import parse
from bot.domain.errors import UserError

DNS = ("tries", "timeout_ms", "spacing_ms", "nonce", "proto", "server", "name")


def adhoc(line: str) -> Adhoc:
    command = parse(line, user="lin", room="console:main")
    return read(command.args, command.options)


@pytest.mark.parametrize(
    ("line", "kind", "target", "where", "via", "options"),
    [
        ("/probe dns a.test", "dns", "a.test", "", "", {}),
        ("/probe DNS a.test FROM Shanghai", "dns", "a.test", "Shanghai", "", {}),
        ("/probe dns a.test from shanghai via vpc count=20", "dns", "a.test", "shanghai", "vpc", {"count": "20"}),
        ("/probe dns count=20 via vpc a.test", "dns", "", "", "", None),
        ("/probe dns a.test via 9.9.9.9:5353 from office", "dns", "a.test", "office", "9.9.9.9:5353", {}),
        ("/probe dns a.test from shanghai vm, office", "dns", "a.test", "shanghai vm, office", "", {}),
        ("/probe http https://a.test/x?y=1 from all", "http", "https://a.test/x?y=1", "all", "", {}),
        ("/probe http a.test/x?y=1 to=203.0.113.7", "http", "a.test/x?y=1", "", "", {"to": "203.0.113.7"}),
        ("/probe dns_top seconds=5", "dns_top", "", "", "", {"seconds": "5"}),
        ('/probe metrics http://p query="up == 0"', "metrics", "http://p", "", "", {"query": "up == 0"}),
        ("／probe　dns　a.test", "dns", "a.test", "", "", {}),
    ],
)
def test_a_line_is_read_word_by_word(
    line: str, kind: str, target: str, where: str, via: str, options: dict[str, str] | None
) -> None:
    if options is None:
        with pytest.raises(UserError, match="via takes one word"):
            adhoc(line)
        return
    assert adhoc(line) == Adhoc(kind=kind, target=target, where=where, via=via, options=options)


@pytest.mark.parametrize(
    ("line", "code", "says"),
    [
        ("/probe", "missing_kind", "probe what?"),
        ("/probe dns a.test b.test", "bad_probe", 'not also "b.test"'),
        ("/probe dns a.test from", "bad_probe", 'nothing follows "from"'),
        ("/probe dns a.test via from x", "bad_probe", 'nothing follows "via"'),
        ("/probe dns a.test from x from y", "bad_probe", '"from" is said twice'),
        ("/probe dns a.test via vpc host", "bad_probe", "via takes one word"),
    ],
)
def test_a_line_that_is_no_probe_gets_an_example(line: str, code: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        adhoc(line)
    assert caught.value.code == code
    assert says in caught.value.text.en
    assert "/probe dns sms.tencentcloudapi.com" in caught.value.text.en
    assert "/probe dns sms.tencentcloudapi.com" in caught.value.text.zh


@pytest.mark.parametrize(
    "line",
    [
        "/probe dns a.test from shanghai vm, office via vpc count=20",
        "/probe http https://a.test/x?y=1",
        "/probe dns_top seconds=5",
        "/probe metrics http://p query='a b'",
        """/probe logs http://l query='{app="sms"}'""",
    ],
)
def test_a_probe_written_as_a_line_reads_as_the_same_probe(line: str) -> None:
    asked = adhoc(line)
    assert asked.line() == line
    assert adhoc(asked.line()) == asked


@pytest.mark.parametrize(
    ("said", "params"),
    [
        ({"count": "20"}, {"tries": 20}),
        ({"tries": "20"}, {"tries": 20}),
        ({"count": 20}, {"tries": 20}),
        ({"timeout": "5s"}, {"timeout_ms": 5000}),
        ({"timeout": "1.5s", "spacing": "200ms"}, {"timeout_ms": 1500, "spacing_ms": 200}),
        ({"timeout-ms": "300"}, {"timeout_ms": 300}),
        ({"timeout_ms": "2s"}, {"timeout_ms": 2000}),
        ({"nonce": "true", "df": "False"}, {"nonce": True, "df": False}),
        ({"to": "203.0.113.7"}, {"address": "203.0.113.7"}),
        ({"expect_status": "200,301"}, {"expect_status": [200, 301]}),
        ({"expect_status": "404"}, {"expect_status": 404}),
        ({"expect_body": "200"}, {"expect_body": "200"}),
        ({"version": "2021-01-11"}, {"version": "2021-01-11"}),
        ({"seconds": "5s"}, {"seconds": 5}),
        ({"hours": "24h"}, {"hours": 24}),
        ({"pods": "10.0.0.1,10.0.0.2"}, {"pods": ["10.0.0.1", "10.0.0.2"]}),
        ({"payload": '{"International": 0}'}, {"payload": {"International": 0}}),
        ({"payload": "{oops"}, {"payload": "{oops"}),
        ({"type": "AAAA"}, {"type": "AAAA"}),
    ],
)
def test_values_are_read_as_what_they_look_like(said: dict[str, Any], params: dict[str, Any]) -> None:
    assert typed(said, DNS) == params


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"timeout": "5"}, "write timeout=2s"),
        ({"timeout": 5}, "write timeout=2s"),
        ({"spacing": "soon"}, "write spacing=2s"),
        ({"count": "3", "tries": "4"}, "tries is given twice"),
    ],
)
def test_a_value_that_could_mean_two_things_is_refused(said: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as caught:
        typed(said, DNS)
    assert says in caught.value.text.en


def test_a_kind_that_has_a_parameter_of_a_short_name_keeps_it() -> None:
    assert typed({"count": "3", "to": "x"}, ("count", "to")) == {"count": 3, "to": "x"}
