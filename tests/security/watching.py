"""What the interpreter does on its own machine while a piece of code runs, by its audit hooks (PEP 578)."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

_TOUCHES = ("open", "socket.", "subprocess.", "os.", "shutil.", "ctypes.", "urllib.", "pathlib.", "glob.", "signal.")
_QUIET = ("os.fwalk", "ctypes.dlsym", "ctypes.get_errno", "os.putenv")
_seen: list[tuple[str, str]] | None = None


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if _seen is not None and event.startswith(_TOUCHES) and event not in _QUIET:
        _seen.append((event, ascii(arguments)[:200]))


sys.addaudithook(_hook)


@contextlib.contextmanager
def watched() -> Iterator[list[tuple[str, str]]]:
    """The (event, arguments) of every file, socket or process that is touched inside."""
    global _seen
    found: list[tuple[str, str]] = []
    _seen = found
    try:
        yield found
    finally:
        _seen = None
