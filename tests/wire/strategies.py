"""Frames of every kind, as Hypothesis makes them up."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from bot.domain.failure import Failure, FaultOf
from bot.domain.probe import Agent, Outcome, ProbeRequest
from bot.domain.text import legible
from bot.wire.details import believable
from bot.wire.frames import Beat, Challenge, Frame, Hello, Job, Refused, Result, Status, Welcome

numbers = st.floats(min_value=-1e13, max_value=1e13)


def text(limit: int) -> st.SearchStrategy[str]:
    """Any text of at most `limit` characters."""
    return st.text(max_size=limit)


def line(limit: int) -> st.SearchStrategy[str]:
    """Text of one line that may be shown anywhere."""
    return text(limit).map(lambda found: "".join(c for c in found if c.isprintable()))


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | text(20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text(10), inner, max_size=4),
    max_leaves=12,
)
json_objects = st.dictionaries(text(20), json_values, max_size=4)
hostile_json: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.just(10**400),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
"""What `json.dumps` takes, NaN, infinities and numbers beyond every float included."""

agents = st.builds(
    Agent,
    name=line(80),
    region=line(80),
    vantage=line(40),
    env=line(40),
    vpc=line(80),
    cluster=line(80),
    state=line(20),
    version=line(40),
    kinds=st.lists(line(40), max_size=4).map(tuple),
    resolvers=st.dictionaries(line(20), st.lists(line(80), max_size=3).map(tuple), max_size=3),
    last_seen=st.none(),
    lag_ms=st.none(),
)
requests = st.builds(
    ProbeRequest,
    id=text(200),
    probe=text(200),
    kind=text(40),
    layer=text(40),
    target=text(300),
    agent=text(80),
    params=json_objects,
    timeout_s=numbers,
    why=text(300),
)
outcomes = st.builds(
    Outcome,
    ok=st.booleans(),
    failure=st.none() | st.sampled_from(Failure),
    fault_of=st.none() | st.sampled_from(FaultOf),
    success_rate=st.none() | st.floats(min_value=0, max_value=1),
    timings_ms=st.dictionaries(line(40), numbers, max_size=4),
    detail=json_objects.map(believable),
)
protocols = st.integers(min_value=0, max_value=2**31)
frames: st.SearchStrategy[Frame] = st.one_of(
    st.builds(Challenge, public_key=text(200), ephemeral=text(200), nonce=text(200), now=numbers, protocol=protocols),
    st.builds(
        Hello,
        agent=agents,
        public_key=text(200),
        ephemeral=text(200),
        nonce=text(200),
        hub=text(200),
        challenge=text(200),
        token_id=text(200),
        proof=text(200),
        process=text(200),
        protocol=protocols,
    ),
    st.builds(Welcome, now=numbers, proof=text(200)),
    st.builds(Refused, reason=text(300), final=st.booleans()),
    st.builds(
        Job,
        id=text(200),
        audience=text(200),
        nonce=text(200),
        issued=numbers,
        expires=numbers,
        request=requests,
    ),
    st.builds(
        Result,
        job=text(200),
        nonce=text(200),
        outcome=outcomes,
        at=numbers,
        took_ms=numbers,
        lag_ms=numbers,
        clock_ms=numbers,
    ),
    st.builds(
        Status,
        state=text(20),
        lag_ms=numbers,
        clock_ms=numbers,
        lacks=st.lists(text(300).map(legible), max_size=4).map(tuple),
    ),
    st.builds(Beat, now=numbers),
)
