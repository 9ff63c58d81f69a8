"""What people type, as commands."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.command import MAX_LENGTH, Command, parse, unknown
from bot.domain.errors import UserError
from bot.domain.text import Text


def typed(text: str) -> Command:
    return parse(text, user="lin", room="console:main")


def refusal(text: str) -> str:
    with pytest.raises(UserError) as caught:
        typed(text)
    return caught.value.code


@pytest.mark.parametrize(
    "text",
    [
        "/diag sms region=east",
        "diag sms region=east",
        "／diag　sms　region=east",
        "  /DIAG\tsms\nregion=east ",
        "/ diag sms region=east",
    ],
)
def test_a_command_is_understood_however_it_is_spaced(text: str) -> None:
    command = typed(text)
    assert (command.verb, command.args, dict(command.options)) == ("diag", ("sms",), {"region": "east"})


def test_quotes_hold_words_together() -> None:
    assert typed('/page "on call" chen').args == ("on call", "chen")


def test_prose_keeps_its_quotes_and_its_equals_signs() -> None:
    assert typed('/note it\'s "down", p99=3s').rest == 'it\'s "down", p99=3s'
    assert typed("/incident declare it's down").rest == "declare it's down"


def test_an_option_is_a_word_a_sign_and_a_value() -> None:
    command = typed("/diag sms =x 1=2 a=b=c vpc=")
    assert command.args == ("sms", "=x", "1=2")
    assert dict(command.options) == {"a": "b=c", "vpc": ""}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty_command"),
        ("/", "empty_command"),
        ("／　", "empty_command"),
        ('/diag "sms', "bad_quotes"),
        ("/diag sms'", "bad_quotes"),
        ("/note " + "字" * MAX_LENGTH, "too_long"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_word_for_it(text: str, code: str) -> None:
    assert refusal(text) == code


def test_the_nearest_name_is_suggested_in_both_languages() -> None:
    error = unknown(
        Text("剧本", "playbook"), "smss", ["sms", "cos"], Text("/playbooks 列出全部", "/playbooks lists them")
    )
    assert error.text.en == 'playbook "smss" not found; did you mean "sms"? /playbooks lists them'
    assert error.text.zh == "没有找到剧本 “smss”；是不是 “sms”？/playbooks 列出全部"
    far = unknown(Text("剧本", "playbook"), "mysql", ["sms"], Text("。", "/playbooks lists them"))
    assert far.text.en == 'playbook "mysql" not found; /playbooks lists them'


@given(st.text(max_size=200))
def test_any_line_is_a_command_or_a_clear_refusal(text: str) -> None:
    try:
        command = typed(text)
    except UserError as error:
        refused = error
    else:
        assert command.verb == command.verb.lower()
        assert not any(c.isspace() for c in command.verb)
        return
    assert refused.text.zh
    assert refused.text.en
