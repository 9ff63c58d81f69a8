"""`warroom probe` and POST /api/v1/probe against a real bot, a real agent and real servers on loopback."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bot.probes.table import KINDS
from tests.needs import need_tool
from tests.ports import free_port
from tests.probes.servers import HOST, unbound
from tests.serving import API_TOKEN, Serving, serving

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def bot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("bot")) as up:
        yield up


@pytest.fixture(scope="module")
def resolver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real resolver as ADDRESS:PORT."""
    need_tool("unbound")
    with unbound(HOST, tmp_path_factory.mktemp("unbound")) as port:
        yield f"{HOST}:{port}"


def post(bot: Serving, body: Any, *, token: str = API_TOKEN) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    return httpx.post(f"{bot.url}/api/v1/probe", content=content, headers=headers, timeout=60, trust_env=False)


def test_dns_from_the_shell_is_one_document_with_every_try_counted(bot: Serving, resolver: str) -> None:
    found = bot.json("probe", "dns", "two.test", "from", "lab", "via", resolver, "count=12")
    assert (found["kind"], found["target"], found["missing"], found["measured"]) == ("dns", "two.test", [], True)
    assert found["params"]["tries"] == 12
    assert found["command"] == f"/probe dns two.test from lab via {resolver} count=12"
    (seen,) = found["observations"]
    assert (seen["agent"], seen["ok"], seen["success_rate"]) == ("here", True, 1.0)
    assert (seen["detail"]["ok"], seen["detail"]["tries"]) == (12, 12)
    assert seen["detail"]["answers"] == ["203.0.113.1", "203.0.113.2"]
    assert seen["timings_ms"]["dns"] > 0


def test_help_names_every_kind(bot: Serving) -> None:
    shown = bot.run("probe", "--help").stdout
    listed = shown.partition("kinds: ")[2].partition(";")[0]
    assert set(listed.replace(",", " ").split()) == set(KINDS)


def test_the_text_is_the_compact_table_and_what_failed_is_said_with_whose_fault_it_is(
    bot: Serving, resolver: str
) -> None:
    done = bot.run("probe", "dns", "refused.test", "via", resolver, "count=12")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "🔴 dns refused.test: fails from lab vm, works from nowhere"
    assert lines[2].split() == ["vantage", "point", "ok", "ms", "what"]
    assert lines[3].startswith("lab vm         0/12")
    assert "resolver refused ×12 (resolver)" in lines[3]
    assert "asking ..." in done.stderr


def test_options_may_stand_anywhere(bot: Serving) -> None:
    target = f"{bot.url}/healthz"
    for words in (
        ("--format", "json", "http", target, "from", "lab"),
        ("http", "--format", "json", target, "from", "lab"),
        ("http", target, "--format", "json", "from", "lab"),
    ):
        done = bot.run("probe", *words)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["command"] == f"/probe http {target} from lab"
    done = bot.run("probe", "http", "--fromat", "json", target)
    assert done.returncode == 2
    assert "unrecognized arguments: --fromat" in done.stderr


def test_http_by_address_names_status_and_phases(bot: Serving) -> None:
    found = bot.json("probe", "http", f"{bot.url}/healthz", "expect_status=200", "expect_body=ok")
    (seen,) = found["observations"]
    assert (seen["ok"], seen["detail"]["status"]) == (True, 200)
    assert {"tcp", "first_byte", "total"} <= set(seen["timings_ms"])
    assert "HTTP 200" in found["text"]


def test_an_agent_whose_policy_forbids_it_makes_the_command_fail_but_not_the_target(bot: Serving) -> None:
    done = bot.run("probe", "ping", "169.254.169.254")
    assert done.returncode == 1
    assert "no vantage point could measure it" in done.stdout
    assert "refused by the agent's policy: 169.254.169.254 is cloud metadata" in done.stdout


