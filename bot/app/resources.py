"""Where the files that travel with Warroom are: playbooks and migrations."""

from __future__ import annotations

from pathlib import Path

import bot
from bot.domain.errors import ConfigError


def data_folder(name: str) -> Path:
    """The folder "playbooks" or "migrations": `bot/_data/` in a wheel, the top level in a checkout.

    Raises ConfigError when the installation has neither.
    """
    package = Path(bot.__file__).parent
    for folder in (package / "_data" / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise ConfigError(f'folder "{name}" is not part of this installation of Warroom; install it again')
