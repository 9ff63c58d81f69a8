"""Commands that need no bot: demo, replay, lab."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from bot.commands.common import Commands, add, add_format, on_loop, print_schema


def demo(commands: Commands) -> None:
    """The night on loopback."""

    def run(args: argparse.Namespace) -> int:
        from bot.lab.demo import Options, demo

        options = Options(
            fault=args.fault,
            play=args.play,
            as_json=args.format == "json",
            port=args.port,
            lang=args.lang,
            folder=args.folder,
        )
        return asyncio.run(demo(options))

    parser = add(
        commands,
        "demo",
        "The night on loopback: console, two regions, real agents, a fault. No root, no accounts.",
        run,
        "examples:\n  warroom demo\n  warroom demo --fault firewall_block\n  warroom demo --play --format json\n",
    )
    parser.add_argument(
        "--fault",
        default="vpc_dns_rate_limited",
        help="which night (vpc_dns_rate_limited, permission_revoked, firewall_block, vendor_outage_global, "
        "certificate_expired, healthy, ...; a wrong name lists them all)",
    )
    parser.add_argument("--play", action="store_true", help="type /diag, print the answer, exit 0 only if it is right")
    parser.add_argument("--format", choices=("text", "json"), default="text", help="how --play prints")
    parser.add_argument("--port", type=int, default=8800, help="console port (default 8800, any free one if taken)")
    parser.add_argument("--lang", choices=("zh", "en"), default="zh", help="language of the room")
    parser.add_argument("--folder", type=Path, help="keep the demo's files here (default: a temporary folder)")


def replay(commands: Commands) -> None:
    """Past nights, judged again."""

    def run(args: argparse.Namespace) -> int:
        from bot.replaying import replay

        return replay(args.files, playbooks=args.playbooks, deep=args.sensitivity, as_json=args.format == "json")

    parser = add(
        commands,
        "replay",
        "Judge past nights again: diag documents, or what the lab has recorded.",
        run,
        "examples:\n  warroom diag sms --format json > night.json && warroom replay night.json\n"
        "  warroom replay --sensitivity tests/golden/*.json\n"
        "exit status: 1 when a verdict differs from what the recording expects (or from what was said then)\n",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="JSON, as diag --format json prints it")
    parser.add_argument(
        "--playbooks", type=Path, metavar="FOLDER", help="hypotheses to judge by (default: the shipped)"
    )
    parser.add_argument(
        "--sensitivity", action="store_true", help="judge also without each probe kind and each vantage point"
    )
    add_format(parser)


def lab(commands: Commands) -> None:
    """Faults on purpose."""

    def play(args: argparse.Namespace) -> int:
        from bot.lab.netns.command import Options, lab_run

        options = Options(
            scenarios=tuple(args.scenarios),
            as_json=args.format == "json",
            keep_going=args.keep_going,
            record=args.record,
            jobs=args.jobs,
        )
        return int(on_loop(lab_run(options)))

    def schema(_: argparse.Namespace) -> int:
        from bot.lab.netns.load import schema as of

        return print_schema(of())

    parent = commands.add_parser("lab", help="Faults on purpose: real networks in namespaces, real agents, a score.")
    inner = parent.add_subparsers(metavar="run|schema", required=True)
    parser = add(inner, "run", "Play scenario files and judge the verdicts (Linux, root, nft; else skipped).", play)
    parser.add_argument("scenarios", nargs="+", type=Path, metavar="SCENARIO")
    parser.add_argument("--keep-going", action="store_true", help="go on when a scenario cannot be played")
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="keep each run's observations for replay")
    parser.add_argument("--jobs", type=int, choices=range(1, 9), default=1, metavar="N", help="so many at once")
    add_format(parser)
    add(inner, "schema", "The JSON Schema of scenario files, for editors.", schema)
