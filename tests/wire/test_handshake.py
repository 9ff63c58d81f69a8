from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.errors import FrameError
from bot.domain.probe import Agent
from bot.wire.codec import decode, encode
from bot.wire.frames import Challenge, Hello, Refused, Status, Welcome
from bot.wire.handshake import AgentHandshake, Credentials, HubHandshake, StrangeHub, token_id
from bot.wire.session import Session
from bot.wire.signing import Signer

NOW = 1_800_000_000.0
HUB, AGENT, MALLORY = Signer(b"h" * 32), Signer(b"a" * 32), Signer(b"m" * 32)
TOKEN = "the shared token"
SINGLE = "wre2.f00d.secret"
WHO = Agent(name="sh-vm", region="shanghai", vantage="vm")
LOW_ORDER = [
    # The points of small order on Curve25519 (https://cr.yp.to/ecdh.html#validate), and their non-canonical twins.
    *("00" * 32, "01" + "00" * 31),
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]


def at_hub(signer: Signer = HUB) -> HubHandshake:
    return HubHandshake(signer, now=NOW)


def at_agent(*, token: str = TOKEN, hub: str = "", signer: Signer = AGENT) -> AgentHandshake:
    return AgentHandshake(WHO, Credentials(signer=signer, token=token, hub=hub))


def changed(text: str, signer: Signer, **changes: Any) -> str:
    """The same frame with other words, signed anew."""
    frame = decode(text)
    assert isinstance(frame, Challenge | Hello)
    return encode(replace(frame, **changes), signer)


def meet(hub: HubHandshake, agent: AgentHandshake, *, token: str = TOKEN) -> tuple[Session, Session]:
    """An honest meeting: the hub's session and the agent's."""
    hello, theirs = agent.answer(hub.challenge())
    hub.hear(hello)
    ours, welcome = hub.welcome(now=NOW, token=token if hub.proven(token) else "")
    assert agent.accept(theirs.open(ours.seal(welcome))) == welcome
    return ours, theirs


# --- those who may meet -----------------------------------------------------------------------------------------


def test_two_who_know_one_token_meet_know_each_other_and_can_talk() -> None:
    hub, agent = at_hub(), at_agent()
    ours, theirs = meet(hub, agent)
    assert agent.hub == HUB.public
    assert theirs.open(ours.seal(Refused(reason="x"))) == Refused(reason="x")
    assert ours.open(theirs.seal(Status(state="ready"))) == Status(state="ready")


def test_an_agent_that_knows_its_hub_needs_no_token_and_shows_none() -> None:
    hub, agent = at_hub(), at_agent(token="", hub=HUB.public)
    meet(hub, agent)
    assert not hub.proven(TOKEN)
    assert not hub.proven("")


def test_a_hub_that_goes_by_the_key_alone_needs_no_token_where_it_is_known() -> None:
    meet(at_hub(), at_agent(token="a used-up token", hub=HUB.public))


def test_a_token_never_travels_and_is_not_shown_by_what_holds_it() -> None:
    hub, agent = at_hub(), at_agent(token=SINGLE)
    challenge = hub.challenge()
    hello, _ = agent.answer(challenge)
    hub.hear(hello)
    ours, welcome = hub.welcome(now=NOW, token=SINGLE)
    said = challenge + hello + ours.seal(welcome)
    assert "f00d" in hello
    assert "secret" not in said
    assert SINGLE not in repr(Credentials(signer=AGENT, token=SINGLE))


def test_the_public_part_of_a_single_use_token_is_told_from_a_shared_one() -> None:
    assert token_id(SINGLE) == "f00d"
    assert [token_id(t) for t in ("", TOKEN, "wre2", "wre1.f00d.secret", "wre2.")] == [""] * 5


def test_each_meeting_has_keys_of_its_own() -> None:
    first, _ = meet(at_hub(), at_agent())
    _, other = meet(at_hub(), at_agent())
    with pytest.raises(FrameError, match="seal does not verify"):
        other.open(first.seal(Refused(reason="x")))


