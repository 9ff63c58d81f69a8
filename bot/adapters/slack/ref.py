"""The reference of a message in Slack: where it is, what lies under it, which files were brought already."""

from __future__ import annotations

import json
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class Ref:
    """`channel` and `ts` name the message, `thread` the one it is under ("": none), `more` its further parts.

    `files` gives the id of each file that was uploaded, by the digest of its content.
    """

    channel: str
    ts: str = ""
    thread: str = ""
    more: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    pinned: bool = False

    @property
    def root(self) -> str:
        """The message under which answers to this one go: Slack has one level of threads."""
        return self.thread or self.ts

    def written(self) -> str:
        """As it is kept in the outbox."""
        row: dict[str, object] = {"c": self.channel, "ts": self.ts}
        optional = {"in": self.thread, "more": list(self.more), "files": self.files, "pin": self.pinned}
        return json.dumps(row | {key: value for key, value in optional.items() if value}, separators=(",", ":"))

    @classmethod
    def read(cls, written: str | None) -> Ref | None:
        """The inverse of `written`; None for anything else."""
        try:
            row = json.loads(written or "")
            return cls(
                channel=str(row["c"]),
                ts=str(row["ts"]),
                thread=str(row.get("in", "")),
                more=tuple(str(ts) for ts in row.get("more", ())),
                files={str(k): str(v) for k, v in row.get("files", {}).items()},
                pinned=bool(row.get("pin")),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
