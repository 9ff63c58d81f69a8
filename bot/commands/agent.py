"""`warroom agent`, and `warroom agent enroll`, which lets one in."""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

from bot.commands.common import DONE, WRONG_USE, Commands, add, add_format, add_server

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


def agent(commands: Commands) -> None:
    """A vantage point."""

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

    parser = add(
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


def enroll_parser() -> argparse.ArgumentParser:
    """`agent enroll`, which is read by itself."""

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
    add_format(parser)
    add_server(parser)
    parser.set_defaults(run=run, verbose=False)
    return parser
