"""Few errors, one root. The message names the thing, the reason and the next step; it is shown as it stands."""

from __future__ import annotations

from bot.domain.text import Text


class WarroomError(Exception):
    """Root of every error Warroom raises on purpose."""


class UserError(WarroomError):
    """Somebody asked for something that cannot be done as asked; `text` says why and what to do instead.

    `code` is a stable, machine-readable word ("unknown_playbook", "bad_argument", ...).
    """

    def __init__(self, code: str, text: Text) -> None:
        super().__init__(text.en)
        self.code = code
        self.text = text


class ConfigError(WarroomError):
    """The configuration cannot be used; the message names the key or file and the fix."""


class PlaybookError(WarroomError):
    """A playbook or hypothesis file is wrong; the message starts with `file:line:column`."""


class StoreUnavailable(WarroomError):
    """The database cannot be reached or written just now; what was asked may be tried again."""


class StoreBusy(StoreUnavailable):
    """Two transactions waited for each other and this one gave way: nothing of it was written, and it may go again."""


class FrameError(WarroomError):
    """A frame on the wire is malformed, forged, expired, replayed or of a version we do not speak."""


class NotAdmitted(WarroomError):
    """An agent may not come in; the message says why. `final`: asking again will not help."""

    def __init__(self, reason: str, *, final: bool = True) -> None:
        super().__init__(reason)
        self.final = final


class SendFailed(WarroomError):
    """A delivery attempt failed. `permanent` tells a refusal for good from one worth trying again.

    `uncertain` means the other side may have acted on it (a timeout after the request was written).
    `retry_after_s` is how long the other side asked us to wait (HTTP Retry-After).
    """

    def __init__(
        self,
        reason: str,
        *,
        permanent: bool = False,
        uncertain: bool = False,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(reason)
        self.permanent = permanent
        self.uncertain = uncertain
        self.retry_after_s = retry_after_s
