"""Text in two languages."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.text import Text, join, lang_of, percent, same


def both(template: str) -> Text:
    return Text(zh=template, en=template)


@pytest.mark.parametrize(
    ("template", "facts", "text"),
    [
        ("{a.b}", {"a": {"b": 7}}, "7"),
        ("{rate:pct}", {"rate": 0.114}, "11%"),
        ("{t:ms}", {"t": 12.6}, "13 ms"),
        ("{qps:n}", {"qps": 2140.4}, "2,140"),
        ("{names:list}", {"names": ["x", "y"]}, "x, y"),
        ("{missing} {a.b.c}", {"a": {}}, "? ?"),
        ("{a.__class__}", {"a": "text"}, "?"),
        ("{{literal}}", {}, "{literal}"),
    ],
)
def test_fields_are_filled_from_mappings_only(template: str, facts: dict[str, Any], text: str) -> None:
    assert both(template).fill(facts) == both(text)


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0%"), (0.001, "<1%"), (0.005, "<1%"), (0.114, "11%"), (0.995, ">99%"), (0.999, ">99%"), (1, "100%")],
)
def test_a_share_is_never_rounded_to_all_or_nothing(share: float, text: str) -> None:
    assert percent(share) == text


@given(st.floats(min_value=0, max_value=1))
def test_only_nothing_reads_as_zero_and_only_all_as_hundred(share: float) -> None:
    assert (percent(share) == "100%") == (share == 1)
    assert (percent(share) == "0%") == (share == 0)


def test_texts_are_joined_with_each_languages_own_sign() -> None:
    assert join([same("a"), same("b")]) == Text("a、b", "a, b")
    assert join([]) == Text("", "")


@pytest.mark.parametrize(
    ("word", "lang"), [("zh", "zh"), ("zh-CN", "zh"), ("en", "en"), ("en-GB", "en"), ("fr", "zh"), ("", "zh")]
)
def test_a_language_is_known_by_its_beginning(word: str, lang: str) -> None:
    assert lang_of(word) == lang
    assert lang_of("fr", "en") == "en"


def test_brackets_in_which_something_is_unknown_are_left_out() -> None:
    text = Text("大包消失（只通到 {a.size} 字节）", "large ones vanish (up to {a.size} bytes arrive)")
    assert text.fill({"a": {"size": 1300}}) == Text(
        "大包消失（只通到 1300 字节）", "large ones vanish (up to 1300 bytes arrive)"
    )
    assert text.fill({"a": {}}) == Text("大包消失", "large ones vanish")
    codes = Text("被拒（{codes:list}）", "denied ({codes:list})")
    assert codes.fill({"codes": []}) == Text("被拒", "denied")


def test_a_chinese_name_stands_without_the_spaces_around_a_latin_one() -> None:
    text = Text("从 {name} 看正常", "fine from {name}")
    assert text.fill({"name": "上海"}).zh == "从上海看正常"
    assert text.fill({"name": "east"}).zh == "从 east 看正常"
