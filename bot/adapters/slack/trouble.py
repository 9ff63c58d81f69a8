"""What Slack's refusals mean: temporary or for good, and what a person can do about it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError

from bot.domain.errors import SendFailed

TEMPORARY = frozenset(
    {
        "accesslimited",
        "external_channel_migrating",
        "fatal_error",
        "internal_error",
        "message_limit_exceeded",
        "org_login_required",
        "rate_limited",
        "ratelimited",
        "request_timeout",
        "service_unavailable",
        "team_added_to_org",
    }
)
"""Errors that go away by themselves; every other one is for good, or it would block its room for ever."""

HINTS: Mapping[str, str] = {
    "invalid_auth": "the bot token is not valid; install the app anew and set WARROOM_SLACK_BOT_TOKEN",
    "not_authed": "no bot token; set WARROOM_SLACK_BOT_TOKEN",
    "account_inactive": "the app was removed from the workspace; install it again",
    "token_revoked": "the bot token was revoked; install the app again",
    "token_expired": "the bot token has expired; switch token rotation off for the app or install it again",
    "not_allowed_token_type": "this kind of token does not fit; WARROOM_SLACK_BOT_TOKEN begins with xoxb-",
    "channel_not_found": "there is no such channel, or it is private and Warroom is not in it; /invite @warroom there",
    "not_in_channel": "Warroom is not in this channel; type /invite @warroom there",
    "is_archived": "the channel is archived",
    "restricted_action": "a workspace setting forbids it; an administrator can allow it for this app",
    "user_not_found": "no such account",
}


class SlackRefused(SendFailed):
    """Slack answered and said no. `error` is its code, `detail` the rest of the answer."""

    def __init__(self, method: str, error: str, detail: Mapping[str, object], *, permanent: bool) -> None:
        hint = HINTS.get(error, "")
        if error == "missing_scope":
            hint = (
                f"the app lacks the scope {detail.get('needed', '?')}; add it under OAuth & Permissions and reinstall"
            )
        super().__init__(f"{method}: {error}" + (f" ({hint})" if hint else ""), permanent=permanent)
        self.error = error
        self.detail = detail


def meaning(method: str, exc: Exception) -> SendFailed:
    """The error of one call of the Web API."""
    if isinstance(exc, SlackApiError):
        return _answered(method, exc)
    if isinstance(exc, (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)):
        return SendFailed(f"{method}: Slack cannot be reached: {_short(exc)}")
    if isinstance(exc, (TimeoutError, asyncio.TimeoutError)):
        return SendFailed(f"{method}: Slack did not answer in time", uncertain=True)
    return SendFailed(f"{method}: the connection to Slack broke: {_short(exc)}", uncertain=True)


OURS = (SlackClientError, aiohttp.ClientError, TimeoutError, OSError)
"""What a call of the Web API may raise."""


def _answered(method: str, exc: SlackApiError) -> SendFailed:
    response = exc.response
    status = getattr(response, "status_code", getattr(response, "status", 0))
    headers = getattr(response, "headers", {})
    data = getattr(response, "data", None)
    detail = data if isinstance(data, dict) else {}
    error = str(detail.get("error", ""))
    if status == 429 or error in ("ratelimited", "rate_limited"):
        wait_s = _seconds(headers.get("Retry-After", ""))
        return SendFailed(f"{method}: Slack asks to wait {wait_s:g} s", retry_after_s=wait_s)
    if status >= 500 or not error:
        return SendFailed(f"{method}: Slack answered HTTP {status} without an error of its own", uncertain=True)
    return SlackRefused(method, error, detail, permanent=error not in TEMPORARY)


def _seconds(value: str) -> float:
    """Retry-After; half a minute where it cannot be read."""
    try:
        wait_s = float(value)
    except ValueError:
        return 30.0
    return min(max(wait_s, 0.0), 3600.0) if wait_s == wait_s else 30.0


def _short(exc: BaseException) -> str:
    return (str(exc) or type(exc).__name__)[:200]
