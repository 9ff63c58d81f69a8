"""Who may come in as an agent, by real handshakes, on both databases."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AbstractAsyncContextManager
from datetime import timedelta

import pytest

from bot.adapters.store import SqlStore
from bot.app.admit import MAX_TTL_S, Gate
from bot.app.ports import Tx
from bot.domain.enrolment import Enrolled
from bot.domain.errors import NotAdmitted, StoreUnavailable, UserError
from bot.domain.probe import Agent
from bot.testing import FixedClock
from bot.wire.handshake import AgentHandshake, Credentials, HubHandshake
from bot.wire.signing import Signer
from tests.store.fixtures import database, store, store_url

__all__ = ["database", "store", "store_url"]

HUB = Signer(b"h" * 32)
SHARED = "the shared token"
SECRET = b"s" * 32


class Switched:
    """A store that goes away when it is told to."""

    def __init__(self, real: SqlStore) -> None:
        self._real = real
        self.away = False

    def begin(self) -> AbstractAsyncContextManager[Tx]:
        if self.away:
            raise StoreUnavailable("connection refused")
        return self._real.begin()

    async def check(self) -> str | None:
        return await self._real.check()


@pytest.fixture
def switched(store: SqlStore) -> Switched:
    return Switched(store)


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def gate(switched: Switched, clock: FixedClock) -> Gate:
    return Gate(switched, clock, shared_token=SHARED, secret=SECRET)


@pytest.fixture
def strict(switched: Switched, clock: FixedClock) -> Gate:
    return Gate(switched, clock, shared_token="", secret=SECRET)


async def come(gate: Gate, name: str = "sh-vm", *, signer: Signer, token: str = "") -> str:
    """An agent that knows the hub introduces itself; what the gate says."""
    shake = HubHandshake(HUB, now=0.0)
    agent = Agent(name=name, region="shanghai", vantage="vm")
    mine = Credentials(signer=signer, token=token, hub=HUB.public)
    hello = shake.hear(AgentHandshake(agent, mine).answer(shake.challenge())[0])
    return await gate.admit(hello, shake.proven)


async def refusal(gate: Gate, name: str = "sh-vm", *, signer: Signer, token: str = "") -> NotAdmitted:
    with pytest.raises(NotAdmitted) as caught:
        await come(gate, name, signer=signer, token=token)
    assert not token or token not in str(caught.value)
    return caught.value


async def known(store: Switched) -> dict[str, Enrolled]:
    async with store.begin() as tx:
        return {one.name: one for one in await tx.enrolments.list()}


# --- the shared token ------------------------------------------------------------------------------------------------


async def test_the_shared_token_lets_a_new_agent_in_and_from_then_on_its_key_is_enough(
    gate: Gate, switched: Switched, clock: FixedClock
) -> None:
    signer = Signer()
    assert await come(gate, signer=signer, token=SHARED) == SHARED
    row = (await known(switched))["sh-vm"]
    assert (row.public_key, row.since, row.by) == (signer.public, clock.now(), "")
    assert await come(gate, signer=signer) == ""
    assert await come(gate, signer=signer, token="forgotten") == ""
    assert await come(gate, signer=signer, token=SHARED) == SHARED


@pytest.mark.parametrize("token", ["no such token", SHARED + "x", SHARED[:-1], "令牌"])
async def test_a_wrong_token_is_refused_for_good_and_nothing_is_kept(
    gate: Gate, switched: Switched, token: str
) -> None:
    said = await refusal(gate, signer=Signer(), token=token)
    assert said.final
    assert "wrong token; check that WARROOM_AGENT_TOKEN" in str(said)
    assert await known(switched) == {}


async def test_a_new_key_without_any_token_is_told_what_to_do(gate: Gate) -> None:
    said = await refusal(gate, signer=Signer())
    assert said.final
    assert "give it WARROOM_AGENT_TOKEN to enrol" in str(said)


async def test_the_shared_token_lets_an_agent_back_in_with_a_new_key_and_the_log_says_so(
    gate: Gate, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = Signer(), Signer()
    await come(gate, signer=old, token=SHARED)
    assert caplog.text == ""
    await come(gate, signer=new, token=SHARED)
    assert "agent sh-vm has come with another key than before" in caplog.text
    assert await come(gate, signer=new) == ""
    assert "not known here" in str(await refusal(gate, signer=old))


async def test_without_a_shared_token_nobody_gets_in_by_one(strict: Gate) -> None:
    for token in ("", SHARED):
        assert (await refusal(strict, signer=Signer(), token=token)).final


# --- a token for one -------------------------------------------------------------------------------------------------


async def test_a_single_use_token_lets_its_agent_in_once_and_the_agent_stays_known(
    strict: Gate, switched: Switched
) -> None:
    signer = Signer()
    token, invitation = await strict.invite("sh-vm", ttl_s=3600, by="lin")
    assert await come(strict, signer=signer, token=token) == token
    assert (await known(switched))["sh-vm"].by == invitation.id
    assert await come(strict, signer=signer) == ""
    assert await come(strict, signer=signer, token=token) == token
    said = await refusal(strict, signer=Signer(), token=token)
    assert said.final
    assert "was used or has expired" in str(said)


async def test_a_single_use_token_is_for_the_name_it_was_made_for(strict: Gate, switched: Switched) -> None:
    token, _ = await strict.invite(" sh-vm ", ttl_s=3600, by="lin")
    said = await refusal(strict, "gz-vm", signer=Signer(), token=token)
    assert "this token is for an agent named 'sh-vm'" in str(said)
    assert await come(strict, " sh-vm ", signer=Signer(), token=token) == token


async def test_a_single_use_token_expires(strict: Gate, clock: FixedClock) -> None:
    token, invitation = await strict.invite("sh-vm", ttl_s=600, by="lin")
    assert invitation.expires_at - clock.now() == timedelta(seconds=600)
    await clock.advance(601)
    assert "was used or has expired" in str(await refusal(strict, signer=Signer(), token=token))


async def test_a_single_use_token_is_not_guessed_from_its_public_part(strict: Gate, gate: Gate) -> None:
    token, invitation = await strict.invite("sh-vm", ttl_s=600, by="lin")
    for forged in (f"wre2.{invitation.id}.guess", f"wre2.{invitation.id}.", f"wre2.nobody.{token[-43:]}", "wre2..x"):
        for one in (strict, gate):
            assert "wrong token" in str(await refusal(one, signer=Signer(), token=forged))


async def test_the_database_holds_no_token(strict: Gate, switched: Switched) -> None:
    token, invitation = await strict.invite("sh-vm", ttl_s=600, by="lin")
    async with switched.begin() as tx:
        kept = await tx.enrolments.invited(invitation.id)
    assert kept == invitation
    assert token.rpartition(".")[2] not in repr(kept)


async def test_another_bot_with_another_secret_does_not_take_the_token(strict: Gate, switched: Switched) -> None:
    token, _ = await strict.invite("sh-vm", ttl_s=600, by="lin")
    other = Gate(switched, FixedClock(), shared_token="", secret=b"o" * 32)
    assert "wrong token" in str(await refusal(other, signer=Signer(), token=token))


async def test_of_many_who_use_one_token_at_the_same_moment_exactly_one_gets_in(
    switched: Switched, clock: FixedClock
) -> None:
    replicas = [Gate(switched, clock, shared_token="", secret=SECRET) for _ in range(3)]
    token, _ = await replicas[0].invite("sh-vm", ttl_s=600, by="lin")
    signers = [Signer() for _ in range(9)]
    came = await asyncio.gather(
        *(come(replicas[i % 3], signer=s, token=token) for i, s in enumerate(signers)), return_exceptions=True
    )
    assert came.count(token) == 1
    assert all(one == token or isinstance(one, NotAdmitted) for one in came)
    assert (await known(switched))["sh-vm"].public_key == signers[came.index(token)].public


async def test_one_agent_that_comes_to_several_bots_at_the_same_moment_gets_in_everywhere(
    switched: Switched, clock: FixedClock
) -> None:
    """On NATS an agent knocks at every hub at once, also with its single-use token."""
    replicas = [Gate(switched, clock, shared_token="", secret=SECRET) for _ in range(4)]
    token, _ = await replicas[0].invite("sh-vm", ttl_s=600, by="lin")
    signer = Signer()
    came = await asyncio.gather(*(come(one, signer=signer, token=token) for one in replicas))
    assert came == [token] * 4


async def test_an_invitation_lets_an_agent_back_in_with_a_new_key(strict: Gate) -> None:
    old, new = Signer(), Signer()
    for signer in (old, new):
        token, _ = await strict.invite("sh-vm", ttl_s=600, by="lin")
        assert await come(strict, signer=signer, token=token) == token
    assert "not known here" in str(await refusal(strict, signer=old))


async def test_invitations_nobody_can_use_are_swept_out_with_the_next(
    strict: Gate, switched: Switched, clock: FixedClock
) -> None:
    _, stale = await strict.invite("a", ttl_s=60, by="lin")
    token, used = await strict.invite("b", ttl_s=6000, by="lin")
    _, open_ = await strict.invite("c", ttl_s=6000, by="lin")
    await come(strict, "b", signer=Signer(), token=token)
    await clock.advance(61)
    await strict.invite("d", ttl_s=60, by="lin")
    async with switched.begin() as tx:
        kept = [await tx.enrolments.invited(one.id) for one in (stale, used, open_)]
    assert kept == [None, None, open_]


@pytest.mark.parametrize("ttl_s", [0.0, -1.0, MAX_TTL_S + 1, float("inf"), float("nan")])
async def test_an_invitation_lives_for_a_week_at_most(strict: Gate, ttl_s: float) -> None:
    with pytest.raises(UserError, match="7 days"):
        await strict.invite("sh-vm", ttl_s=ttl_s, by="lin")


@pytest.mark.parametrize("name", ["", "  ", "n" * 81])
async def test_an_invitation_needs_a_name(strict: Gate, name: str) -> None:
    with pytest.raises(UserError):
        await strict.invite(name, ttl_s=60, by="lin")


# --- the database is away --------------------------------------------------------------------------------------------


async def test_while_the_database_is_away_known_keys_and_the_shared_token_still_open(
    gate: Gate, switched: Switched, clock: FixedClock, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = Signer(), Signer()
    await come(gate, "old", signer=old, token=SHARED)
    restarted = Gate(switched, clock, shared_token=SHARED, secret=SECRET)
    await restarted.load()
    switched.away = True
    for one in (gate, restarted):
        assert await come(one, "old", signer=old) == ""
        assert await come(one, "new", signer=new, token=SHARED) == SHARED
    assert "agent old is let in unrecorded: connection refused" in caplog.text
    switched.away = False
    assert set(await known(switched)) == {"old"}
    assert await come(gate, "new", signer=new, token=SHARED) == SHARED
    assert set(await known(switched)) == {"old", "new"}


async def test_while_the_database_is_away_others_are_asked_to_come_again(
    gate: Gate, switched: Switched, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    token, _ = await gate.invite("sh-vm", ttl_s=600, by="lin")
    switched.away = True
    for shown in ("", "wrong", token):
        said = await refusal(gate, signer=Signer(), token=shown)
        assert not said.final
        assert "cannot look the agent up just now" in str(said)
    switched.away = False
    assert await come(gate, signer=Signer(), token=token) == token


# --- taking a key away -----------------------------------------------------------------------------------------------


async def test_a_forgotten_agent_needs_a_token_again(gate: Gate, switched: Switched) -> None:
    signer = Signer()
    await come(gate, signer=signer, token=SHARED)
    assert await gate.forget("sh-vm")
    assert not await gate.forget("sh-vm")
    assert (await refusal(gate, signer=signer)).final
    switched.away = True
    assert not (await refusal(gate, signer=signer)).final
    switched.away = False
    assert await come(gate, signer=signer, token=SHARED) == SHARED
