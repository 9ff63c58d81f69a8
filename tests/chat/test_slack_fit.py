"""Whatever Warroom says, Slack takes it: no limit is broken, no text is markup, nothing is lost on the way."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.adapters.slack.draw import draw
from bot.adapters.slack.fit import PARTS, fit
from bot.adapters.slack.mrkdwn import cut, length, pieces, rich, typed, verbatim
from bot.adapters.slack.ref import Ref
from bot.domain.message import (
    Bullets,
    Button,
    Buttons,
    Code,
    Header,
    Matrix,
    MatrixCell,
    Message,
    Paragraph,
    Ranking,
    Share,
)
from bot.domain.text import same
from tests.chat.nasty import HARD, NASTY, messages
from tests.chat.slack_limits import check_message

MESSAGES = messages("slack:C1", ["U0LIN", "S0OPS", "<!channel>", "", "U1|x"])
ALLOWED = re.compile(r"<(@[UW][A-Z0-9]+|!subteam\^S[A-Z0-9]+|https?://[^<>|]*)>")


@HARD
@given(MESSAGES, st.sampled_from(["zh", "en"]), st.booleans())
def test_every_part_of_every_message_is_one_slack_takes(message: Message, lang: Any, tables_: bool) -> None:
    fitted = fit(message, lang, tables=tables_)
    assert fitted == fit(message, lang, tables=tables_)
    assert 1 <= len(fitted.parts) <= PARTS
    for part in fitted.parts:
        check_message({"text": part.text, "blocks": list(part.blocks)})
    assert tables_ or not any(b["type"] == "table" for part in fitted.parts for b in part.blocks)


@HARD
@given(MESSAGES)
def test_only_what_we_mean_is_markup(message: Message) -> None:
    for part in fit(message, "zh").parts:
        for text in [part.text, *marked(part.blocks)]:
            rest = ALLOWED.sub("", text)
            assert "<" not in rest
            assert ">" not in rest
            assert not re.search(r"&(?!amp;|lt;|gt;)", rest)


def marked(blocks: Any) -> list[str]:
    """Every piece of markup in the blocks."""
    found: list[str] = []
    for block in blocks:
        texts = [block.get("text"), *block.get("elements", [])]
        found += [t["text"] for t in texts if isinstance(t, dict) and t.get("type") == "mrkdwn"]
    return found


@HARD
@given(st.lists(NASTY, min_size=1, max_size=40))
def test_every_paragraph_is_somewhere_in_the_parts_or_in_the_file(paragraphs: list[str]) -> None:
    message = Message(key="m", room="r", blocks=tuple(Paragraph(text=same(p)) for p in paragraphs))
    fitted = fit(message, "en")
    seen = "".join(text for part in fitted.parts for text in marked(part.blocks))
    everything = flat(seen) + flat("".join(file.content for file in fitted.files))
    assert all(flat(paragraph) in everything for paragraph in paragraphs) or fitted.files


def flat(text: str) -> str:
    return re.sub(r"[\s<>]|&(lt|gt|amp);|[&]", "", text)


def test_a_chinese_verdict_of_common_size_is_one_message_with_its_evidence_below() -> None:
    reasons = tuple(same(f"上海 pod 经 VPC DNS 解析成功 11%（40 次），经公共 DNS 100%，第 {n} 条") for n in range(6))
    columns = tuple(same(c) for c in ("上海 pod", "上海 vm", "上海 vm2", "广州 vm", "办公网"))
    cells = (MatrixCell(state="lossy", text="11%"), *(MatrixCell(state="up"),) * 3, MatrixCell(state="missing"))
    rows = tuple((same(layer), cells) for layer in ("DNS·VPC", "DNS·公共", "TCP/TLS", "API"))
    shares = (Share(id="dns", title=same("VPC DNS 被限频"), share=0.93, evidence=tuple((r, 1.5) for r in reasons)),)
    message = Message(
        key="run-1",
        room="slack:C1",
        blocks=(
            Header(text=same("最可能：上海 VPC 的 DNS 被云厂商限频（93%）"), tone="bad", sub=same("/diag sms · 8.4 s")),
            Bullets(items=reasons, label=same("为什么")),
            Paragraph(text=same("停掉或迁走 10.3.7.21"), label=same("现在做")),
            Matrix(columns=columns, rows=rows),
            Ranking(shares=shares),
            Buttons(
                buttons=tuple(Button(label=same(b), command=f"/{b}") for b in ("拉战情室", "呼叫运维", "盯到恢复"))
            ),
        ),
    )
    fitted = fit(message, "zh")
    kinds = [block["type"] for block in fitted.parts[0].blocks]
    assert kinds == ["header", "context", "section", "table", "section", "actions"]
    assert len(fitted.parts) == 2
    table = fitted.parts[0].blocks[3]["rows"]
    assert [cell["text"] for cell in table[1]] == ["DNS·VPC", "🟠 11%", "✓", "✓", "✓", "❔ ?"]


def test_a_long_message_has_its_buttons_in_the_first_part() -> None:
    long = tuple(Paragraph(text=same(f"{n} " + "x" * 900)) for n in range(30))
    message = Message(key="m", room="r", blocks=(*long, Buttons(buttons=(Button(label=same("b"), command="/ack"),))))
    first, *others = fit(message, "en").parts
    assert first.blocks[-1]["type"] == "actions"
    assert not any(b["type"] == "actions" for part in others for b in part.blocks)


def test_what_is_longer_than_four_messages_is_a_file_as_well() -> None:
    message = Message(key="m", room="r", blocks=(Code(text="\n".join(f"line {n}" for n in range(9000))),))
    fitted = fit(message, "en")
    assert len(fitted.parts) == PARTS
    (file,) = fitted.files
    assert file.content.splitlines()[-1] == "line 8999"


def test_a_matrix_too_wide_for_a_table_is_text_in_which_wide_characters_take_two_columns() -> None:
    columns = tuple(same(f"地{n}") for n in range(25))
    rows = ((same("域名"), tuple(MatrixCell(state="up") for _ in columns)),)
    drawn = draw(Message(key="m", room="r", blocks=(Matrix(columns=columns, rows=rows),)), "zh")
    text = drawn.main[0]["text"]["text"]
    assert text.startswith("```\n")
    assert "域名  ✓" in text


# --- markup


@given(st.text(), st.integers(1, 300))
def test_a_cut_text_is_short_enough_and_ends_in_no_half_entity(text: str, most: int) -> None:
    short = cut(rich(text), most)
    assert length(short) <= most
    assert not re.search(r"&[a-z]{0,3}…$", short)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])), st.integers(10, 300))
def test_pieces_are_short_enough_and_lose_nothing_but_line_ends(text: str, most: int) -> None:
    safe = verbatim(text)
    got = list(pieces(safe, most))
    assert all(length(piece) <= most for piece in got)
    assert "".join(got).replace("\n", "").split() == safe.replace("\n", "").split() or "".join(
        "".join(got).split()
    ) == "".join(safe.split())


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_what_is_typed_is_read_back_from_slacks_escapes(text: str) -> None:
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    stripped = text.strip()
    if not (stripped.startswith("`") and stripped.endswith("`")):
        assert typed(escaped) == stripped


@pytest.mark.parametrize(
    ("marked_up", "meant"),
    [
        ("<@U0BOT> /diag sms", "/diag sms"),
        ("/page <@U0LIN>", "/page @U0LIN"),
        ("/page <@U0LIN|lin>", "/page @U0LIN"),
        ("<#C1|ops> <!here> <!subteam^S1|@dba>", "#ops @here @dba"),
        ("/probe http <https://a.example/x?y=1&amp;z=2>", "/probe http https://a.example/x?y=1&z=2"),
        ("/probe dns <http://a.example|a.example>", "/probe dns a.example"),
        ("<mailto:a@b.c|a@b.c> <tel:+8613800000000|+86 138>", "a@b.c +8613800000000"),
        ("`/diag sms`", "/diag sms"),
    ],
)
def test_marks_are_read_as_what_was_typed(marked_up: str, meant: str) -> None:
    assert typed(marked_up, bot="U0BOT") == meant


@given(st.builds(Ref, channel=st.text(), ts=st.text(), thread=st.text(), more=st.lists(st.text()).map(tuple)))
def test_a_reference_is_read_as_it_was_written(ref: Ref) -> None:
    assert Ref.read(ref.written()) == ref


@pytest.mark.parametrize("nothing", [None, "", "x", "[]", "{}", '{"c": 1}', "null"])
def test_what_is_no_reference_is_none(nothing: str | None) -> None:
    assert Ref.read(nothing) is None