# --- an agent that is not what it says ------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", TOKEN[:-1], "é", "令牌"])
def test_one_who_does_not_know_the_token_cannot_show_it(token: str) -> None:
    hub = at_hub()
    hub.hear(at_agent(token=token, hub=HUB.public).answer(hub.challenge())[0])
    assert not hub.proven(TOKEN)


@pytest.mark.parametrize("proof", ["é", "\ud800", "证明"])
def test_a_proof_beyond_ascii_is_a_wrong_one_on_either_side(proof: str) -> None:
    hub, agent = at_hub(), at_agent()
    hello, _ = agent.answer(hub.challenge())
    if proof.isprintable():
        hub.hear(changed(hello, AGENT, proof=proof))
        assert not hub.proven(TOKEN)
    with pytest.raises(StrangeHub, match="has not shown that it knows the token"):
        agent.accept(Welcome(now=NOW, proof=proof))


def test_what_a_hub_refuses_after_a_hello_is_sealed_for_it_and_before_one_is_never_final() -> None:
    hub = at_hub()
    before = decode(hub.refuse("no", final=True))
    assert before == Refused(reason="no", final=False)
    hello, theirs = at_agent().answer(hub.challenge())
    hub.hear(hello)
    assert theirs.open(hub.refuse("no", final=True)) == Refused(reason="no", final=True)


def test_a_hello_proves_that_the_agent_holds_the_key_it_shows() -> None:
    hub = at_hub()
    hello, _ = at_agent().answer(hub.challenge())
    with pytest.raises(FrameError, match="does not verify"):
        hub.hear(changed(hello, MALLORY))


def test_a_hello_recorded_elsewhere_is_of_no_use() -> None:
    recorded, _ = at_agent().answer(at_hub().challenge())
    for hub in (at_hub(), at_hub(MALLORY)):
        with pytest.raises(FrameError, match="answers another challenge"):
            hub.hear(recorded)


def test_a_hello_to_another_hub_cannot_be_passed_on_to_this_one() -> None:
    """A hub the agent trusts too must not be able to pose as it."""
    hub = at_hub()
    passed_on = changed(hub.challenge(), MALLORY, public_key=MALLORY.public)
    hello, _ = at_agent().answer(passed_on)
    with pytest.raises(FrameError, match="answers another challenge"):
        hub.hear(hello)
    with pytest.raises(FrameError, match="does not verify"):
        hub.hear(changed(hello, MALLORY, hub=HUB.public))


@pytest.mark.parametrize("field", ["public_key", "ephemeral", "nonce", "token_id", "agent"])
def test_a_proof_is_for_one_hello_of_one_agent(field: str) -> None:
    """Somebody who takes over a proof and puts it into a hello of his own."""
    hub = at_hub()
    challenge = hub.challenge()
    honest, mine = (decode(at_agent(signer=s).answer(challenge)[0]) for s in (AGENT, MALLORY))
    assert isinstance(honest, Hello)
    assert isinstance(mine, Hello)
    stolen = replace(honest, public_key=MALLORY.public)
    other = {
        "public_key": MALLORY.public,
        "ephemeral": mine.ephemeral,
        "nonce": mine.nonce,
        "token_id": "f00d",
        "agent": replace(WHO, name="gz-vm"),
    }
    hub.hear(encode(replace(stolen, **{field: other[field]}), MALLORY))
    assert not hub.proven(TOKEN)


@pytest.mark.parametrize("first", [Status(state="ready"), Refused(reason="x"), Welcome(now=1.0)])
def test_the_first_frame_of_an_agent_is_a_hello(first: Any) -> None:
    with pytest.raises(FrameError, match="must be a hello"):
        at_hub().hear(encode(first, AGENT))


