"""Action items: what will be done so that it does not happen again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionItem:
    """One of an incident. `id` reads "act-7"; `due` is a day on the team's calendar.

    `remind_at` is when its owner is reminded next, on the database's clock; None: not any more.
    """

    incident: str
    text: str
    owner: str
    made_by: str
    made_at: datetime
    id: str = ""
    due: date | None = None
    done_at: datetime | None = None
    done_by: str = ""
    remind_at: datetime | None = None

    @property
    def done(self) -> bool:
        """Whether nothing is left to do about it."""
        return self.done_at is not None

    def overdue(self, today: date) -> bool:
        """Whether its day has passed."""
        return not self.done and self.due is not None and self.due < today
