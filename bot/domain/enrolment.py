"""Who may come in as which agent, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Enrolled:
    """An agent's name and the Ed25519 key (base64) it is known by. `by` is the invitation it used, "" the token."""

    name: str
    public_key: str
    since: datetime
    by: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Invitation:
    """A single-use token, without its secret. `name` is the agent it is for."""

    id: str
    name: str
    made_by: str
    made_at: datetime
    expires_at: datetime
    used_at: datetime | None = None
