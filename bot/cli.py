"""The commands. Everything heavy is imported by the command that needs it, so that --help is quick."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from bot import __version__
from bot.domain.errors import ConfigError, PlaybookError, WarroomError

DONE, FAILED, WRONG_USE = 0, 1, 2

EPILOG = """\
start here:
  warroom demo                         the whole night on this machine: a console, two regions, a fault
  warroom serve                        the bot; WARROOM_API_TOKEN and WARROOM_AGENT_TOKEN hold its tokens
  warroom agent --hub ws://BOT:8800 --name sh-vm --region shanghai --vantage vm
  warroom diag sms                     ask every vantage point; --format json for scripts

exit status: 0 done, 1 the thing asked for failed, 2 wrong use
"""

AGENT_EPILOG = """\
The token comes from WARROOM_AGENT_TOKEN (or the file WARROOM_AGENT_TOKEN_FILE names): the bot's shared one, or a
single-use one of `warroom agent enroll`. Once enrolled, the agent is known by the key it keeps under --state.
NATS takes its login from WARROOM_NATS_CREDS_FILE, or WARROOM_NATS_USER and WARROOM_NATS_PASSWORD, or
WARROOM_NATS_TOKEN (the last three also as ..._FILE). Vendor keys for signed read-only calls come from
WARROOM_TENCENT_SECRET_ID and WARROOM_TENCENT_SECRET_KEY (or ..._FILE); they never leave the agent. Without --policy
an agent touches public addresses only, captures nothing, and never reaches metadata services. A hub with a private CA:
WARROOM_HUB_CA_FILE.

`warroom agent enroll --name NAME` mints a single-use token, and with --forget takes an agent off the list again.
With --check nothing joins: exit status 0 when the agent could work (what it lacks is said), 2 when it could not.

exit status: 0 told to stop, 1 something broke, 2 wrong use, 3 the hub did not let it in (wrong or used token, unknown
key, name taken), 4 the hub sent it away (forgotten, or replaced by another process). Only 1 is worth a restart.

examples:
  warroom agent --hub wss://warroom.example --name sh-vm-1 --region shanghai --vantage vm --env prod
  warroom agent --hub ws://10.0.0.5:8800 --name sh-pod --region shanghai --vantage pod --cluster tke-prod
"""


ENROLL_EPILOG = """\
token: WARROOM_API_TOKEN. Without WARROOM_AGENT_TOKEN on the bot this is the only way in; with it, the shared token
lets any new agent in.

examples:
  WARROOM_AGENT_TOKEN=$(warroom agent enroll --name sh-vm-1) warroom agent --hub wss://... --name sh-vm-1 ...
  warroom agent enroll --name sh-vm-1 --forget
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
        return _enroll_parser().parse_args(words[2:])
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
    _demo(commands)
    _serve(commands)
    _agent(commands)
    _diag(commands)
    _probe(commands)
    _command(commands)
    _reads(commands)
    _playbook(commands)
    _oncall(commands)
    _replay(commands)
    _operate(commands)
    _lab(commands)
    return parser


Commands = Any
"""argparse's action for sub-commands, which it does not name."""


