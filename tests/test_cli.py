"""The command line against a real bot: exit status, one JSON document, errors with the next step."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import jsonschema
import pytest
from ruamel.yaml import YAML

from tests.ports import free_port
from tests.serving import AGENT_TOKEN, API_TOKEN, REPOSITORY, Serving, serving, warroom

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def bot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("bot")) as up:
        yield up


@pytest.fixture
def mine(bot: Serving) -> Path:
    """A playbook whose target is the bot itself."""
    path = bot.folder / "mine.yaml"
    step = "  - http: {to: api, path: /healthz, expect_status: [200]}\n"
    path.write_text(f"playbook: mine\ntitle: mine\ntargets: {{api: {bot.url}}}\nprobe:\n{step}")
    return path


def test_diag_with_a_file_prints_one_document_and_nothing_else(bot: Serving, mine: Path) -> None:
    found = bot.json("diag", str(mine))
    assert found["verdict"] == ["healthy"]
    assert found["playbook"] == "mine"
    assert [a["name"] for a in found["agents"]] == ["here"]
    assert all(o["ok"] for o in found["observations"])
    assert abs(sum(h["share"] for h in found["hypotheses"]) - 1) < 0.01


def test_a_target_the_agents_policy_forbids_is_shown_as_refused_and_not_as_down(bot: Serving) -> None:
    path = bot.folder / "metadata.yaml"
    path.write_text("playbook: m\ntitle: m\ntargets: {api: http://169.254.169.254}\nprobe:\n  - http: {to: api}\n")
    found = bot.json("diag", str(path))
    assert {(o["failure"], o["fault_of"]) for o in found["observations"]} == {("policy_denied", "policy")}
    assert found["verdict"] == ["inconclusive"]


def test_commands_print_what_the_bot_says(bot: Serving) -> None:
    done = bot.run("command", "/incident declare SMS is down", "--as", "lin")
    assert done.returncode == 0
    assert "INC-1 SMS is down" in done.stdout
    (row,) = bot.json("incidents")
    assert (row["id"], row["state"], row["opened_by"]) == ("INC-1", "declared", "lin")
    entries = bot.json("timeline", "INC-1")
    assert {"command", "incident"} <= {e["kind"] for e in entries}
    assert "declared INC-1" in bot.run("timeline", "INC-1").stdout


def test_a_timeline_is_searched_and_its_record_written_line_by_line(bot: Serving) -> None:
    bot.run("command", "/incident declare the lift is stuck sev4", "--room", "console:lift")
    (name,) = [row["id"] for row in bot.json("incidents") if row["title"] == "the lift is stuck"]
    for n in range(3):
        bot.run("command", f"/note floor {n}", "--room", "console:lift", "--as", f"p{n}")
    assert [e["text"] for e in bot.json("timeline", name, "floor", "--kind", "note")] == [
        "floor 0",
        "floor 1",
        "floor 2",
    ]
    assert [e["text"] for e in bot.json("timeline", name, "--kind", "note", "--by", "p1")] == ["floor 1"]
    (last,) = bot.json("timeline", name, "--kind", "note", "--limit", "1")
    bot.run("command", f"/note correct #{last['seq']} floor 12", "--room", "console:lift")
    assert "floor 12 (corrected by #" in bot.run("timeline", name, "--kind", "note").stdout
    lines = bot.run("export", name, "--format", "jsonl").stdout.splitlines()
    assert json.loads(lines[0])["entries"] == len(lines) - 1
    assert "floor 2" in [json.loads(line).get("en") for line in lines]


def test_export_writes_the_postmortem_into_a_file_or_on_stdout(bot: Serving) -> None:
    bot.run("command", "/incident declare the disk is full sev4", "--room", "console:export")
    (name,) = [row["id"] for row in bot.json("incidents") if row["title"] == "the disk is full"]
    out = bot.folder / "postmortem.html"
    done = bot.run("export", name, "--format", "html", "--lang", "zh", "-o", str(out))
    assert (done.returncode, done.stdout) == (0, "")
    assert "the disk is full" in out.read_text()
    assert '<html lang="zh-CN">' in out.read_text()
    done = bot.run("export", name.lower())
    assert done.stdout.startswith(f"# Postmortem: {name} the disk is full")
    assert json.loads(bot.run("export", name, "--format", "json").stdout)["incident"] == name


def test_verify_says_whether_the_record_is_as_it_was_written(bot: Serving) -> None:
    bot.run("command", "/incident declare the lights are out sev4", "--room", "console:verify")
    (name,) = [row["id"] for row in bot.json("incidents") if row["title"] == "the lights are out"]
    found = bot.json("timeline", name, "--verify")
    assert found["ok"]
    head = found["heads"][0]
    assert (head["chain"], head["entries"] > 0) == (name, True)
    assert head["hash"] in bot.run("export", name).stdout
    assert bot.run("timeline", name, "--verify", "--head", head["hash"]).returncode == 0
    done = bot.run("timeline", name, "--verify", "--head", "0" * 64)
    assert done.returncode == 1
    assert "was printed, and no entry has this hash now" in done.stdout
    with sqlite3.connect(bot.folder / "warroom.db") as database:
        database.execute("DROP TRIGGER timeline_no_update")
        database.execute("UPDATE timeline SET zh = 'nothing' WHERE incident = ? AND link = 1", [name])
    done = bot.run("timeline", name, "--verify")
    assert done.returncode == 1
    assert f"{name} #1" in done.stdout
    assert "THE RECORD WAS CHANGED" in done.stderr


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("export", "INC-99"), 1, "no incident INC-99"),
        (("export", "INC-1", "--format", "docx"), 2, "invalid choice"),
        (("diag", "smss"), 1, 'did you mean "sms"'),
        (("diag", "sms", "region"), 2, "write key=value"),
        (("diag", "sms", "region=mars"), 1, "there are: lab"),
        (("diag", "./nowhere.yaml"), 2, "nowhere.yaml"),
        (("timeline", "INC-99"), 1, "no incident INC-99"),
        (("timeline", "INC-1", "--kind", "nots"), 1, 'did you mean "note"'),
        (("command", "/frobnicate"), 1, ""),
        (("frobnicate",), 2, "invalid choice"),
        (("diag",), 2, "PLAYBOOK"),
    ],
)
def test_mistakes_have_their_status_and_a_next_step(
    bot: Serving, words: tuple[str, ...], status: int, says: str
) -> None:
    done = bot.run(*words)
    assert done.returncode == status
    assert says in done.stderr
    assert "Traceback" not in done.stderr + done.stdout


def test_without_a_token_or_a_bot_the_command_says_which_is_missing(bot: Serving) -> None:
    done = warroom("agents", cwd=bot.folder)
    assert (done.returncode, "WARROOM_API_TOKEN is not set" in done.stderr) == (2, True)
    done = warroom("agents", "--server", bot.url, cwd=bot.folder, WARROOM_API_TOKEN="wrong")
    assert (done.returncode, "bearer token" in done.stderr) == (1, True)
    nobody = f"http://127.0.0.1:{free_port()}"
    done = warroom("agents", "--server", nobody, cwd=bot.folder, WARROOM_API_TOKEN="x")
    assert (done.returncode, "warroom serve" in done.stderr) == (1, True)


def test_playbook_check_points_at_file_line_and_mistake(tmp_path: Path) -> None:
    good = REPOSITORY / "playbooks" / "sms.yaml"
    bad = tmp_path / "bad.yaml"
    bad.write_text("playbook: bad\ntitle: bad\ntargets: {api: https://x.example}\nprobe:\n  - dns: {off: api}\n")
    rule = tmp_path / "rule.yaml"
    text = (REPOSITORY / "playbooks" / "hypotheses" / "firewall_block.yaml").read_text()
    rule.write_text(text.replace("inside.control.rate", "inside.contrl.rate"))
    done = warroom("playbook", "check", str(good), str(bad), str(rule), cwd=tmp_path)
    assert done.returncode == 1
    assert f"{good}: ok, playbook sms" in done.stdout
    assert f"{bad}:5:11: probe.0.dns.off: unknown key" in done.stderr
    assert "inside.contrl.rate: unknown" in done.stderr
    assert f"{rule}:" in done.stderr


@pytest.mark.parametrize("what", ["playbook", "hypothesis"])
def test_the_shipped_files_fit_the_printed_schema(tmp_path: Path, what: str) -> None:
    schema = json.loads(warroom("playbook", "schema", what, cwd=tmp_path).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    folder = REPOSITORY / "playbooks"
    files = list(folder.glob("*.yaml") if what == "playbook" else folder.glob("hypotheses/*.yaml"))
    assert files
    for path in files:
        jsonschema.validate(YAML(typ="safe", pure=True).load(path), schema)


def test_db_upgrade_may_be_repeated_and_doctor_names_what_is_missing(tmp_path: Path) -> None:
    assert warroom("db", "upgrade", cwd=tmp_path).returncode == 0
    assert warroom("db", "upgrade", cwd=tmp_path).returncode == 0
    done = warroom("doctor", cwd=tmp_path)
    assert done.returncode == 1
    assert "MEND WARROOM_API_TOKEN" in done.stdout
    done = warroom("doctor", cwd=tmp_path, WARROOM_API_TOKEN="a" * 12, WARROOM_AGENT_TOKEN="b" * 12)
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("toml", "env", "says"),
    [
        ('[server]\nlisten = "nowhere"\n', {}, "server.listen"),
        ('[server]\nlistne = "x"\n', {}, "did you mean 'listen'"),
        ("[sever]\n", {}, "did you mean 'server'"),
        ("[server\n", {}, "warroom.toml"),
        ('[database]\nurl = "mongodb://x"\n', {}, "mongodb"),
        ('[server]\ntimezone = "Mars/Base"\n', {}, "server.timezone"),
        ('[[pagers]]\nname = "gw"\nkind = "webhook"\nurl = "http://x"\n', {}, "WARROOM_PAGER_GW_SECRET not set"),
        ("", {"WARROOM_SLACK_BOT_TOKEN": "xoxb-canary"}, "WARROOM_SLACK_APP_TOKEN not set"),
        ("", {"WARROOM_API_TOKEN_FILE": "/nowhere"}, "/nowhere"),
    ],
)
def test_a_bad_configuration_names_key_and_reason(tmp_path: Path, toml: str, env: dict[str, str], says: str) -> None:
    (tmp_path / "warroom.toml").write_text(toml)
    done = warroom("serve", cwd=tmp_path, **env)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "canary" not in done.stderr


def test_an_agent_with_a_wrong_token_says_so_and_ends(bot: Serving) -> None:
    words = ("agent", "--hub", bot.url.replace("http", "ws"), "--name", "x", "--region", "r", "--vantage", "vm")
    done = warroom(*words, "--state", str(bot.folder), cwd=bot.folder, WARROOM_AGENT_TOKEN="wrong")
    assert done.returncode == 3
    assert "WARROOM_AGENT_TOKEN" in done.stderr


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/v1/agents", None, 401),
        ("POST", "/api/v1/diag", b"{", 422),
        ("POST", "/api/v1/diag", b"[" * 100_000, 400),
        ("POST", "/api/v1/diag", b'{"playbook": ["x"]}', 422),
        ("POST", "/api/v1/commands", b'{"text": "/help", "room": "nowhere"}', 404),
        ("POST", "/api/v1/commands", b'{"text": "' + b"x" * 600_000 + b'"}', 413),
        ("GET", "/api/v1/runs/nope", None, 404),
        ("POST", "/hooks/phone/nobody", b"{}", 404),
        ("GET", "/ack/forged/INC-1:1:lin:1", None, 404),
        ("POST", "/ack/forged/INC-1:1:lin:1", None, 404),
        ("GET", "/agents/connect", None, 404),
        ("GET", "/nowhere", None, 404),
    ],
)
def test_bad_requests_are_refused_and_never_a_5xx(
    bot: Serving, method: str, path: str, body: bytes | None, status: int
) -> None:
    headers = {"Content-Type": "application/json"}
    if status != 401:
        headers["Authorization"] = f"Bearer {API_TOKEN}"
    answer = httpx.request(method, bot.url + path, content=body, headers=headers, trust_env=False)
    assert answer.status_code == status


def test_health_and_the_api_description_are_there(bot: Serving) -> None:
    get = httpx.Client(base_url=bot.url, trust_env=False).get
    assert get("/healthz").text == "ok\n"
    assert get("/readyz").status_code == 200
    assert 'warroom_agents{state="ready"} 1' in get("/metrics").text
    assert get("/api/v1/openapi.json").json()["info"]["title"] == "Warroom"


def test_no_secret_is_written_anywhere(bot: Serving) -> None:
    bot.run("command", f"/note the token is {API_TOKEN}", "--as", "lin")
    written = b"".join(p.read_bytes() for p in bot.folder.iterdir() if p.is_file())
    assert API_TOKEN.encode() not in written
    assert AGENT_TOKEN.encode() not in written