@pytest.mark.parametrize("protocol", [0, 1, 3, 2**31])
def test_who_speaks_another_protocol_is_told_which_one_is_spoken_here(protocol: int) -> None:
    hub = at_hub()
    hello, _ = at_agent().answer(hub.challenge())
    with pytest.raises(FrameError, match=f"agent speaks protocol {protocol}, this hub 2; install the same version"):
        hub.hear(changed(hello, AGENT, protocol=protocol))
    with pytest.raises(FrameError, match=f"the hub speaks protocol {protocol}, this agent 2"):
        at_agent().answer(changed(hub.challenge(), HUB, protocol=protocol))


def test_an_agent_of_protocol_1_is_told_so_although_its_hello_has_other_fields() -> None:
    agent = {**WHO.to_json(), "version": "0.1.0", "kinds": ["dns"], "resolvers": {}}
    body = json.dumps({"type": "hello", "agent": agent, "public_key": AGENT.public, "protocol": 1})
    text = json.dumps({"body": body, "sig": AGENT.sign(body.encode())})
    with pytest.raises(FrameError, match="agent speaks protocol 1, this hub 2"):
        at_hub().hear(text)


# --- a hub that is not what it says ---------------------------------------------------------------------------------


def test_a_challenge_proves_that_the_hub_holds_the_key_it_shows() -> None:
    with pytest.raises(FrameError, match="does not verify"):
        at_agent().answer(changed(at_hub().challenge(), MALLORY))


def test_without_a_token_only_the_hub_that_is_known_is_answered() -> None:
    for known in ("", MALLORY.public):
        with pytest.raises(StrangeHub, match="another key than this agent knows"):
            at_agent(token="", hub=known).answer(at_hub().challenge())


@pytest.mark.parametrize("known", ["", MALLORY.public], ids=["never met", "met another"])
@pytest.mark.parametrize("shown", ["", "wrong"], ids=["no proof", "wrong token"])
def test_a_strange_hub_that_does_not_know_the_token_is_not_obeyed(known: str, shown: str) -> None:
    hub, agent = at_hub(), at_agent(hub=known)
    hello, theirs = agent.answer(hub.challenge())
    hub.hear(hello)
    ours, welcome = hub.welcome(now=NOW, token=shown)
    with pytest.raises(StrangeHub, match="has not shown that it knows the token"):
        agent.accept(theirs.open(ours.seal(welcome)))


def test_a_hub_with_a_new_key_is_believed_if_it_knows_the_token() -> None:
    agent = at_agent(hub=MALLORY.public)
    meet(at_hub(), agent)
    assert agent.hub == HUB.public


def test_the_agents_own_proof_sent_back_is_none_of_the_hubs() -> None:
    hub, agent = at_hub(MALLORY), at_agent()
    hello, theirs = agent.answer(hub.challenge())
    heard = hub.hear(hello)
    ours, welcome = hub.welcome(now=NOW)
    with pytest.raises(StrangeHub):
        agent.accept(theirs.open(ours.seal(replace(welcome, proof=heard.proof))))


@pytest.mark.parametrize(
    "frame", [Refused(reason="x"), Status(state="ready"), Challenge(public_key="", ephemeral="", nonce="", now=1.0)]
)
def test_the_hubs_second_word_is_a_welcome(frame: Any) -> None:
    agent = at_agent()
    agent.answer(at_hub().challenge())
    with pytest.raises(FrameError, match="did not answer with a welcome"):
        agent.accept(frame)


def test_a_hub_may_refuse_instead_of_a_challenge_and_its_reason_is_passed_on() -> None:
    with pytest.raises(FrameError, match="come again"):
        at_agent().answer(at_hub().refuse("come again", final=False))
    with pytest.raises(FrameError, match="did not begin with a challenge"):
        at_agent().answer(encode(Welcome(now=1.0), HUB))


# --- somebody in between --------------------------------------------------------------------------------------------


