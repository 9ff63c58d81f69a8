"""Commands for whoever runs the bot: playbook, oncall, db, doctor."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from bot.commands.common import DONE, FAILED, Commands, add, add_config, add_format, print_schema

ONCALL_EPILOG = """\
Without FILE the file or folder that [paths] oncall names is read. What people typed with /oncall override is in the
database and not in files: `warroom command /oncall` asks the running bot.
"""


def playbook(commands: Commands) -> None:
    """Playbook files."""

    def check(args: argparse.Namespace) -> int:
        from bot.adapters.playbooks import check_file
        from bot.domain.errors import PlaybookError

        status = DONE
        for path in args.files:
            try:
                print(f"{path}: ok, {check_file(path)}")
            except PlaybookError as exc:
                print(exc, file=sys.stderr)
                status = FAILED
        return status

    def schema(args: argparse.Namespace) -> int:
        from bot.adapters.playbooks import schema as of

        return print_schema(of(args.what))

    parent = commands.add_parser("playbook", help="Check playbooks, or print their JSON Schema.")
    inner = parent.add_subparsers(metavar="check|schema", required=True)
    checker = add(inner, "check", "Check playbooks and hypotheses; says file, line and mistake.", check)
    checker.add_argument("files", nargs="+", type=Path, metavar="FILE")
    printer = add(inner, "schema", "The JSON Schema, for editors.", schema)
    printer.add_argument("what", nargs="?", choices=("playbook", "hypothesis"), default="playbook")


def oncall(commands: Commands) -> None:
    """On-call files."""

    def check(args: argparse.Namespace) -> int:
        from bot.operate import oncall_check

        return oncall_check(args.files, args.config)

    def show(args: argparse.Namespace) -> int:
        from bot.operate import oncall_show

        return oncall_show(args.files, args.config, at=args.at, as_json=args.format == "json")

    def schema(_: argparse.Namespace) -> int:
        from bot.adapters.oncall import schema as of

        return print_schema(of())

    parent = commands.add_parser("oncall", help="Check on-call files, show who is on call, or print their JSON Schema.")
    inner = parent.add_subparsers(metavar="check|show|schema", required=True)
    for name, help_, run in (
        ("check", "Check schedules, policies and calendars; says file, line, mistake and fix.", check),
        ("show", "Who is on call by the files, until when, and who follows.", show),
    ):
        parser = add(inner, name, help_, run, ONCALL_EPILOG)
        parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="YAML files or folders, taken together")
        add_config(parser)
        if name == "show":
            parser.add_argument("--at", metavar="TIME", default="now", help='as "2026-12-24 09:00", "fri 18:00"')
            add_format(parser)
    add(inner, "schema", "The JSON Schema, for editors.", schema)


def db(commands: Commands) -> None:
    """The database."""

    def upgrade(args: argparse.Namespace) -> int:
        from bot.operate import upgrade as act

        return asyncio.run(act(args.config))

    parent = commands.add_parser("db", help="Create or migrate the database.")
    inner = parent.add_subparsers(metavar="upgrade", required=True)
    up = add(inner, "upgrade", "Bring the database to this version; safe to repeat.", upgrade)
    add_config(up)


def doctor(commands: Commands) -> None:
    """Whether the bot could start here."""

    def run(args: argparse.Namespace) -> int:
        from bot.operate import doctor as act
        from bot.operate import ring

        return asyncio.run(ring(args.config, args.call, args.through) if args.call else act(args.config))

    parser = add(
        commands,
        "doctor",
        "Check the configuration and say what to mend.",
        run,
        "Reads what `warroom serve` would read in this folder and with these variables, and changes nothing.\n"
        "exit status: 0 when the bot could start, 1 when something must be mended first\n",
    )
    add_config(parser)
    parser.add_argument("--call", default="", metavar="PERSON", help="make this person's phone ring now, for a test")
    parser.add_argument("--through", default="", metavar="PAGER", help="with --call: the provider (default: the first)")
