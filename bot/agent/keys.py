"""The agent's own Ed25519 key, kept in a file only it can read."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from bot.domain.errors import ConfigError
from bot.wire.signing import Signer

log = logging.getLogger("warroom.agent")


def default_folder() -> Path:
    """`$XDG_STATE_HOME/warroom` or its default (XDG Base Directory specification)."""
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "warroom"


def file_name(name: str) -> str:
    """An agent's name as part of a file's."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in name)


def own_key(name: str, folder: Path, *, once: bool = False) -> Signer:
    """The key of this agent, made on first use. Where no file can be kept it lives for this run only.

    `once`: the token it enrols with is used up by it, so a key that will be lost is not used. Raises ConfigError then.
    """
    path = folder / f"agent-{file_name(name)}.key"
    try:
        seed = path.read_bytes()
        if len(seed) == 32:
            return Signer(seed)
        return _for_this_run(f"{path} is not a key of 32 bytes", once=once)
    except FileNotFoundError:
        pass
    except OSError as exc:
        return _for_this_run(f"{path} cannot be read ({exc.strerror})", once=once)
    signer = Signer()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(signer.seed)
    except OSError as exc:
        return _for_this_run(f"{path} cannot be written ({exc.strerror})", once=once)
    return signer


def _for_this_run(why: str, *, once: bool) -> Signer:
    if once:
        raise ConfigError(
            f"{why}; a single-use token would be used up by a key that is lost at the end. Give --state a folder that "
            "this user may write"
        )
    log.warning("%s; a new key is made for this run", why)
    return Signer()
