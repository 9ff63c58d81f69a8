"""The subjects and the login; hubs and agents on a real NATS are in tests/adapters/test_agents_nats.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import ConfigError
from bot.wire.nats import NatsLogin, Server, Subjects, is_token, server

OURS = Subjects("w")


def test_subjects_are_as_written_down() -> None:
    assert (OURS.hubs, OURS.knock) == ("w.hubs", "w.knock")
    assert OURS.knock_at("h1") == "w.hub.h1.knock"
    assert (OURS.links("h1"), OURS.links("h1", "l2")) == ("w.hub.h1.link.*", "w.hub.h1.link.l2")
    assert OURS.agent("sh-vm", "k3") == "w.agent.sh-vm.k3"


@given(st.text(max_size=200))
def test_whatever_an_agent_is_called_it_listens_on_one_subject_of_its_own(name: str) -> None:
    inbox = OURS.agent(name, "k3")
    assert OURS.is_agent(inbox)
    assert inbox.count(".") == 3
    assert not set(inbox) & set("*> \r\n\t")


@pytest.mark.parametrize(
    "subject",
    [
        *("", "w", "w.agent", "w.agent.", "w.agent.a", "w.agent.a.", "w.agent..b", "w.agent.a.b.c"),
        *("w.agent.*.b", "w.agent.a.>", "w.agent.>", ">", "w.agent.a.b\r\nPUB x 0", "w.agent.a. b", "w.agent.上海.b"),
        *("x.agent.a.b", "w.hub.h.link", "_INBOX.a.b", "$SYS.REQ.b", "w.hubs", "W.agent.a.b", f"w.agent.a.{'b' * 101}"),
    ],
)
def test_a_knock_may_name_no_subject_but_an_agents(subject: str) -> None:
    assert not OURS.is_agent(subject)


@pytest.mark.parametrize(("text", "good"), [("ab-_9", True), ("", False), ("a.b", False), ("*", False), ("a\n", False)])
def test_a_hub_is_named_by_one_token(text: str, good: bool) -> None:
    assert is_token(text) is good


@pytest.mark.parametrize(
    ("url", "read", "at"),
    [
        ("nats://bus", Server(scheme="nats", host="bus", port=4222), "nats://10.0.0.1:4222"),
        ("tls://bus.test:5222/", Server(scheme="tls", host="bus.test", port=5222), "tls://10.0.0.1:5222"),
        ("nats://[::1]:4223", Server(scheme="nats", host="::1", port=4223), "nats://10.0.0.1:4223"),
    ],
)
def test_a_server_is_read_from_its_url(url: str, read: Server, at: str) -> None:
    assert server(url, "--hub") == read
    assert read.at("10.0.0.1") == at
    assert server(read.url, "--hub") == read
    assert read.at("2001:db8::1").startswith(f"{read.scheme}://[2001:db8::1]:")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nats://", "must read nats://host"),
        ("bus:4222", "must read nats://host"),
        ("ws://bus", "must read nats://host"),
        ("nats://bus/path", "must read nats://host"),
        ("nats://bus:port", "--hub: Port could not be cast"),
        ("nats://me:hush@bus:port", "--hub: Port could not be cast"),
        ("nats://bus:99999", "Port out of range"),
        ("nats://me:hush@bus", "must not carry a login; use WARROOM_NATS_USER"),
        ("nats://hush@bus", "must not carry a login"),
    ],
)
def test_what_is_no_address_of_a_server_is_refused_with_its_form(url: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        server(url, "--hub")
    assert "hush" not in str(caught.value)


def test_a_login_is_one_of_three_or_none() -> None:
    assert NatsLogin.read({}).options() == {}
    assert NatsLogin.read({"CREDS_FILE": "/a.creds"}).options() == {"user_credentials": "/a.creds"}
    assert NatsLogin.read({"USER": "u", "PASSWORD": "p"}).options() == {"user": "u", "password": "p"}
    assert NatsLogin.read({"TOKEN": "t"}).options() == {"token": "t"}


@pytest.mark.parametrize(
    ("given_", "reason"),
    [
        ({"USER": "u"}, "belong together"),
        ({"PASSWORD": "hush"}, "belong together"),
        ({"USER": "u", "PASSWORD": "hush", "TOKEN": "t"}, "exclude each other"),
        ({"CREDS_FILE": "/a", "TOKEN": "hush"}, "exclude each other"),
    ],
)
def test_half_a_login_and_two_are_mistakes(given_: dict[str, str], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        NatsLogin.read(given_)
    assert "hush" not in str(caught.value)


def test_no_login_shows_its_secret() -> None:
    assert "hush" not in repr(NatsLogin(user="u", password="hush")) + repr(NatsLogin(token="hush"))
