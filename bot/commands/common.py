"""What the commands have in common: their exit statuses, and options that several take."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

DONE, FAILED, WRONG_USE = 0, 1, 2
Commands = Any
"""argparse's action for sub-commands, which it does not name."""


def add(commands: Commands, name: str, help_: str, run: Callable[[argparse.Namespace], int], epilog: str = "") -> Any:
    """A command that `run` carries out; returns its parser."""
    parser = commands.add_parser(
        name, help=help_, description=help_, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(run=run)
    return parser


def add_format(parser: argparse.ArgumentParser) -> None:
    """--format text|json."""
    parser.add_argument("--format", choices=("text", "json"), default="text", help="json prints one document on stdout")


def add_server(parser: argparse.ArgumentParser) -> None:
    """--server: the bot that is asked."""
    parser.add_argument(
        "--server", metavar="URL", default="", help="the bot (default: WARROOM_SERVER, else http://127.0.0.1:8800)"
    )


def add_config(parser: argparse.ArgumentParser) -> None:
    """--config FILE."""
    parser.add_argument("--config", type=Path, help="TOML file (default: warroom.toml if it is there)")


def on_loop(work: Coroutine[Any, Any, Any]) -> Any:
    """On uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


def print_schema(document: Any) -> int:
    """A JSON Schema on stdout."""
    import json

    print(json.dumps(document, ensure_ascii=False, indent=2))
    return DONE
