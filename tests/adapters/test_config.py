"""Configuration: what a file and an environment mean, and what is said of mistakes."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from bot.adapters.config import Config, load
from bot.domain.errors import ConfigError
from bot.domain.patrol import PatrolRules

PAGER = '[[pagers]]\nname = "call-gw"\nkind = "webhook"\nurl = "https://calls.example/v1"\n'
KEY = {"WARROOM_PAGER_CALL_GW_SECRET": "whsec_QUFBQUFBQUFBQUFBQUFBQQ=="}


def read(folder: Path, text: str, **environ: str) -> Config:
    path = folder / "warroom.toml"
    path.write_text(text, encoding="utf-8")
    return load(path, environ)


def test_without_a_file_everything_has_a_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load(None, {})
    assert config.url == "http://127.0.0.1:8800"
    assert (config.lang, str(config.timezone)) == ("zh", "Asia/Shanghai")
    assert config.database_url == "sqlite:///warroom.db"


def test_a_full_file_is_read(tmp_path: Path) -> None:
    text = (
        '[server]\nlisten = "[::1]:9000"\npublic_url = "https://warroom.example/"\nlanguage = "en"\n'
        'timezone = "Europe/Berlin"\n[database]\nurl = "postgresql://w@db/w"\n[paths]\nplaybooks = "ours"\n'
        f'{PAGER}timeout_s = 3\n[[people]]\nname = "林"\nphone = "+8613800000001"\n'
        '[[vendors]]\nname = "Tencent"\nroom = "console:tencent"\n'
    )
    config = read(tmp_path, text, **KEY)
    assert (config.host, config.port, config.url) == ("::1", 9000, "https://warroom.example")
    assert (config.lang, str(config.timezone)) == ("en", "Europe/Berlin")
    assert config.playbooks == Path("ours")
    assert [(p.name, p.timeout_s) for p in config.pagers] == [("call-gw", 3.0)]
    assert [(p.name, p.lang) for p in config.people] == [("林", "zh")]
    assert config.vendors == {"tencent": "console:tencent"}


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    config = read(
        tmp_path,
        '[server]\nlanguage = "zh"\n[database]\nurl = "sqlite:///a.db"\n',
        WARROOM_SERVER_LANGUAGE="en",
        WARROOM_DATABASE_URL="sqlite:///b.db",
    )
    assert (config.lang, config.database_url) == ("en", "sqlite:///b.db")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("WARROOM_SERVER_LISTN", "unknown variable WARROOM_SERVER_LISTN; did you mean WARROOM_SERVER_LISTEN?"),
        ("WARROOM_DATABASE_DSN", "unknown variable WARROOM_DATABASE_DSN; known: WARROOM_DATABASE_URL"),
        ("WARROOM_AGENTS_NATSURL", "did you mean WARROOM_AGENTS_NATS_URL"),
        ("WARROOM_PATHS_PLAYBOOK", "did you mean WARROOM_PATHS_PLAYBOOKS"),
    ],
)
def test_a_variable_that_names_no_key_is_a_mistake_and_not_a_default(tmp_path: Path, name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        read(tmp_path, "", **{name: "canary"})


def test_variables_of_others_are_left_alone(tmp_path: Path) -> None:
    kubernetes = ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_80_TCP", "PORT_80_TCP_ADDR")
    others = {f"WARROOM_SERVER_{name}": "x" for name in kubernetes}
    config = read(tmp_path, "", WARROOM_SERVER="http://x", WARROOM_AGENT_TOKEN="x", PATH="/", **others)
    assert config.url == "http://127.0.0.1:8800"


def test_secrets_come_from_the_environment_or_a_file_and_are_never_shown(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("canary-file-token\n")
    config = read(
        tmp_path, PAGER, WARROOM_API_TOKEN_FILE=str(tmp_path / "token"), WARROOM_AGENT_TOKEN=" canary-a ", **KEY
    )
    assert (config.api_token, config.agent_token) == ("canary-file-token", "canary-a")
    assert set(config.secrets()) == {"canary-file-token", "canary-a", *KEY.values()}
    assert "canary" not in repr(config)
    assert "whsec" not in repr(config)


def test_the_databases_password_may_come_apart_from_its_url(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("canary:p@ss\n")
    url, file = "postgresql://warroom@db/warroom", str(tmp_path / "password")
    config = read(tmp_path, f'[database]\nurl = "{url}"\n', WARROOM_DATABASE_PASSWORD_FILE=file)
    assert config.database_url == "postgresql://warroom:canary%3Ap%40ss@db/warroom"
    assert "canary:p@ss" in config.secrets()
    assert "canary" not in repr(config)


@pytest.mark.parametrize("url", ["sqlite:///warroom.db", "postgresql://db/warroom", "postgresql://w:p@db/warroom"])
def test_a_password_that_fits_no_url_is_a_mistake(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match="WARROOM_DATABASE_PASSWORD"):
        read(tmp_path, "", WARROOM_DATABASE_URL=url, WARROOM_DATABASE_PASSWORD="p")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[sever]\n", "unknown key [sever]; did you mean 'server'"),
        ('[server]\nlanguge = "zh"\n', "unknown key server.languge; did you mean 'language'"),
        ('[server]\napi_token = "x"\n', "unknown key server.api_token"),
        ('server = "x"\n', "server must be written as [server]"),
        ('[pagers]\nname = "x"\n', "pagers must be written as [[pagers]]"),
        ("people = [1]\n", "people must be written as [[people]]"),
        ('[server]\nlisten = "8800"\n', "server.listen is '8800'"),
        ('[server]\nlisten = "127.0.0.1:99999"\n', "server.listen"),
        ('[server]\nlanguage = "fr"\n', 'must be "zh" or "en"'),
        ('[server]\ntimezone = "../etc/passwd"\n', "server.timezone"),
        ('[server]\npublic_url = "warroom.example"\n', "server.public_url"),
        ('[[pagers]]\nkind = "webhook"\n', "name is missing"),
        ('[[pagers]]\nname = "x"\nkind = "pigeon"\n', "kind 'pigeon' is unknown; known: webhook, twilio"),
        (PAGER, "kind webhook is half configured: WARROOM_PAGER_CALL_GW_SECRET not set"),
        (f"{PAGER}timeout = 3\n", "did you mean 'timeout_s'"),
        ('[[people]]\nphone = "+86"\n', "[[people]]: name is missing"),
        ('[[vendors]]\nname = "tencent"\n', "[[vendors]] tencent: room is missing"),
        ("[server\n", "warroom.toml"),
        ("[server]\n[server]\n", "warroom.toml"),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert says in str(caught.value)


@pytest.mark.parametrize("seconds", ['"soon"', "0", "-1", "true", "nan", "3600"])
def test_a_timeout_must_be_a_sensible_number(tmp_path: Path, seconds: str) -> None:
    with pytest.raises(ConfigError, match="call-gw: timeout_s"):
        read(tmp_path, f"{PAGER}timeout_s = {seconds}\n", **KEY)


@pytest.mark.parametrize(
    ("environ", "says"),
    [
        ({"WARROOM_SLACK_BOT_TOKEN": "x"}, "slack is half configured: WARROOM_SLACK_APP_TOKEN not set"),
        (
            {"WARROOM_SLACK_BOT_TOKEN": "x", "WARROOM_SLACK_MODE": "http"},
            "slack is half configured: WARROOM_SLACK_SIGNING_SECRET not set",
        ),
        (
            {"WARROOM_SLACK_BOT_TOKEN": "x", "WARROOM_SLACK_APP_TOKEN": "x", "WARROOM_SLACK_WAR_ROOMS": "secret"},
            "slack.war_rooms",
        ),
        ({"WARROOM_WECOM_SECRET": "x"}, "WARROOM_WECOM_TOKEN, WARROOM_WECOM_AES_KEY, wecom.corp_id, wecom.agent_id"),
        ({"WARROOM_WECOM_BOT_SECRET": "x"}, "wecom.bot_id not set"),
    ],
)
def test_a_half_configured_platform_names_what_is_missing(tmp_path: Path, environ: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, "", **environ)
    assert says in str(caught.value)


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: no such file"):
        load(tmp_path / "nowhere.toml", {})
    with pytest.raises(ConfigError, match=str(tmp_path)):
        load(tmp_path, {})
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"binary\.toml"):
        load(tmp_path / "binary.toml", {})
    with pytest.raises(ConfigError, match="WARROOM_API_TOKEN_FILE"):
        read(tmp_path, "", WARROOM_API_TOKEN_FILE=str(tmp_path / "nowhere"))


def test_patrols_go_by_default_and_open_nothing(tmp_path: Path) -> None:
    rules = read(tmp_path, "").patrol
    assert (rules.every, rules.open_incidents, rules.playbooks) == (timedelta(seconds=60), False, ())


def test_the_rules_of_patrols_are_read_from_file_and_environment(tmp_path: Path) -> None:
    text = (
        '[patrol]\nevery = "5m"\nplaybooks = ["sms", "cos"]\nroom = "console:ops"\nopen_incidents = true\nrounds = 2\n'
        "of = 4\nvantage_points = 3\ncertificate_days = 30\nconnections_share = 0.9\n"
        '[[vpcs]]\nname = "vpc-prod"\ndns_limit = 1024\n'
    )
    rules = read(tmp_path, text, WARROOM_PATROL_OF="6", WARROOM_PATROL_PLAYBOOKS="sms,shop").patrol
    assert rules == PatrolRules(
        every=timedelta(minutes=5),
        playbooks=("sms", "shop"),
        room="console:ops",
        open_incidents=True,
        rounds=2,
        of=6,
        vantage_points=3,
        certificate_days=30,
        connections_share=0.9,
        dns_limits={"vpc-prod": 1024.0},
    )
    assert read(tmp_path, text).patrol.playbooks == ("sms", "cos")
    assert not read(tmp_path, '[patrol]\nevery = "off"\n').patrol.every


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[patrol]\nevery = "often"\n', 'must read "60s", "5m"'),
        ('[patrol]\nevery = "1s"\n', "10 s to 24 h"),
        ("[patrol]\nrounds = 6\n", "can never be reached in patrol.of = 5"),
        ('[patrol]\nvantage_points = "two"\n', "patrol.vantage_points is 'two'; it must be a number from 1 to 1000"),
        ("[patrol]\nconnections_share = nan\n", "a number from 0.01 to 1"),
        ('[patrol]\nopen_incidents = "maybe"\n', "must be true or false"),
        ("[patrol]\nevry = 5\n", "did you mean 'every'?"),
        ("[[vpcs]]\ndns_limit = 5\n", "[[vpcs]]: name is missing"),
        ('[[vpcs]]\nname = "v"\ndns_limit = "many"\n', "[[vpcs]] v: dns_limit is 'many'"),
    ],
)
def test_a_mistake_in_the_rules_of_patrols_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        read(tmp_path, text)


TWILIO = '[[pagers]]\nname = "tw"\nkind = "twilio"\naccount_sid = "AC1"\nfrom = "+15005550006"\n'


def test_each_kind_of_pager_has_keys_and_secrets_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("canary-old\n")
    secrets = {
        "WARROOM_PAGER_TW_AUTH_TOKEN": "canary-t",
        "WARROOM_PAGER_TW_OLD_AUTH_TOKEN_FILE": str(tmp_path / "token"),
    }
    config = read(tmp_path, TWILIO, **secrets)
    (pager,) = config.pagers
    assert (pager.kind, dict(pager.options)) == ("twilio", {"account_sid": "AC1", "from": "+15005550006"})
    assert dict(pager.secrets) == {"AUTH_TOKEN": "canary-t", "OLD_AUTH_TOKEN": "canary-old"}
    assert set(config.secrets()) == {"canary-t", "canary-old"}
    assert "canary" not in repr(config)


@pytest.mark.parametrize(
    ("text", "environ", "says"),
    [
        (
            '[[pagers]]\nname = "tw"\nkind = "twilio"\nfrom = "+1500"\n',
            {},
            "[[pagers]] tw: kind twilio is half configured: account_sid, WARROOM_PAGER_TW_AUTH_TOKEN not set",
        ),
        (
            '[[pagers]]\nname = "a-b"\nkind = "tencent_vms"\napp_id = "1"\ntemplate = "2"\n',
            {"WARROOM_PAGER_A_B_SECRET_ID": "x"},
            "[[pagers]] a-b: kind tencent_vms is half configured: WARROOM_PAGER_A_B_SECRET_KEY not set",
        ),
        (f'{TWILIO}template = "x"\n', {}, "[[pagers]] tw: kind twilio has no key 'template'; it has account_sid, from"),
        ('[[pagers]]\nname = "x"\nkind = "twillio"\n', {}, "kind 'twillio' is unknown; did you mean 'twilio'?"),
        (f'{TWILIO}url = "api.twilio.com"\n', {"WARROOM_PAGER_TW_AUTH_TOKEN": "x"}, "url is 'api.twilio.com'"),
        (TWILIO + TWILIO, {"WARROOM_PAGER_TW_AUTH_TOKEN": "x"}, "there are two of this name"),
        (
            TWILIO,
            {"WARROOM_PAGER_TW_AUTH_TOKEN": "x", "WARROOM_PAGER_TW_AUTHTOKEN_OLD": "y"},
            "unknown variable WARROOM_PAGER_TW_AUTHTOKEN_OLD; did you mean WARROOM_PAGER_TW_",
        ),
        (PAGER, {"WARROOM_PAGER_CALL_GW_SECRET": "whsec_!"}, 'must be "whsec_" followed by base64'),
    ],
)
def test_a_half_configured_pager_names_what_is_missing(
    tmp_path: Path, text: str, environ: dict[str, str], says: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text, **environ)
    assert says in str(caught.value)
