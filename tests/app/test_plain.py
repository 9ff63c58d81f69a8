"""Messages as lines of text."""

from __future__ import annotations

from bot.app.plain import plain, width
from bot.domain.message import (
    Bullets,
    Button,
    Buttons,
    Code,
    Header,
    Matrix,
    MatrixCell,
    Paragraph,
    Progress,
    Ranking,
    Share,
    Table,
)
from bot.domain.text import Text, same


def test_every_block_has_its_lines_in_each_language() -> None:
    blocks = (
        Header(text=Text("恢复", "recovered"), tone="good", sub=same("/diag sms")),
        Paragraph(text=Text("停掉它", "stop it"), label=Text("现在做", "Do now")),
        Bullets(items=(same("a"), same("b")), label=Text("为什么", "Why")),
        Ranking(shares=(Share(id="x", title=Text("因", "cause"), share=0.93, evidence=((same("seen"), 1.5),)),)),
        Progress(done=7, total=18, text=Text("在问", "asking")),
        Buttons(buttons=(Button(label=Text("接手", "I have it"), command="/ack"),)),
        Code(text="one\ntwo"),
    )
    assert plain(blocks, "en").splitlines() == [
        "🟢 recovered",
        "   /diag sms",
        "Do now: stop it",
        "Why",
        " · a",
        " · b",
        "  93%  cause  (x)",
        "         +1.5  seen",
        "7/18 · asking",
        "[I have it: /ack]",
        "one",
        "two",
    ]
    assert "[接手: /ack]" in plain(blocks, "zh")


def test_columns_line_up_also_under_wide_characters() -> None:
    table = Table(columns=(Text("名称", "name"), same("x")), rows=(("广州", "1"), ("sh", "2")))
    lines = plain((table,), "zh").splitlines()
    assert {width(line) for line in lines} == {width("名称  x")}
    assert width("广州") == 4


def test_a_cell_shows_its_number_or_a_sign_that_cannot_be_read_as_green() -> None:
    cells = (MatrixCell(state="lossy", text="11%"), MatrixCell(state="missing"), MatrixCell(state="up"))
    matrix = Matrix(
        columns=(same("pod"), same("vm"), same("vm2")), rows=((same("DNS"), cells),), groups=((same("sh"), 3),)
    )
    assert plain((matrix,), "en").splitlines()[-1].split() == ["DNS", "11%", "?", "✓"]
