"""Whatever Warroom says, WeCom takes it: bytes are counted, nothing is lost where a text is cut, no text is markup."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from bot.adapters.wecom import application, hooks, robot
from bot.adapters.wecom.card import final_card, on_card, pressed, unknown_card
from bot.adapters.wecom.render import Style
from bot.adapters.wecom.said import LEAST_FILE, MOST_FILE, Said, prepare
from bot.adapters.wecom.text import FENCE, cut, harmless, pieces, size
from bot.domain.message import Button, Buttons, Code, File, Message, Paragraph, Table
from bot.domain.text import same
from tests.chat.nasty import HARD, NASTY, messages
from tests.chat.wecom_limits import card_of as taken

MESSAGES = messages("wecom:bot/ops", ["lin", "wang.wu@x", "@all", "all", "", "a b", "x>y"])
LANGS: st.SearchStrategy[Any] = st.sampled_from(["zh", "en"])
KINDS = {
    "a member": (Style(lang="zh", typed=""), True, application.MOST_BYTES, application.MOST_PARTS, 2048 - 24),
    "its group": (Style(lang="zh", typed="@W R "), False, application.MOST_BYTES, application.MOST_PARTS, 2048 - 24),
    "the robot": (Style(lang="zh", typed="@W R ", fences=True), True, robot.MOST_BYTES, robot.MOST_PARTS, 20_480),
    "a webhook": (Style(lang="zh"), False, hooks.MOST_BYTES, hooks.MOST_PARTS, 4096),
}
"""By kind of room: how it is written, whether it has cards, our limit, how many parts, and WeCom's own limit in bytes.