def test_somebody_in_between_who_puts_in_a_half_of_his_own_is_found_out_on_both_sides() -> None:
    hub, between = at_hub(), at_hub(MALLORY)
    theirs = decode(between.challenge())
    assert isinstance(theirs, Challenge)
    with pytest.raises(FrameError, match="does not verify"):
        at_agent().answer(changed(hub.challenge(), MALLORY, ephemeral=theirs.ephemeral))
    hello, _ = at_agent().answer(hub.challenge())
    with pytest.raises(FrameError, match="does not verify"):
        hub.hear(changed(hello, MALLORY, ephemeral=theirs.ephemeral))


def test_somebody_in_between_who_shows_keys_of_his_own_is_nobody_to_either_side() -> None:
    """He can be a hub to the agent and an agent to the hub; he cannot show the token to either."""
    hub, to_agent, to_hub = at_hub(), at_hub(MALLORY), at_agent(token="", hub=HUB.public, signer=MALLORY)
    agent = at_agent()
    hello, session = agent.answer(to_agent.challenge())
    overheard = to_agent.hear(hello)
    mine, _ = to_hub.answer(hub.challenge())
    hub.hear(changed(mine, MALLORY, proof=overheard.proof))
    assert not hub.proven(TOKEN)
    ours, welcome = to_agent.welcome(now=NOW)
    with pytest.raises(StrangeHub):
        agent.accept(session.open(ours.seal(welcome)))


def test_what_was_agreed_is_known_to_nobody_who_only_listened() -> None:
    """The same words with any other half lead to other keys."""
    hub, agent = at_hub(), at_agent()
    hello, theirs = agent.answer(hub.challenge())
    listener = at_hub(HUB)
    listener._challenge = hub._challenge
    listener.hear(hello)
    guessed, welcome = listener.welcome(now=NOW, token=TOKEN)
    with pytest.raises(FrameError, match="seal does not verify"):
        theirs.open(guessed.seal(welcome))


@pytest.mark.parametrize("point", LOW_ORDER)
def test_a_half_that_makes_the_keys_known_to_everybody_is_refused(point: str) -> None:
    weak = base64.b64encode(bytes.fromhex(point)).decode()
    with pytest.raises(FrameError, match="not an X25519 key"):
        at_agent().answer(changed(at_hub().challenge(), HUB, ephemeral=weak))
    hub = at_hub()
    hello, _ = at_agent().answer(hub.challenge())
    with pytest.raises(FrameError, match="not an X25519 key"):
        hub.hear(changed(hello, AGENT, ephemeral=weak))


@pytest.mark.parametrize("half", ["", "AAAA", "!!!!", "签名", "A" * 200])
def test_a_half_that_is_no_key_is_refused(half: str) -> None:
    with pytest.raises(FrameError, match="not an X25519 key"):
        at_agent().answer(changed(at_hub().challenge(), HUB, ephemeral=half))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_no_changed_letter_of_a_handshake_leads_to_a_session(data: st.DataObject) -> None:
    hub, agent = at_hub(), at_agent()
    challenge = hub.challenge()
    if data.draw(st.booleans(), label="in the challenge"):
        where = data.draw(st.integers(0, len(challenge) - 1))
        spoilt = challenge[:where] + data.draw(st.sampled_from('aZ0+{"\\ ')) + challenge[where + 1 :]
        if json_of(spoilt) == json_of(challenge):
            return
        with pytest.raises(FrameError):
            agent.answer(spoilt)
        return
    hello, _ = agent.answer(challenge)
    where = data.draw(st.integers(0, len(hello) - 1))
    spoilt = hello[:where] + data.draw(st.sampled_from('aZ0+{"\\ ')) + hello[where + 1 :]
    if json_of(spoilt) == json_of(hello):
        return
    with pytest.raises(FrameError):
        hub.hear(spoilt)


def json_of(text: str) -> Any:
    """What the envelope says, however it is spelled; the last letter of base64 has bits that say nothing."""
    try:
        row = json.loads(text)
        return row["body"], base64.b64decode(row["sig"], validate=True)
    except (ValueError, KeyError, TypeError):
        return None
