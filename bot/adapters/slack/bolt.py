"""slack-bolt, told to do what we need of it: route a verified delivery to the inlet and answer with its reply."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from slack_bolt import BoltResponse
from slack_bolt.async_app import AsyncApp, AsyncBoltRequest
from slack_bolt.authorization import AuthorizeResult
from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.slack.inlet import Inlet

ANYTHING = re.compile(".*", re.DOTALL)
_HIDDEN = ("SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET", "SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET")
"""Variables that Bolt reads by itself; the first two switch its OAuth on."""


def bolt_app(inlet: Inlet, *, base_url: str) -> AsyncApp:
    """The app. `process_before_response`: it answers with what the listener said, without polling for it.

    With `authorize` and a client that has no token it asks Slack nothing before it takes a command. Signatures are
    checked by the guard in front of it, which Slack's own adapters have not.
    """
    with _without(*_HIDDEN):
        app = AsyncApp(
            client=AsyncWebClient(base_url=base_url),
            signing_secret="",
            process_before_response=True,
            request_verification_enabled=False,
            ssl_check_enabled=False,
            ignoring_self_events_enabled=False,
            attaching_function_token_enabled=False,
            attaching_conversation_kwargs_enabled=False,
            authorize=_authorized,
        )

    async def take(body: dict[str, Any]) -> BoltResponse:
        reply = await inlet.take(body)
        return BoltResponse(status=reply.status, body=dict(reply.body) if reply.body else "")

    app.command(ANYTHING)(take)
    app.event(ANYTHING)(take)
    app.action(ANYTHING)(take)
    app.shortcut(ANYTHING)(take)
    app.view(ANYTHING)(take)
    app.view_closed(ANYTHING)(take)
    app.options(ANYTHING)(take)
    return app


async def dispatch(app: AsyncApp, body: str | Mapping[str, Any], headers: Mapping[str, str]) -> BoltResponse:
    """One delivery: a raw body over HTTP, a payload over a socket."""
    if isinstance(body, str):
        return await app.async_dispatch(AsyncBoltRequest(body=body, headers=dict(headers)))
    return await app.async_dispatch(AsyncBoltRequest(mode="socket_mode", body=dict(body), headers=dict(headers)))


async def _authorized(enterprise_id: str | None, team_id: str | None) -> AuthorizeResult:
    """Whatever is validly signed is ours: the app is in one workspace, and the token is not Bolt's business."""
    return AuthorizeResult(enterprise_id=enterprise_id, team_id=team_id)


@contextlib.contextmanager
def _without(*names: str) -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in names if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
