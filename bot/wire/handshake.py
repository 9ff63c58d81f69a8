"""Who is there: one handshake as two state machines without I/O, the hub's side and the agent's.

Each side shows an Ed25519 key that is its name for good, and an X25519 key that is for this connection only. The
signatures cover both nonces and both halves of the agreement (the pattern of SIGMA, Krawczyk 2003), so nobody in
between can read on, replay or take over. A token never travels: its knowledge is shown by an HMAC over the
transcript, by the agent to be let in, and by the hub to be believed by an agent that has never met it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field, replace

from cryptography.exceptions import InvalidKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from bot.domain.errors import FrameError
from bot.domain.probe import Agent
from bot.wire.codec import decode, encode
from bot.wire.frames import PROTOCOL, Challenge, Frame, Hello, Refused, Welcome
from bot.wire.session import Session
from bot.wire.signing import Signer, Verifier

SINGLE_USE = "wre2"
"""How a single-use token begins: "wre2.ID.SECRET". Any other token is the shared one."""


MAX_HELLO = 32 * 1024
"""Characters: several times the longest honest one. Anybody may say one, so no more of it is read."""


class StrangeHub(FrameError):
    """The hub is not the one this agent knows, or has not shown that it knows the token."""


def token_id(token: str) -> str:
    """The public part of a single-use token, "" for the shared one."""
    prefix, _, rest = token.partition(".")
    return rest.partition(".")[0] if prefix == SINGLE_USE else ""


def new_process() -> str:
    """What tells one agent process from another with the same name and key."""
    return secrets.token_hex(8)


class HubHandshake:
    """The hub's side of one connection."""

    def __init__(self, signer: Signer, *, now: float) -> None:
        self._signer = signer
        self._ephemeral = X25519PrivateKey.generate()
        self._challenge = Challenge(
            public_key=signer.public, ephemeral=_public(self._ephemeral), nonce=secrets.token_hex(16), now=now
        )
        self._hello: Hello | None = None
        self._session: Session | None = None

    def challenge(self) -> str:
        """What the hub says first."""
        return encode(self._challenge, self._signer)

    def refuse(self, reason: str, *, final: bool) -> str:
        """What the hub says to one it does not let in.

        Before a hello was understood it is never final: somebody in between may have spoilt the hello, and what is
        only signed he may have kept from elsewhere. After it, the refusal is sealed for the one who said this hello.
        """
        if self._session is None:
            return encode(Refused(reason=reason[:1000], final=False), self._signer)
        return self._session.seal(Refused(reason=reason[:1000], final=final))

    def hear(self, text: str) -> Hello:
        """The agent's answer, its signature checked, meant for this hub and this challenge. Raises FrameError."""
        if len(text) > MAX_HELLO:
            raise FrameError(f"a hello of {len(text)} characters; at most {MAX_HELLO} are read")
        hello = decode(text)
        if not isinstance(hello, Hello):
            raise FrameError("the first frame must be a hello")
        if hello.protocol != PROTOCOL:
            raise FrameError(f"agent speaks protocol {hello.protocol}, this hub {PROTOCOL}; install the same version")
        decode(text, Verifier(hello.public_key))
        if hello.hub != self._challenge.public_key or hello.challenge != self._challenge.nonce:
            raise FrameError("the hello answers another challenge")
        down, up = _keys(self._ephemeral, hello.ephemeral, _transcript(self._challenge, hello))
        self._session = Session(outbound=down, inbound=up)
        self._hello = hello
        return hello

    def proven(self, token: str) -> bool:
        """Whether the agent has shown that it knows this token."""
        hello = self._heard()
        return bool(token) and _same(hello.proof, _proof(token, "agent", _transcript(self._challenge, hello)))

    def welcome(self, *, now: float, token: str = "") -> tuple[Session, Welcome]:
        """The session, and what to say in it first; `token` is the one the agent has shown to know."""
        hello = self._heard()
        assert self._session is not None
        proof = _proof(token, "hub", _transcript(self._challenge, hello)) if token else ""
        return self._session, Welcome(now=now, proof=proof)

    def _heard(self) -> Hello:
        assert self._hello is not None, "hear() comes first"
        return self._hello


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """What an agent has to show and knows of its hub. `hub` is the public key it trusts, "" before they met.

    `process` is the same for all connections of one process and differs between any two.
    """

    signer: Signer
    token: str = field(default="", repr=False)
    hub: str = ""
    process: str = field(default_factory=new_process)