def _add(commands: Commands, name: str, help_: str, run: Callable[[argparse.Namespace], int], epilog: str = "") -> Any:
    parser = commands.add_parser(
        name, help=help_, description=help_, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.set_defaults(run=run)
    return parser


def _demo(commands: Commands) -> None:
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

    parser = _add(
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


def _serve(commands: Commands) -> None:
    def run(args: argparse.Namespace) -> int:
        return int(_run(_serving(args.config)))

    parser = _add(
        commands,
        "serve",
        "The bot: agent hub, HTTP API and web console.",
        run,
        "Tokens: WARROOM_API_TOKEN (API and console), WARROOM_AGENT_TOKEN (agents), each also as ..._FILE.\n"
        "Every key of the file can be set as WARROOM_SECTION_KEY.\n",
    )
    parser.add_argument("--config", type=Path, help="TOML file (default: warroom.toml if it is there)")


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


def _agent(commands: Commands) -> None:
    def run(args: argparse.Namespace) -> int:
        from bot.agent.main import AgentOptions
        from bot.agent.main import run as run_agent

        options = AgentOptions(
            hub=args.hub,
            name=args.name,
            region=args.region,
            vantage=args.vantage,
            env=args.env,
            vpc=args.vpc,
            cluster=args.cluster,
            policy=args.policy,
            state=args.state,
        )
        if args.check:
            from bot.agent.check import check

            lines, well = asyncio.run(check(options, os.environ))
            print("\n".join(lines))
            return DONE if well else WRONG_USE
        # Probes wait on an epoll set of their own: uvloop would make nothing quicker here, and take 2 MB.
        return asyncio.run(run_agent(options))

    parser = _add(
        commands, "agent", "A vantage point: dials out to the bot and probes within its policy.", run, AGENT_EPILOG
    )
    parser.add_argument(
        "--hub",
        required=True,
        metavar="URL",
        help="wss://bot[:port], ws://bot[:port], nats://host[:port] or tls://host[:port] (NATS over TLS)",
    )
    parser.add_argument("--name", required=True, help="unique name, shown in the matrix: letters, digits, . _ -")
    parser.add_argument("--region", required=True, help="cloud region or site")
    parser.add_argument("--vantage", required=True, metavar="pod|vm|vm2|outside|...", help="from where it looks")
    parser.add_argument("--env", default="", help="environment: prod, test, dev (default: none)")
    parser.add_argument("--vpc", default="", help="VPC name (default: one per region; vm2 gets a second one)")
    parser.add_argument("--cluster", default="", help="Kubernetes cluster, for pods (default: none)")
    parser.add_argument(
        "--policy", type=Path, metavar="FILE", help="what this agent may touch (YAML; default: public addresses)"
    )
    parser.add_argument(
        "--state",
        type=Path,
        metavar="FOLDER",
        help="where its own key is kept (default: $XDG_STATE_HOME/warroom, else ~/.local/state/warroom)",
    )
    parser.add_argument(
        "--check", action="store_true", help="try policy, token, self-test and the way to the hub; then end"
    )


def _enroll_parser() -> argparse.ArgumentParser:
    def run(args: argparse.Namespace) -> int:
        from bot.remote import enroll, forget

        if args.forget:
            return forget(args.name, server=args.server)
        return enroll(args.name, ttl=args.ttl, server=args.server, as_json=args.format == "json")

    parser = argparse.ArgumentParser(
        prog="warroom agent enroll",
        description="Mint a single-use token with which one agent enrols; afterwards it is known by its own key.",
        epilog=ENROLL_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--name", required=True, help="the agent the token is for")
    parser.add_argument("--ttl", default="1h", metavar="TIME", help="how long it may be used: 30m, 1h, 7d (default 1h)")
    parser.add_argument("--forget", action="store_true", help="instead, take the agent's key away: it must enrol anew")
    _format(parser)
    _remote(parser)
    parser.set_defaults(run=run, verbose=False)
    return parser


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    """On uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


def _remote(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--server", metavar="URL", default="", help="the bot (default: WARROOM_SERVER, else http://127.0.0.1:8800)"
    )


def _format(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=("text", "json"), default="text", help="json prints one document on stdout")


def _diag(commands: Commands) -> None:
    def run(args: argparse.Namespace) -> int:
        from bot.remote import diag

        return diag(
            args.playbook, args.options, server=args.server, timeout_s=args.timeout, as_json=args.format == "json"
        )

    parser = _add(
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
    _format(parser)
    _remote(parser)


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


def _probe(commands: Commands) -> None:
    def run(args: argparse.Namespace) -> int:
        from bot.remote import probe

        return probe(
            [args.kind, *args.words], server=args.server, timeout_s=args.timeout, as_json=args.format == "json"
        )

    parser = _add(commands, "probe", "One probe by hand, from every agent or from some.", run, PROBE_EPILOG)
    parser.add_argument("kind", metavar="KIND", help="dns, ping, tcp, tls, http, ...")
    parser.add_argument(
        "words",
        nargs="*",
        metavar="TARGET [from PLACE] [via host|vpc|public|ADDRESS] [key=value ...]",
        help="PLACE is a region, vantage point, agent, env, VPC or cluster; commas separate several",
    )
    parser.set_defaults(tail="words")
    parser.add_argument("--timeout", type=float, default=90.0, metavar="S", help="give up after so many seconds")
    _format(parser)
    _remote(parser)


def _command(commands: Commands) -> None:
    def run(args: argparse.Namespace) -> int:
        from bot.remote import command

        return command(args.text, user=args.as_, room=args.room, server=args.server, as_json=args.format == "json")

    parser = _add(
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
    _format(parser)
    _remote(parser)


def _reads(commands: Commands) -> None:
    def read(name: str) -> Callable[[argparse.Namespace], int]:
        def run(args: argparse.Namespace) -> int:
            from bot import remote

            what = (args.incident,) if name == "timeline" else ()
            return int(getattr(remote, name)(*what, server=args.server, as_json=args.format == "json"))

        return run

    for name, help_ in (
        ("agents", "Who is looking, from where, and who is silent."),
        ("incidents", "Every incident, newest first."),
        ("timeline", "What happened in an incident, in order."),
    ):
        parser = _add(commands, name, help_, read(name), "token: WARROOM_API_TOKEN\n")
        if name == "timeline":
            parser.add_argument("incident", metavar="INCIDENT", help="such as INC-42")
        _format(parser)
        _remote(parser)


def _playbook(commands: Commands) -> None:
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
        import json

        from bot.adapters.playbooks import schema as of

        print(json.dumps(of(args.what), ensure_ascii=False, indent=2))
        return DONE

    parent = commands.add_parser("playbook", help="Check playbooks, or print their JSON Schema.")
    inner = parent.add_subparsers(metavar="check|schema", required=True)
    checker = _add(inner, "check", "Check playbooks and hypotheses; says file, line and mistake.", check)
    checker.add_argument("files", nargs="+", type=Path, metavar="FILE")
    printer = _add(inner, "schema", "The JSON Schema, for editors.", schema)
    printer.add_argument("what", nargs="?", choices=("playbook", "hypothesis"), default="playbook")


ONCALL_EPILOG = """\
Without FILE the file or folder that [paths] oncall names is read. What people typed with /oncall override is in the
database and not in files: `warroom command /oncall` asks the running bot.
"""


def _oncall(commands: Commands) -> None:
    def check(args: argparse.Namespace) -> int:
        from bot.operate import oncall_check

        return oncall_check(args.files, args.config)

    def show(args: argparse.Namespace) -> int:
        from bot.operate import oncall_show

        return oncall_show(args.files, args.config, at=args.at, as_json=args.format == "json")

    def schema(_: argparse.Namespace) -> int:
        import json

        from bot.adapters.oncall import schema as of

        print(json.dumps(of(), ensure_ascii=False, indent=2))
        return DONE

    parent = commands.add_parser("oncall", help="Check on-call files, show who is on call, or print their JSON Schema.")
    inner = parent.add_subparsers(metavar="check|show|schema", required=True)
    for name, help_, run in (
        ("check", "Check schedules, policies and calendars; says file, line, mistake and fix.", check),
        ("show", "Who is on call by the files, until when, and who follows.", show),
    ):
        parser = _add(inner, name, help_, run, ONCALL_EPILOG)
        parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="YAML files or folders, taken together")
        parser.add_argument("--config", type=Path, help="TOML file (default: warroom.toml if it is there)")
        if name == "show":
            parser.add_argument("--at", metavar="TIME", default="now", help='as "2026-12-24 09:00", "fri 18:00"')
            _format(parser)
    _add(inner, "schema", "The JSON Schema, for editors.", schema)


def _replay(commands: Commands) -> None:
    def run(args: argparse.Namespace) -> int:
        from bot.replaying import replay

        return replay(args.files, playbooks=args.playbooks, deep=args.sensitivity, as_json=args.format == "json")

    parser = _add(
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
    _format(parser)


def _lab(commands: Commands) -> None:
    def play(args: argparse.Namespace) -> int:
        from bot.lab.netns.command import Options, lab_run

        options = Options(
            scenarios=tuple(args.scenarios),
            as_json=args.format == "json",
            keep_going=args.keep_going,
            record=args.record,
            jobs=args.jobs,
        )
        return int(_run(lab_run(options)))

    def schema(_: argparse.Namespace) -> int:
        import json

        from bot.lab.netns.load import schema as of

        print(json.dumps(of(), ensure_ascii=False, indent=2))
        return DONE

    parent = commands.add_parser("lab", help="Faults on purpose: real networks in namespaces, real agents, a score.")
    inner = parent.add_subparsers(metavar="run|schema", required=True)
    parser = _add(inner, "run", "Play scenario files and judge the verdicts (Linux, root, nft; else skipped).", play)
    parser.add_argument("scenarios", nargs="+", type=Path, metavar="SCENARIO")
    parser.add_argument("--keep-going", action="store_true", help="go on when a scenario cannot be played")
    parser.add_argument("--record", type=Path, metavar="FOLDER", help="keep each run's observations for replay")
    parser.add_argument("--jobs", type=int, choices=range(1, 9), default=1, metavar="N", help="so many at once")
    _format(parser)
    _add(inner, "schema", "The JSON Schema of scenario files, for editors.", schema)


def _operate(commands: Commands) -> None:
    def upgrade(args: argparse.Namespace) -> int:
        from bot.operate import upgrade as act

        return asyncio.run(act(args.config))

    def doctor(args: argparse.Namespace) -> int:
        from bot.operate import doctor as act
        from bot.operate import ring

        return asyncio.run(ring(args.config, args.call, args.through) if args.call else act(args.config))

    parent = commands.add_parser("db", help="Create or migrate the database.")
    inner = parent.add_subparsers(metavar="upgrade", required=True)
    up = _add(inner, "upgrade", "Bring the database to this version; safe to repeat.", upgrade)
    up.add_argument("--config", type=Path, help="TOML file (default: warroom.toml if it is there)")
    parser = _add(
        commands,
        "doctor",
        "Check the configuration and say what to mend.",
        doctor,
        "Reads what `warroom serve` would read in this folder and with these variables, and changes nothing.\n"
        "exit status: 0 when the bot could start, 1 when something must be mended first\n",
    )
    parser.add_argument("--config", type=Path, help="TOML file (default: warroom.toml if it is there)")
    parser.add_argument("--call", default="", metavar="PERSON", help="make this person's phone ring now, for a test")
    parser.add_argument("--through", default="", metavar="PAGER", help="with --call: the provider (default: the first)")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
