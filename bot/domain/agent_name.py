"""What an agent may be called: one rule for the agent's start, the hub's door and enrolment.

A name is a word of chat commands (`/probe dns x from sh-vm-1`), a column of the matrix, part of file names and of NATS
subjects, and what one agent is told from another by. So it is plain: nothing that a shell, a chat or a subject reads
as its own, and no letter that looks like another alphabet's.
"""

from __future__ import annotations

import re

from bot.domain.text import Text

LONGEST = 80
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def clean(word: str) -> str:
    """The name as it counts: without blanks around it."""
    return word.strip()


def fault_of(name: str) -> Text | None:
    """Why no agent may be called this, and what it may be called; None for a good name."""
    if not name:
        return Text("观测点需要一个名称，例如 sh-vm-1", "an agent needs a name, such as sh-vm-1")
    if len(name) > LONGEST:
        return Text(
            f"观测点名称有 {len(name)} 个字符，最多 {LONGEST} 个",
            f"an agent's name of {len(name)} characters is too long; at most {LONGEST}",
        )
    if not _PLAIN.fullmatch(name):
        return Text(
            f"观测点不能叫 {name!r}：只用英文字母、数字和 . _ -，以字母或数字开头，例如 sh-vm-1",
            f"no agent can be called {name!r}: use letters a-z, digits and . _ - and begin with a letter or a digit, "
            "such as sh-vm-1",
        )
    return None