def test_a_refused_connection_is_the_targets_and_the_command_did_its_work(bot: Serving) -> None:
    done = bot.run("probe", "tcp", f"127.0.0.1:{free_port('127.0.0.1')}", "count=3")
    assert done.returncode == 0, done.stderr
    assert "connection refused ×3 (target)" in done.stdout


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("probe",), 2, "KIND"),
        (("probe", "dnss", "x"), 2, 'did you mean "dns"?'),
        (("probe", "dns"), 2, "dns of what?"),
        (("probe", "dns", "a.test", "b.test"), 2, 'not also "b.test"'),
        (("probe", "dns", "a.test", "from"), 2, 'nothing follows "from"'),
        (("probe", "dns", "a.test", "from", "mars"), 2, 'place "mars" not found'),
        (("probe", "dns", "a.test", "cuont=3"), 2, 'did you mean "count"?'),
        (("probe", "dns", "a.test", "timeout=5"), 2, "write timeout=2s"),
        (("probe", "dns", "a.test", "via", "host", "count=195"), 2, "write count=190"),
    ],
)
def test_wrong_use_is_status_2_with_the_next_step(bot: Serving, words: tuple[str, ...], status: int, says: str) -> None:
    done = bot.run(*words, *(("--format", "json") if len(words) > 1 else ()))
    assert (done.returncode, done.stdout) == (status, "")
    assert says in done.stderr
    assert "asking" not in done.stderr
    assert "Traceback" not in done.stderr


def test_the_probe_is_shown_in_the_room_and_on_its_timeline(bot: Serving) -> None:
    bot.run("command", "/incident declare the API is slow", "--as", "lin")
    asked = {"kind": "http", "target": f"{bot.url}/healthz", "from": "here", "params": {"count": 2}, "user": "chen"}
    found = post(bot, asked).json()
    assert found["incident"] == "INC-1"
    assert found["observations"][0]["detail"]["tries"] == 2
    entries = bot.json("timeline", "INC-1")
    assert [(e["kind"], e["actor"]) for e in entries][-2:] == [("command", "chen"), ("probes", "warroom")]
    assert entries[-1]["data"]["rates"] == {"here": 1.0}
    said = bot.run("command", "/timeline").stdout
    assert f"/probe http {bot.url}/healthz from here count=2" in said


def test_a_chat_command_does_the_same(bot: Serving, resolver: str) -> None:
    done = bot.run("command", f"/probe dns two.test via {resolver} count=3")
    assert done.returncode == 0
    assert "🟢 dns two.test: works from lab vm" in done.stdout
    assert "3/3" in done.stdout


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"{", 422, "json"),
        ({}, 422, "kind"),
        ({"kind": "shell", "target": "id"}, 404, "unknown_kind_of_probe"),
        ({"kind": "dns", "target": "a.test\n; id"}, 400, "bad_target"),
        ({"kind": "dns", "target": "a.test", "params": {"count": 1e400}}, 400, "bad_parameter"),
        (b'{"kind": "dns", "target": "\\ud800"}', 422, "string"),
        (b'{"kind": "dns", "target": "a.test", "params": {"\\ud800": "\\ud800"}}', 404, "unknown_parameter"),
        (b'{"kind": "dns", "target": "a.test", "params": {"type": "\\ud800"}}', 400, "bad_parameter"),
        ({"kind": "dns", "target": "a.test", "params": {"server": {"a": 1}}}, 404, "unknown_resolver"),
        ({"kind": "dns", "target": "a.test", "params": {"server": []}}, 400, "bad_parameter"),
        ({"kind": "http", "target": "a.test", "params": {"url": "b.test"}}, 400, "is given twice"),
        ({"kind": "api", "target": "sms.X", "params": {"payload": [[[]]]}}, 400, "payload must be an object"),
        ({"kind": "dns", "target": "a.test", "room": "nowhere"}, 404, "unknown_room"),
        ({"kind": "dns", "target": "x" * 3000}, 422, "2000"),
    ],
)
def test_a_request_that_is_wrong_is_refused_and_never_a_5xx(bot: Serving, body: Any, status: int, says: str) -> None:
    answer = post(bot, body)
    assert answer.status_code == status, answer.text
    assert says in answer.text


def test_without_the_token_nobody_probes_and_the_description_says_what_is_asked(bot: Serving) -> None:
    assert post(bot, {"kind": "dns", "target": "a.test"}, token="wrong").status_code == 401
    described = httpx.get(f"{bot.url}/api/v1/openapi.json", trust_env=False).json()
    assert "post" in described["paths"]["/api/v1/probe"]
    assert set(described["components"]["schemas"]["ProbeAsked"]["properties"]) >= {"kind", "target", "from", "via"}
    assert "not_asked" in described["components"]["schemas"]["ProbeAnswer"]["properties"]


def test_the_agents_policy_is_the_last_word_on_where_a_resolver_may_be(bot: Serving) -> None:
    found = post(bot, {"kind": "dns", "target": "a.test", "via": "10.255.255.1", "params": {"count": 1}}).json()
    (seen,) = found["observations"]
    assert (seen["failure"], seen["fault_of"]) == ("policy_denied", "policy")
    assert Path(bot.folder, "policy.yaml").exists()
