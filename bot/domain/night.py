"""One incident as it is counted afterwards, when a period is looked back on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from bot.domain.incident import Incident
from bot.domain.page import CallMade


@dataclass(frozen=True, kw_only=True, slots=True)
class Night:
    """`acked_at` is when somebody first had it (the incident itself forgets that when it is reopened), `diagnosed_at`
    when the cause in `verdict` was first named. `verdict` are ids of hypotheses, of the last run that named a cause.
    """

    incident: Incident
    acked_at: datetime | None = None
    diagnosed_at: datetime | None = None
    verdict: tuple[str, ...] = ()
    calls: Sequence[CallMade] = ()
