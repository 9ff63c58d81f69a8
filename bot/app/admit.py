"""Who may come in as an agent: by a key that is known, by the shared token, or by a single-use one.

A key that is known needs no token. The shared token lets a new agent in, and an absent one back in with a new key
(a pod that keeps no files), which is said in the log. A single-use token is for one name and once. A bot without
the shared token is the strict one: every new key needs an invitation.
"""

from __future__ import annotations

import base64
import hmac
import logging
import secrets
from collections.abc import Callable
from datetime import timedelta

from bot.app.ports import Clock, Store, Tx
from bot.domain.agent_name import clean, fault_of
from bot.domain.enrolment import Enrolled, Invitation
from bot.domain.errors import NotAdmitted, StoreUnavailable, UserError
from bot.domain.text import Text
from bot.wire.frames import Hello
from bot.wire.handshake import SINGLE_USE

log = logging.getLogger("warroom.hub")

MAX_TTL_S = 7 * 86400.0
Proven = Callable[[str], bool]
"""Whether the agent has shown that it knows a token."""


class Gate:
    """Implements `Doorkeeper` over the store. `secret` makes single-use tokens, so that no row holds one."""

    def __init__(self, store: Store, clock: Clock, *, shared_token: str, secret: bytes) -> None:
        self._store = store
        self._clock = clock
        self._shared = shared_token
        self._secret = secret
        self._keys: dict[str, str] = {}
        """What was true when the database was last there."""

    async def load(self) -> None:
        """Read who is known. Raises StoreUnavailable."""
        async with self._store.begin() as tx:
            self._keys = {one.name: one.public_key for one in await tx.enrolments.list()}

    async def admit(self, hello: Hello, proven: Proven) -> str:
        """The token the agent has shown, "" if its key was enough. Raises NotAdmitted."""
        name, key = clean(hello.agent.name), hello.public_key
        shown = self._shown(name, hello.token_id, proven)
        shared = bool(shown) and not hello.token_id
        try:
            async with self._store.begin() as tx:
                known = await tx.enrolments.get(name)
                if known is not None and known.public_key == key:
                    return shown
                if shared or await self._invited(tx, hello, proven):
                    now = self._clock.now()
                    await tx.enrolments.put(Enrolled(name=name, public_key=key, since=now, by=hello.token_id))
        except StoreUnavailable as exc:
            if shared or self._keys.get(name) == key:
                log.warning("agent %s is let in unrecorded: %s", name, exc)
                return shown
            raise NotAdmitted(f"the bot cannot look the agent up just now: {exc}", final=False) from exc
        if known is not None:
            log.warning("agent %s has come with another key than before and the right token; now known by it", name)
        self._keys[name] = key
        return shown

    def _shown(self, name: str, ident: str, proven: Proven) -> str:
        """The token the agent has shown to know: the shared one, or one that was made for it; "" for neither."""
        token = self._token(ident, name) if ident else self._shared
        return token if proven(token) else ""

    async def _invited(self, tx: Tx, hello: Hello, proven: Proven) -> bool:
        """Use the agent's invitation up; False when this very agent has just done so. Raises NotAdmitted."""
        name = clean(hello.agent.name)
        if not hello.proof:
            raise NotAdmitted("this agent's key is not known here; give it WARROOM_AGENT_TOKEN to enrol")
        if not hello.token_id and not self._shared:
            raise NotAdmitted("wrong token: this bot has no shared one; `warroom agent enroll --name NAME` mints one")
        if not hello.token_id:
            raise NotAdmitted("wrong token; check that WARROOM_AGENT_TOKEN is the one the bot runs with")
        invitation = await tx.enrolments.invited(hello.token_id)
        if invitation is None or not proven(self._token(invitation.id, invitation.name)):
            raise NotAdmitted("wrong token; `warroom agent enroll --name NAME` mints a new one")
        if invitation.name != name:
            raise NotAdmitted(f"this token is for an agent named {invitation.name!r}")
        if await tx.enrolments.redeem(invitation.id, at=self._clock.now()):
            return True
        # On NATS an agent comes to several bots at once; another one may have taken its token in between.
        known = await tx.enrolments.get(name)
        if known is not None and known.public_key == hello.public_key:
            return False
        raise NotAdmitted("this token was used or has expired; `warroom agent enroll --name NAME` mints a new one")

    async def invite(self, name: str, *, ttl_s: float, by: str) -> tuple[str, Invitation]:
        """A single-use token for one agent, and what is known of it. Raises UserError, StoreUnavailable."""
        name = clean(name)
        if (fault := fault_of(name)) is not None:
            raise UserError("bad_name", fault)
        if not 0 < ttl_s <= MAX_TTL_S:
            raise UserError("bad_ttl", Text("有效期最长 7 天", "a token may live for 7 days at most"))
        now = self._clock.now()
        invitation = Invitation(
            id=secrets.token_hex(6),
            name=name,
            made_by=by,
            made_at=now,
            expires_at=now + timedelta(seconds=ttl_s),
        )
        async with self._store.begin() as tx:
            await tx.enrolments.invite(invitation)
        return self._token(invitation.id, invitation.name), invitation

    async def forget(self, name: str) -> bool:
        """Take a key away, so that the agent needs a token again; False when the name is unknown."""
        self._keys.pop(name, None)
        async with self._store.begin() as tx:
            return await tx.enrolments.remove(name)

    def _token(self, ident: str, name: str) -> str:
        mac = hmac.digest(self._secret, f"{ident}:{name}".encode(), "sha256")
        return f"{SINGLE_USE}.{ident}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"
