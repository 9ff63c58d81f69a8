"""`warroom serve`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from bot import __version__
from bot.commands.common import DONE, Commands, add, add_config, on_loop


def serve(commands: Commands) -> None:
    """The bot itself."""

    def run(args: argparse.Namespace) -> int:
        return int(on_loop(_serving(args.config)))

    parser = add(
        commands,
        "serve",
        "The bot: agent hub, HTTP API and web console.",
        run,
        "Tokens: WARROOM_API_TOKEN (API and console), WARROOM_AGENT_TOKEN (agents), each also as ..._FILE.\n"
        "Every key of the file can be set as WARROOM_SECTION_KEY.\n"
        "A database that is away at the start is waited for up to 60 s; then exit status 1 (start it again).\n"
        "Status 2: the configuration cannot be used, and no restart helps; `warroom doctor` says why.\n",
    )
    add_config(parser)


async def _serving(path: Path | None) -> int:
    from bot.adapters.config import load
    from bot.bootstrap import build, listen

    config = load(path, os.environ)
    listener, config = listen(config)
    try:
        bot = await build(config)
    except BaseException:
        listener.close()
        raise
    if not config.agent_token:
        _say("WARROOM_AGENT_TOKEN is not set: each new agent needs a token of its own, from `warroom agent enroll`")
    if not config.api_token:
        _say("WARROOM_API_TOKEN is not set: the API refuses everybody; the console opens with the link below only")

    def ready() -> None:
        _say(f"warroom {__version__} serves {config.url}")
        _say(f"console, signed in once within 10 minutes: {bot.login_link()}")

    await bot.serve(listener, on_ready=ready)
    return DONE


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
