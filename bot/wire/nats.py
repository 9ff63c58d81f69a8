"""How hubs and agents find each other on NATS: the subjects, and the login from the environment. No I/O.

    P.hubs                 a hub says that it is here: its id
    P.knock                an agent wants to talk to every hub: the subject it listens on
    P.hub.HUB.knock        the same, to one hub
    P.agent.NAME.KNOCK.HUB the texts of one hub to an agent, with the subject to answer to as reply
    P.hub.HUB.link.LINK    the texts of one agent to a hub

Nothing on these subjects is believed for where it came from: every frame is signed or sealed. An empty text ends a
link. NATS itself carries no truth (core NATS, at most once); what is lost shows as a silent agent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from bot.domain.errors import ConfigError, FrameError
from bot.wire.frames import MAX_FRAME

PREFIX = "warroom"
BEAT_S = 5.0
"""Both sides say this often that they are there."""
SILENT_S = 13.0
"""A link that said nothing for so long is broken."""
ANNOUNCE_S = 10.0
_TOKEN = re.compile(r"[A-Za-z0-9_-]{1,100}")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True)
class Subjects:
    """The subjects under one prefix."""

    prefix: str = PREFIX

    @property
    def hubs(self) -> str:
        return f"{self.prefix}.hubs"

    @property
    def knock(self) -> str:
        return f"{self.prefix}.knock"

    def knock_at(self, hub: str) -> str:
        return f"{self.prefix}.hub.{hub}.knock"

    def links(self, hub: str, link: str = "*") -> str:
        return f"{self.prefix}.hub.{hub}.link.{link}"

    def agent(self, name: str, knock: str) -> str:
        """Where one agent process listens; hubs append their id. A name is spelled so that it is one token."""
        return f"{self.prefix}.agent.{_UNSAFE.sub('_', name)[:80] or '_'}.{knock}"

    def is_agent(self, subject: str) -> bool:
        """Whether a knock names a place an agent may listen on, and no other subject."""
        parts = subject.removeprefix(f"{self.prefix}.agent.").split(".")
        return subject.startswith(f"{self.prefix}.agent.") and len(parts) == 2 and all(map(_TOKEN.fullmatch, parts))


def text_of(data: bytes) -> str:
    """What a message says. Raises FrameError for what is too long or no text."""
    if len(data) > MAX_FRAME:
        raise FrameError(f"frame of {len(data)} bytes; at most {MAX_FRAME} are read")
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        raise FrameError("frames are text; a binary one came") from exc


def is_token(text: str) -> bool:
    """Whether the text may stand as one token of a subject."""
    return _TOKEN.fullmatch(text) is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Server:
    """A NATS server by URL, without what may not be logged."""

    scheme: str
    host: str
    port: int

    @property
    def url(self) -> str:
        return self.at(self.host)

    def at(self, address: str) -> str:
        """The URL of the server at one of its addresses."""
        host = f"[{address}]" if ":" in address else address
        return f"{self.scheme}://{host}:{self.port}"


def server(url: str, what: str) -> Server:
    """Read "nats://host[:4222]" or "tls://host[:4222]". Raises ConfigError."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as exc:
        # The URL itself may hold a password, so it is not repeated.
        raise ConfigError(f"{what}: {exc}") from exc
    if parts.scheme not in ("nats", "tls") or not parts.hostname or parts.path not in ("", "/"):
        raise ConfigError(f"{what} must read nats://host[:4222] or tls://host[:4222]")
    if parts.username is not None or parts.password is not None:
        raise ConfigError(f"{what} must not carry a login; use WARROOM_NATS_USER and WARROOM_NATS_PASSWORD")
    return Server(scheme=parts.scheme, host=parts.hostname, port=port or 4222)


def insist_on_tls(info: dict[str, Any]) -> None:
    """Make a client turn to TLS on the INFO of a server at tls://. Raises ConnectionError where there is none.

    INFO comes in the clear, so whoever is on the way may have written it, and the client would go by it: without
    "tls_required" it sends its password as it stands, also to a server that only offers TLS ("tls_available").
    https://docs.nats.io/reference/reference-protocols/nats-protocol#info
    """
    if not (info.get("tls_required") or info.get("tls_available")):
        raise ConnectionError("it offers no TLS, and the URL says tls://; nothing was sent")
    info["tls_required"] = True


@dataclass(frozen=True, kw_only=True, slots=True)
class NatsLogin:
    """How to log in to NATS: a credentials file, user and password, a token, or nothing."""

    creds_file: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)

    @classmethod
    def read(cls, given: Mapping[str, str]) -> NatsLogin:
        """From the values of WARROOM_NATS_CREDS_FILE, _USER, _PASSWORD and _TOKEN. Raises ConfigError."""
        login = cls(
            creds_file=given.get("CREDS_FILE", ""),
            user=given.get("USER", ""),
            password=given.get("PASSWORD", ""),
            token=given.get("TOKEN", ""),
        )
        if sum(map(bool, (login.creds_file, login.user, login.token))) > 1:
            raise ConfigError("WARROOM_NATS_CREDS_FILE, _USER and _TOKEN exclude each other")
        if bool(login.user) != bool(login.password):
            raise ConfigError("WARROOM_NATS_USER and WARROOM_NATS_PASSWORD belong together")
        return login

    def options(self) -> dict[str, Any]:
        """As `nats.connect` takes them."""
        if self.creds_file:
            return {"user_credentials": self.creds_file}
        if self.user:
            return {"user": self.user, "password": self.password}
        return {"token": self.token} if self.token else {}
