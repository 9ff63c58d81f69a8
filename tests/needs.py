"""What a test cannot do without: skipped on a laptop that lacks it, failed in CI where it must be there."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def need_tool(name: str) -> None:
    """Go on only if the program is installed."""
    if shutil.which(name) is None:
        missing(f"{name} is not installed")


def missing(what: str) -> NoReturn:
    """Skip, or fail in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)
