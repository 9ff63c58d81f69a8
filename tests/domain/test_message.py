"""Messages travel as JSON and come back as they were."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.message import (
    Block,
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
    from_json,
    to_json,
)
from bot.domain.text import Text

words = st.text(max_size=12)
texts = st.builds(Text, zh=words, en=words)
maybe = st.none() | texts
cells = st.builds(
    MatrixCell, state=st.sampled_from(["up", "down", "lossy", "missing", "denied"]), text=words, hint=maybe
)
shares = st.builds(
    Share, id=words, title=texts, share=st.floats(0, 1), evidence=st.tuples(st.tuples(texts, st.floats(-5, 5)))
)


def some(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(values, max_size=3).map(tuple)


blocks: st.SearchStrategy[Block] = st.one_of(
    st.builds(Header, text=texts, tone=st.sampled_from(["bad", "good", "warn", "info", "busy"]), sub=maybe),
    st.builds(Paragraph, text=texts, label=maybe),
    st.builds(Bullets, items=some(texts), label=maybe, folded=st.booleans()),
    st.builds(Ranking, shares=some(shares)),
    st.builds(
        Matrix,
        columns=some(texts),
        rows=some(st.tuples(texts, some(cells))),
        groups=some(st.tuples(texts, st.integers(1, 9))),
    ),
    st.builds(Progress, done=st.integers(0, 99), total=st.integers(0, 99), text=texts),
    st.builds(Table, columns=some(texts), rows=some(some(words))),
    st.builds(Buttons, buttons=some(st.builds(Button, label=texts, command=words, primary=st.booleans()))),
    st.builds(Code, text=words),
)


@given(some(blocks))
def test_every_block_comes_back_as_it_was(said: tuple[Block, ...]) -> None:
    assert from_json(json.loads(json.dumps(to_json(said)))) == said


def test_each_block_names_its_type_and_both_languages() -> None:
    (row,) = to_json([Header(text=Text("恢复", "recovered"), tone="good")])
    assert row == {"type": "header", "text": {"zh": "恢复", "en": "recovered"}, "tone": "good", "sub": None}


@pytest.mark.parametrize(
    "row", [{}, {"type": "video"}, {"type": "header"}, {"type": "header", "text": "x", "tone": "bad"}]
)
def test_what_is_no_block_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError)):
        from_json([row])