24 bytes are left for the mark that tells a text from the same text of another message.
"""


def flat(text: str) -> str:
    """The text without what may be put in where it is cut."""
    return re.sub(r"\s|```", "", text)


@HARD
@given(MESSAGES)
def test_every_part_of_every_message_is_one_wecom_takes_and_nothing_is_lost_where_it_is_cut(message: Message) -> None:
    for style, cards, limit, most, wecoms in KINDS.values():
        said = prepare(message, style, cards=cards)
        texts, files = said.parts(limit, most)
        assert len(texts) <= most
        for text in texts:
            assert text.strip()
            assert size(text) <= wecoms
            assert text.split("\n").count(FENCE) % 2 == 0, "a code block is open"
        assert all(name and LEAST_FILE <= len(content) <= MOST_FILE for name, content in files)
        whole = files[0][1].decode() if files != said.files else "\n".join(texts)
        assert flat(whole) == flat(said.text)
        assert said == prepare(message, style, cards=cards)


@HARD
@given(MESSAGES, LANGS)
def test_a_card_is_one_wecom_takes_and_every_button_is_on_it_or_typed(message: Message, lang: Any) -> None:
    style = Style(lang=lang, typed="")
    said = prepare(message, style, cards=True)
    wanted = {b.command for block in message.blocks if isinstance(block, Buttons) for b in block.buttons}
    if said.card is None:
        assert on_card(message) == frozenset()
        return
    complaints: list[str] = []
    keys = {b["key"] for b in taken(said.card, set(), complaints)["button_list"]}
    assert complaints == []
    assert len(keys) == min(6, sum(1 for command in wanted if 0 < size(command) <= 1024))
    typed = {harmless(command) for command in wanted - keys}
    assert all(f"`{command}`" in said.text for command in typed)
    assert not said.whole_card or not typed
    for key in [*keys, "/unknown"]:
        for changed in (pressed(said.card, key, "林" * 40), unknown_card(key, "t", "lin")):
            taken(changed, None, complaints)
        assert {b["key"] for b in pressed(said.card, key, "lin")["button_list"]} == keys
    assert complaints == []


@HARD
@given(MESSAGES, LANGS)
def test_a_card_that_is_used_up_is_one_wecom_takes(message: Message, lang: Any) -> None:
    complaints: list[str] = []
    taken(final_card(message, lang, task_id="t"), None, complaints)
    assert complaints == []


@HARD
@given(MESSAGES)
def test_nobody_is_mentioned_but_those_who_are_meant(message: Message) -> None:
    for style, cards, *_ in KINDS.values():
        text = prepare(message, style, cards=cards).text
        found = set(re.findall(r"<@([^>]*)>", text))
        assert found <= {"lin", "wang.wu@x"} & set(message.mention)


@given(NASTY)
def test_what_people_write_is_no_markup(text: str) -> None:
    shown = harmless(text)
    assert not re.search(r"<[@a-zA-Z/!?]|\]\(|`|\*|(?m:^\s*[#>])", shown)
    assert len(shown) >= len(text.replace("\r\n", "\n"))


WORDS = st.text(alphabet=st.sampled_from(list("ab 短😀👩‍👩‍👧\n`*")), max_size=900)


@given(WORDS, st.integers(64, 400))
def test_parts_are_short_enough_in_bytes_and_whole_together(text: str, limit: int) -> None:
    lines = text.replace(FENCE, "'''").split("\n")
    blocked = "\n".join([*lines[::2], FENCE, *lines, FENCE, *lines[1::2]])
    parts = pieces(blocked, limit)
    assert all(size(part) <= limit and part.strip() for part in parts)
    assert all(part.split("\n").count(FENCE) % 2 == 0 for part in parts)
    assert flat("".join(parts)) == flat(blocked)


@given(WORDS, st.integers(64, 400))
def test_a_cut_text_is_short_enough_in_bytes_and_says_that_it_is_cut(text: str, limit: int) -> None:
    blocked = f"{FENCE}\n{text.replace(FENCE, '')}\n{FENCE}"
    short = cut(blocked, limit)
    assert size(short) <= limit
    assert short == blocked or "…" in short
    assert short.split("\n").count(FENCE) % 2 == 0


def test_lines_stay_whole_and_so_do_words_and_mentions_of_a_longer_line() -> None:
    mentions = " ".join(f"<@user{n:04}>" for n in range(300))
    parts = pieces(f"{mentions}\nsecond line\nthird line", 500)
    assert all(re.fullmatch(r"(<@user\d{4}> ?)+", part.split("\n")[0]) for part in parts[:-1])
    assert parts[-1].endswith("second line\nthird line")


def test_code_that_is_cut_is_code_in_every_part() -> None:
    message = Message(key="m", room="wecom:bot/x", blocks=(Code(text="\n".join(f"line {n:05}" for n in range(4000))),))
    texts, _ = prepare(message, KINDS["the robot"][0], cards=True).parts(20_000, 9)
    assert len(texts) == 3
    assert all(text.startswith("```\nline ") and text.endswith("\n```") for text in texts)


def test_every_row_of_a_long_table_is_said() -> None:
    rows = tuple((f"/command{n}", "what it does") for n in range(60))
    table = Table(columns=(same("command"), same("effect")), rows=rows)
    said = prepare(Message(key="m", room="wecom:bot/x", blocks=(table,)), KINDS["the robot"][0], cards=True)
    assert [f"/command{n} · what it does" in said.text for n in range(60)] == [True] * 60


def test_more_buttons_than_a_card_takes_are_commands_to_type() -> None:
    message = with_buttons(*(f"/page team{n}" for n in range(9)))
    said = prepare(message, KINDS["the robot"][0], cards=True)
    assert said.card is not None
    assert [b["key"] for b in said.card["button_list"]] == [f"/page team{n}" for n in range(6)]
    assert re.findall(r"`(.+)`", said.text) == [f"@W R /page team{n}" for n in range(6, 9)]
    assert not said.whole_card


def test_a_file_wecom_does_not_take_is_named_and_a_tiny_one_is_filled_up() -> None:
    message = Message(
        key="m",
        room="wecom:app/lin",
        blocks=(
            File(name="tiny.txt", title=same("Tiny"), content="ok"),
            File(name="huge.txt", title=same("Huge"), content="x" * (MOST_FILE + 1)),
        ),
    )
    said: Said = prepare(message, Style(lang="en"), cards=True)
    assert said.files == (("tiny.txt", b"ok\n\n\n\n"),)
    assert "huge.txt has 20971521 bytes" in said.text


def with_buttons(*commands: str) -> Message:
    buttons = tuple(Button(label=same(c.lstrip("/")), command=c) for c in commands)
    return Message(key="m", room="wecom:bot/x", blocks=(Paragraph(text=same("who?")), Buttons(buttons=buttons)))
