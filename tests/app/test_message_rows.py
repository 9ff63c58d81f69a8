"""Messages survive the outbox with everything a platform needs to place them."""

from __future__ import annotations

from datetime import UTC, datetime

from bot.app.outgoing import chat_row, read_message
from bot.domain.message import File, Message, Paragraph
from bot.domain.text import Text, same


def test_a_message_comes_out_of_the_outbox_as_it_went_in() -> None:
    said = Message(
        key="msg-1",
        room="slack:C024",
        blocks=(Paragraph(text=same("hi")), File(name="a.md", title=Text("报告", "report"), content="# a")),
        answers="1700000000.000100",
        thread="summary",
        pinned=True,
        mention=("U1", "U2"),
    )
    assert read_message(chat_row(said, due_at=datetime.now(UTC)).payload) == said


def test_a_row_written_by_an_earlier_version_is_still_read() -> None:
    row = {"message": {"key": "k", "room": "r", "blocks": [], "author": "lin"}}
    assert read_message(row) == Message(key="k", room="r", blocks=(), author="lin")