class AgentHandshake:
    """The agent's side of one connection."""

    def __init__(self, agent: Agent, mine: Credentials) -> None:
        self._agent = agent
        self._mine = mine
        self._ephemeral = X25519PrivateKey.generate()
        self._transcript = b""
        self.hub = ""
        """The hub's public key, to be trusted from now on once `accept` has returned."""

    def answer(self, text: str) -> tuple[str, Session]:
        """What to say to this challenge, and the session that then holds. Raises FrameError, StrangeHub."""
        challenge = decode(text)
        if isinstance(challenge, Refused):
            raise FrameError(challenge.reason)
        if not isinstance(challenge, Challenge):
            raise FrameError("the hub did not begin with a challenge")
        if challenge.protocol != PROTOCOL:
            raise FrameError(f"the hub speaks protocol {challenge.protocol}, this agent {PROTOCOL}")
        decode(text, Verifier(challenge.public_key))
        mine = self._mine
        if challenge.public_key != mine.hub and not mine.token:
            raise StrangeHub("the hub shows another key than this agent knows, and no WARROOM_AGENT_TOKEN to tell by")
        hello = self._hello(challenge)
        self.hub = challenge.public_key
        self._transcript = _transcript(challenge, hello)
        down, up = _keys(self._ephemeral, challenge.ephemeral, self._transcript)
        return encode(hello, mine.signer), Session(outbound=up, inbound=down)

    @property
    def expected(self) -> bool:
        """Whether it is the hub this agent knows, or the agent knows none yet."""
        return self._mine.hub in ("", self.hub)

    def accept(self, frame: Frame) -> Welcome:
        """The hub's welcome, believed from now on. Raises FrameError, StrangeHub."""
        if not isinstance(frame, Welcome):
            raise FrameError("the hub did not answer with a welcome")
        shown = _same(frame.proof, _proof(self._mine.token, "hub", self._transcript))
        if self.hub != self._mine.hub and not (self._mine.token and shown):
            raise StrangeHub("the hub has not shown that it knows the token; is WARROOM_AGENT_TOKEN the bot's?")
        return frame

    def _hello(self, challenge: Challenge) -> Hello:
        mine = self._mine
        hello = Hello(
            agent=self._agent,
            public_key=mine.signer.public,
            ephemeral=_public(self._ephemeral),
            nonce=secrets.token_hex(16),
            hub=challenge.public_key,
            challenge=challenge.nonce,
            token_id=token_id(mine.token),
            process=mine.process,
        )
        if not mine.token:
            return hello
        return replace(hello, proof=_proof(mine.token, "agent", _transcript(challenge, hello)))


def _transcript(challenge: Challenge, hello: Hello) -> bytes:
    """Everything both sides have agreed on, but for the proof that is made over it."""
    said = [
        challenge.protocol,
        *(challenge.public_key, challenge.ephemeral, challenge.nonce),
        *(hello.public_key, hello.ephemeral, hello.nonce, hello.token_id, hello.agent.name),
    ]
    return hashlib.sha256(json.dumps(said).encode()).digest()


def _proof(token: str, side: str, transcript: bytes) -> str:
    key = hashlib.sha256(token.encode()).digest()
    return base64.b64encode(hmac.digest(key, side.encode() + transcript, "sha256")).decode()


def _same(shown: str, expected: str) -> bool:
    """Compared in constant time; as bytes, for `compare_digest` takes no text beyond ASCII."""
    return hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), expected.encode())


def _public(key: X25519PrivateKey) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def _keys(mine: X25519PrivateKey, theirs: str, transcript: bytes) -> tuple[bytes, bytes]:
    """(hub to agent, agent to hub), 32 bytes each. Raises FrameError for a key that is none (RFC 7748, 6.1)."""
    try:
        peer = X25519PublicKey.from_public_bytes(base64.b64decode(theirs, validate=True))
        shared = mine.exchange(peer)
    except (ValueError, TypeError, binascii.Error, InvalidKey) as exc:
        raise FrameError("the ephemeral key is not an X25519 key") from exc
    made = HKDF(algorithm=SHA256(), length=64, salt=transcript, info=b"warroom agent protocol 2").derive(shared)
    return made[:32], made[32:]
