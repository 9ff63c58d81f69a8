from __future__ import annotations

from pathlib import Path

import pytest

from bot.agent.policy import load_policy
from bot.domain.errors import ConfigError
from bot.probes.base import Denied, ProbeContext


def context(tmp_path: Path, text: str) -> ProbeContext:
    (tmp_path / "secret").write_text("swordfish\n")
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    return load_policy(path).context({})


LOGIN = 'logins: {orders: {kind: %s, for: "%s", user: warroom, secret_file: secret}}\n'


def test_a_login_is_for_its_kind_and_its_endpoint_only(tmp_path: Path) -> None:
    ctx = context(tmp_path, LOGIN % ("tcp", "10.0.0.5:3306"))
    login = ctx.login("orders", "tcp", "10.0.0.5:3306")
    assert (login.user, login.secret) == ("warroom", "swordfish")
    for name, kind, endpoint in (
        ("orders", "tls", "10.0.0.5:3306"),
        ("orders", "tcp", "10.6.6.6:3306"),
        ("orders", "tcp", "10.0.0.5:3307"),
        ("others", "tcp", "10.0.0.5:3306"),
    ):
        with pytest.raises(Denied) as caught:
            ctx.login(name, kind, endpoint)
        assert "swordfish" not in str(caught.value)


def test_a_login_never_shows_its_secret(tmp_path: Path) -> None:
    ctx = context(tmp_path, LOGIN % ("tcp", "10.0.0.5:3306"))
    assert "swordfish" not in repr(ctx)


def test_a_secret_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'logins: {prom: {kind: http, for: ["https://prom.example/"], secret_env: WARROOM_TEST_PROM}}\n'
    with pytest.raises(ConfigError, match="WARROOM_TEST_PROM is not set"):
        context(tmp_path, text)
    monkeypatch.setenv("WARROOM_TEST_PROM", "swordfish")
    assert context(tmp_path, text).login("prom", "http", "https://prom.example").secret == "swordfish"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("logins: [1]\n", "logins: must be a mapping"),
        (LOGIN % ("ftp", "10.0.0.5:3306"), "logins.orders.kind: unknown kind 'ftp'"),
        (LOGIN % ("any", "10.0.0.5:3306"), "logins.orders.kind: must be one kind"),
        (LOGIN % ("http", "http://prom.example"), "must be https"),
        (LOGIN % ("http", "prom"), "logins.orders.for: must name where it may go"),
        ("logins: {a: {kind: tcp, for: 'h:1'}}\n", "needs secret_file or secret_env"),
        ("logins: {a: {kind: tcp, for: 'h:1', secret_file: gone}}\n", "gone cannot be read"),
    ],
)
def test_a_wrong_login_is_refused_at_start(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        context(tmp_path, text)
