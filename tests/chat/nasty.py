"""Messages with every kind of block and the worst of texts, for tests of what platforms take."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st

from bot.domain.message import (
    Block,
    Bullets,
    Button,
    Buttons,
    Code,
    File,
    Header,
    Matrix,
    MatrixCell,
    Message,
    Paragraph,
    Progress,
    Ranking,
    Share,
    Table,
)
from bot.domain.text import Text, same

NASTY = st.one_of(
    st.text(max_size=80),
    st.sampled_from(["", " ", "<!channel>", "<@U1|x>", "&amp;", "a & b", "```", "*b*", "<https://x|y>", "`" * 10]),
    st.sampled_from(["短信" * 400, "x" * 4000, "😀" * 2000, "\n" * 50, "&" * 3000, "word " * 900]),
    st.sampled_from(["https://x.example/" + "a" * 3500, "see https://x.example/?a=1&b=" + "短" * 300]),
    st.text(alphabet="<>&`*_~| \n短😀", max_size=400),
)  # fmt: skip
TEXTS = st.builds(Text, NASTY, NASTY)
SHORT = st.builds(same, st.text(max_size=20))
CELLS = st.builds(
    MatrixCell,
    state=st.sampled_from(["up", "lossy", "down", "slow", "none", "missing", "pending", "denied"]),
    text=st.text(max_size=8),
)


@st.composite
def matrices(draw_: st.DrawFn) -> Matrix:
    columns = draw_(st.integers(0, 30))
    cells = st.lists(CELLS, min_size=columns, max_size=columns).map(tuple)
    rows = draw_(st.lists(st.tuples(TEXTS, cells), max_size=12).map(tuple))
    return Matrix(columns=tuple(draw_(SHORT) for _ in range(columns)), rows=rows)


@st.composite
def tables(draw_: st.DrawFn) -> Table:
    columns = draw_(st.integers(1, 25))
    row = st.lists(NASTY, min_size=columns, max_size=columns).map(tuple)
    return Table(columns=tuple(draw_(SHORT) for _ in range(columns)), rows=tuple(draw_(st.lists(row, max_size=6))))


SHARES = st.builds(
    Share,
    id=st.text(max_size=20),
    title=TEXTS,
    share=st.floats(0, 1),
    evidence=st.lists(st.tuples(TEXTS, st.floats(-9, 9)), max_size=8).map(tuple),
)
BUTTONS = st.builds(Button, label=TEXTS, command=st.one_of(NASTY, st.just("/ack INC-1")), primary=st.booleans())
BLOCKS: st.SearchStrategy[Block] = st.one_of(
    st.builds(Header, text=TEXTS, tone=st.sampled_from(["bad", "good", "warn", "info", "busy"]), sub=st.none() | TEXTS),
    st.builds(Paragraph, text=TEXTS, label=st.none() | TEXTS),
    st.builds(Bullets, items=st.lists(TEXTS, max_size=30).map(tuple), label=st.none() | TEXTS, folded=st.booleans()),
    st.builds(Ranking, shares=st.lists(SHARES, max_size=5).map(tuple)),
    matrices(),
    tables(),
    st.builds(Progress, done=st.integers(-3, 30), total=st.integers(-3, 30), text=TEXTS),
    st.builds(Buttons, buttons=st.lists(BUTTONS, max_size=60).map(tuple)),
    st.builds(Code, text=NASTY),
    st.builds(File, name=st.text(min_size=1, max_size=300), title=TEXTS, content=NASTY),
)


def messages(room: str, mentions: Sequence[str]) -> st.SearchStrategy[Message]:
    """Any message in that room."""
    return st.builds(
        Message,
        key=st.one_of(st.text(min_size=1, max_size=20), st.just("k" * 400)),
        room=st.just(room),
        blocks=st.lists(BLOCKS, max_size=14).map(tuple),
        mention=st.lists(st.sampled_from(mentions), max_size=4).map(tuple),
    )


NO_SHRINKING = (Phase.explicit, Phase.reuse, Phase.generate)
"""Messages of this size take minutes to shrink; the example that fails says enough."""
HARD = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), phases=NO_SHRINKING)
