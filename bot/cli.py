"""The commands. Everything heavy is imported by the command that needs it, so that --help is quick."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from bot import __version__
from bot.commands import agent, ask, lab, operate, serve
from bot.commands.common import FAILED, WRONG_USE
from bot.domain.errors import ConfigError, PlaybookError, WarroomError

EPILOG = """\
start here:
  warroom demo                         the whole night on this machine: a console, two regions, a fault
  warroom serve                        the bot; WARROOM_API_TOKEN and WARROOM_AGENT_TOKEN hold its tokens
  warroom agent --hub ws://BOT:8800 --name sh-vm --region shanghai --vantage vm
  warroom diag sms                     ask every vantage point; --format json for scripts

exit status: 0 done, 1 the thing asked for failed, 2 wrong use
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command and exit with its status."""
    words = sys.argv[1:] if argv is None else list(argv)
    args = parse(words)
    if not hasattr(args, "run"):
        _parser().print_help()
        raise SystemExit(WRONG_USE)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO if args.verbose else logging.WARNING,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    # Its INFO lines hold whole addresses, and some providers want their key there.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    for name in ("warroom.agent", "warroom"):
        logging.getLogger(name).setLevel(logging.DEBUG if args.verbose else logging.INFO)
    try:
        status = args.run(args)
    except WarroomError as exc:
        print(f"warroom: {exc}", file=sys.stderr)
        status = WRONG_USE if isinstance(exc, (ConfigError, PlaybookError)) else FAILED
    except KeyboardInterrupt:
        status = 130
    except BrokenPipeError:
        # Somebody closed the pipe (`| head`): quiet, as other tools are.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = FAILED
    raise SystemExit(status)


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read a command line; exits with status 2 on wrong use.

    `agent enroll` is a command of its own: `agent` itself takes options only, and they are required.
    """
    if list(words[:2]) in (["agent", "enroll"], ["agent", "enrol"]):
        return agent.enroll_parser().parse_args(words[2:])
    parser = _parser()
    args, rest = parser.parse_known_args(words)
    tail = getattr(args, "tail", "")
    if rest and (not tail or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        # Words behind an option, which argparse takes for somebody else's.
        getattr(args, tail).extend(rest)
    return args


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="warroom",
        description="Ask every vantage point at once, name the cause with its evidence, page until somebody has it.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"warroom {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more, to stderr")
    commands = parser.add_subparsers(metavar="COMMAND", title="commands")
    lab.demo(commands)
    serve.serve(commands)
    agent.agent(commands)
    ask.diag(commands)
    ask.probe(commands)
    ask.command(commands)
    ask.reads(commands)
    ask.timeline(commands)
    ask.export(commands)
    operate.playbook(commands)
    operate.oncall(commands)
    lab.replay(commands)
    operate.db(commands)
    operate.doctor(commands)
    lab.lab(commands)
    return parser


if __name__ == "__main__":
    main()
