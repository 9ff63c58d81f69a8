"""Commands that ask a bot that runs: diag, probe, command, agents, incidents, timeline, export."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from bot.commands.common import Commands, add, add_format, add_server

PROBE_EPILOG = """\
kinds: dns, tcp, tls, http, ping, mtu, trace, clock, api, object_store, dns_top, mysql, postgres, redis, coredns,
changes, status_page, metrics, logs; what one takes: `warroom command "/help probe dns"`
token: WARROOM_API_TOKEN
exit status: 0 every agent that was asked could measure (whatever it saw), 1 some could not, 2 wrong use
examples:
  warroom probe dns sms.tencentcloudapi.com from shanghai via vpc count=20
  warroom probe http https://sms.tencentcloudapi.com from all --format json
  warroom probe trace 119.29.29.29 from shanghai vm, office
"""

TIMELINE_EPILOG = """\
token: WARROOM_API_TOKEN
exit status of --verify: 0 the record is as it was written, 1 it was changed
examples:
  warroom timeline INC-42
  warroom timeline INC-42 COS --kind note,verdict --since 23:40
  warroom timeline INC-42 --by lin --limit 20
  warroom timeline INC-42 --verify
"""

EXPORT_EPILOG = """\
token: WARROOM_API_TOKEN
pdf needs a Chromium on the bot's machine; html prints from any browser. json has both languages.
jsonl is the record itself: its heads, then one JSON document for each entry, with its hash.
examples:
  warroom export INC-42 --format md -o INC-42.md
  warroom export INC-42 --format html --lang en -o INC-42.html
"""


def diag(commands: Commands) -> None:
    """A playbook from everywhere."""

    def run(args: argparse.Namespace) -> int:
        from bot.remote import diag

        return diag(
            args.playbook, args.options, server=args.server, timeout_s=args.timeout, as_json=args.format == "json"
        )

    parser = add(
        commands,
        "diag",
        "Ask every vantage point about a service and name the most likely cause.",
        run,
        "token: WARROOM_API_TOKEN\nexamples:\n  warroom diag sms\n  warroom diag sms region=shanghai --format json\n"
        "  warroom diag ./my-service.yaml\n",
    )
    parser.add_argument("playbook", metavar="PLAYBOOK", help="a name, or a YAML file that is sent along")
    parser.add_argument("options", nargs="*", metavar="key=value", help="region=, vantage=, env=, vpc=, agent=")
    parser.set_defaults(tail="options")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="S", help="give up after so many seconds")
    add_format(parser)
    add_server(parser)


def probe(commands: Commands) -> None:
    """One probe by hand."""

    def run(args: argparse.Namespace) -> int:
        from bot.remote import probe

        return probe(
            [args.kind, *args.words], server=args.server, timeout_s=args.timeout, as_json=args.format == "json"
        )

    parser = add(commands, "probe", "One probe by hand, from every agent or from some.", run, PROBE_EPILOG)
    parser.add_argument("kind", metavar="KIND", help="dns, ping, tcp, tls, http, ...")
    parser.add_argument(
        "words",
        nargs="*",
        metavar="TARGET [from PLACE] [via host|vpc|public|ADDRESS] [key=value ...]",
        help="PLACE is a region, vantage point, agent, env, VPC or cluster; commas separate several",
    )
    parser.set_defaults(tail="words")
    parser.add_argument("--timeout", type=float, default=90.0, metavar="S", help="give up after so many seconds")
    add_format(parser)
    add_server(parser)


def command(commands: Commands) -> None:
    """A line of chat."""

    def run(args: argparse.Namespace) -> int:
        from bot.remote import command

        return command(args.text, user=args.as_, room=args.room, server=args.server, as_json=args.format == "json")

    parser = add(
        commands,
        "command",
        "Carry out a chat command and print what the bot says.",
        run,
        'token: WARROOM_API_TOKEN\nexamples:\n  warroom command "/help"\n'
        '  warroom command "/note COS is down too" --as lin\n',
    )
    parser.add_argument("text", metavar='"/COMMAND ..."')
    parser.add_argument("--as", dest="as_", metavar="USER", default=os.environ.get("USER", "cli"), help="who says it")
    parser.add_argument("--room", default="console:main", help="where (default console:main)")
    add_format(parser)
    add_server(parser)


def reads(commands: Commands) -> None:
    """`agents` and `incidents`."""

    def read(name: str) -> Callable[[argparse.Namespace], int]:
        def run(args: argparse.Namespace) -> int:
            from bot import remote

            return int(getattr(remote, name)(server=args.server, as_json=args.format == "json"))

        return run

    for name, help_ in (
        ("agents", "Who is looking, from where, and who is silent."),
        ("incidents", "Every incident, newest first."),
    ):
        parser = add(commands, name, help_, read(name), "token: WARROOM_API_TOKEN\n")
        add_format(parser)
        add_server(parser)


def timeline(commands: Commands) -> None:
    """The record of an incident, and whether it is as it was written."""

    def run(args: argparse.Namespace) -> int:
        from bot import remote

        as_json = args.format == "json"
        if args.verify or args.head:
            return remote.verify(args.incident, printed=args.head, server=args.server, as_json=as_json)
        names = ("kind", "by", "since", "until", "before", "after", "limit")
        asked = {name: value for name in names if (value := getattr(args, name)) is not None}
        return remote.timeline(args.incident, args.words, asked, server=args.server, as_json=as_json)

    parser = add(commands, "timeline", "What happened in an incident, in order.", run, TIMELINE_EPILOG)
    parser.add_argument("incident", metavar="INCIDENT", help="such as INC-42")
    parser.add_argument("words", nargs="*", metavar="WORD", help="what must stand in an entry, in either language")
    parser.set_defaults(tail="words")
    parser.add_argument("--kind", metavar="KIND,...", help="note, verdict, command, call, ack, vendor, change, ...")
    parser.add_argument("--by", metavar="PERSON", help="whose entries")
    parser.add_argument("--since", metavar="TIME", help="23:40 (the last there was), 30m, '01-15 23:40', ISO 8601")
    parser.add_argument("--until", metavar="TIME", help="up to this moment")
    parser.add_argument("--limit", type=int, metavar="N", help="the last N that fit (default: all)")
    parser.add_argument("--before", metavar="#N", help="those right before entry N")
    parser.add_argument("--after", metavar="#N", help="those right after entry N")
    parser.add_argument("--verify", action="store_true", help="whether an entry was edited, removed or cut off")
    parser.add_argument("--head", action="append", default=[], metavar="HASH", help="verify: a head an export printed")
    add_format(parser)
    add_server(parser)


def export(commands: Commands) -> None:
    """The postmortem as a file."""

    def run(args: argparse.Namespace) -> int:
        from bot.remote import export

        return export(args.incident, form=args.format, lang=args.lang, out=args.output, server=args.server)

    parser = add(commands, "export", "The postmortem of an incident as a file.", run, EXPORT_EPILOG)
    parser.add_argument("incident", metavar="INCIDENT", help="such as INC-42")
    parser.add_argument("--format", choices=("md", "html", "pdf", "json", "jsonl"), default="md", help="default md")
    parser.add_argument("--lang", choices=("zh", "en"), default="", help="default: the bot's language")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to write it (default: stdout)")
    add_server(parser)
