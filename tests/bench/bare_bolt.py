"""The least a Slack command can cost: a Bolt handler that acknowledges and remembers nothing. Prints its port."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import uvicorn
from slack_bolt.adapter.asgi.async_handler import AsyncSlackRequestHandler
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult


async def _authorize(**_: Any) -> AuthorizeResult:
    return AuthorizeResult(enterprise_id=None, team_id="T", bot_token="xoxb-x", bot_user_id="U")


async def main() -> None:
    """Serve until killed."""
    app = AsyncApp(signing_secret=os.environ["SECRET"], authorize=_authorize)

    @app.command("/note")
    async def note(ack: Any) -> None:
        await ack()

    asgi = AsyncSlackRequestHandler(app, path="/slack/events")
    server = uvicorn.Server(uvicorn.Config(asgi, port=0, log_level="error", lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await serving


if __name__ == "__main__":
    asyncio.run(main())
