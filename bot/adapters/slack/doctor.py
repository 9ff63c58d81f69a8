"""What `warroom doctor` says of Slack: each thing that is wrong, what breaks by it, and the next step."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime

from bot.adapters.slack.api import Api
from bot.adapters.slack.trouble import SlackRefused
from bot.app.ports import Clock
from bot.domain.chat import Finding
from bot.domain.errors import SendFailed
from bot.domain.platforms import SlackSettings

NEEDED: Mapping[str, str] = {
    "commands": "there are no slash commands",
    "chat:write": "nothing can be said",
    "channels:manage": "no war room can be created",
    "groups:write": "no private war room can be created, filled or archived",
    "channels:read": "public channels cannot be looked up",
    "groups:read": "private channels cannot be looked up",
    "pins:write": "the summary of a war room is not pinned",
    "bookmarks:write": "a war room has no bookmark to the console",
    "files:write": "postmortems and long results cannot be attached",
    "users:read": "people have neither names nor a language",
    "users:read.email": "people are not recognised by their e-mail address",
    "app_mentions:read": "@-mentions do not arrive",
    "reactions:read": "a reaction puts nothing into the timeline",
    "channels:history": "a message of a public channel cannot be put into the timeline",
    "groups:history": "a message of a private channel cannot be put into the timeline",
}
"""Scopes of the bot token, and what does not work without each."""
WELCOME: Mapping[str, str] = {
    "im:history": "direct messages to the bot do not arrive",
    "im:write": "direct messages to people go the long way round",
    "pins:read": "a pin puts nothing into the timeline",
    "usergroups:read": "user groups cannot give people their level",
}
"""Scopes one can do without."""
KINDS: Mapping[str, str] = {
    "xoxb-": "a bot token",
    "xoxp-": "a user token",
    "xapp-": "an app-level token",
    "xoxe-": "a refresh token",
    "xoxe.": "a token that expires",
}
WHERE = {
    "xoxb-": "OAuth & Permissions, Bot User OAuth Token",
    "xapp-": "Basic Information, App-Level Tokens",
}
REINSTALL = "add it under OAuth & Permissions, Bot Token Scopes, and install the app again (docs/slack-manifest.yaml)"
SKEW_S = 60.0


async def check(api: Api, settings: SlackSettings, clock: Clock, accounts: Sequence[str] = ()) -> Sequence[Finding]:
    """All of it, in the order in which one would mend it. Nothing is changed, and nothing is said to anybody."""
    findings = [*_kinds(settings), *_secrets(settings)]
    if all(found.good for found in _kind("WARROOM_SLACK_BOT_TOKEN", settings.bot_token, "xoxb-")):
        bot = await _bot(api, settings, clock)
        findings += bot
        if bot[0].good:
            findings += await _accounts(api, accounts)
    if settings.mode == "socket" and all(
        found.good for found in _kind("WARROOM_SLACK_APP_TOKEN", settings.app_token, "xapp-")
    ):
        findings += await _app(api, settings)
    return findings


def _kinds(settings: SlackSettings) -> list[Finding]:
    findings = _kind("WARROOM_SLACK_BOT_TOKEN", settings.bot_token, "xoxb-")
    if settings.app_token or settings.mode == "socket":
        findings += _kind("WARROOM_SLACK_APP_TOKEN", settings.app_token, "xapp-")
    return findings


def _kind(name: str, token: str, wanted: str) -> list[Finding]:
    """A token of another kind; one of a kind nobody knows is Slack's to judge."""
    where = WHERE[wanted]
    if not token.strip():
        return [Finding(good=False, text=f"{name} is missing; {KINDS[wanted]} goes there ({where})")]
    shown = next((kind for kind in KINDS if token.strip().startswith(kind)), wanted)
    if shown == wanted:
        return []
    text = f"{name} is {KINDS[shown]} ({shown}...); {KINDS[wanted]} ({wanted}...) goes there: {where}"
    return [Finding(good=False, text=text)]


def _secrets(settings: SlackSettings) -> list[Finding]:
    findings = []
    if settings.mode == "http":
        secret = settings.signing_secret.strip()
        if not secret:
            text = "WARROOM_SLACK_SIGNING_SECRET is missing: anybody could give commands (Basic Information)"
            findings.append(Finding(good=False, text=text))
        elif secret.startswith(("xo", "xapp-")):
            text = "WARROOM_SLACK_SIGNING_SECRET is a token; the Signing Secret of Basic Information goes there"
            findings.append(Finding(good=False, text=text))
        else:
            text = "the signing secret is set; the request URLs of the app must end in /slack/events"
            findings.append(Finding(good=True, text=text))
    if os.environ.get("SLACK_CLIENT_ID") and os.environ.get("SLACK_CLIENT_SECRET"):
        text = "SLACK_CLIENT_ID and SLACK_CLIENT_SECRET are set in the environment; Warroom has no use for them"
        findings.append(Finding(good=True, text=text))
    return findings


async def _bot(api: Api, settings: SlackSettings, clock: Clock) -> list[Finding]:
    try:
        answer = await api.call(api.client.auth_test)
    except SlackRefused as exc:
        return [Finding(good=False, text=str(exc))]
    except SendFailed as exc:
        text = f"{exc}; is {settings.api_url} right, and may this machine (or its proxy) reach it?"
        return [Finding(good=False, text=text)]
    headers = {str(key).lower(): str(value) for key, value in answer.get("_headers", {}).items()}
    who = f"connected to {answer.get('team', '?')} as @{answer.get('user', '?')}"
    return [Finding(good=True, text=who), *scopes(headers.get("x-oauth-scopes")), *_clock(headers, clock)]


def scopes(header: str | None) -> list[Finding]:
    """What Slack's header says the token may do, against what is needed."""
    if header is None:
        return [Finding(good=True, text="Slack did not tell which scopes the bot token has")]
    given = {scope.strip() for scope in header.split(",")}
    missing = [
        Finding(good=False, text=f"the scope {scope} is missing: {breaks}; {REINSTALL}")
        for scope, breaks in NEEDED.items()
        if scope not in given
    ]
    welcome = [
        Finding(good=True, text=f"without the scope {scope} {breaks}")
        for scope, breaks in WELCOME.items()
        if scope not in given
    ]
    return [*(missing or [Finding(good=True, text="every scope that is needed is there")]), *welcome]


async def _accounts(api: Api, accounts: Sequence[str]) -> list[Finding]:
    """Those of people.yaml whom Slack does not know, or not any more."""
    findings: list[Finding] = []
    for account in accounts:
        try:
            answer = await api.call(api.client.users_info, user=account)
        except SlackRefused as exc:
            if exc.error not in ("user_not_found", "user_not_visible", "users_not_found"):
                return findings
            gone = f"Slack knows nobody with the id {account}"
        except SendFailed:
            return findings
        else:
            user = answer.get("user")
            if not (isinstance(user, dict) and user.get("deleted")):
                continue
            gone = f"the Slack account {account} is deactivated"
        text = f"{gone}: this person of people.yaml gets no messages (profile, three dots, Copy member ID)"
        findings.append(Finding(good=False, text=text))
    return findings


def _clock(headers: Mapping[str, str], clock: Clock) -> list[Finding]:
    """Slack's requests are refused when they seem to be more than five minutes old."""
    try:
        off_s = (clock.now() - parsedate_to_datetime(headers["date"])).total_seconds()
    except (KeyError, ValueError, TypeError):
        return []
    if abs(off_s) <= SKEW_S:
        return []
    text = f"this machine's clock is {abs(off_s):.0f} s {'ahead' if off_s > 0 else 'behind'}; set it by NTP, or Slack's"
    return [Finding(good=False, text=f"{text} requests and ours do not fit")]


async def _app(api: Api, settings: SlackSettings) -> list[Finding]:
    try:
        await api.call(api.client.apps_connections_open, app_token=settings.app_token.strip())
    except SlackRefused as exc:
        return [Finding(good=False, text=_app_words(exc))]
    except SendFailed as exc:
        return [Finding(good=False, text=f"Socket Mode cannot be tried: {exc}")]
    return [Finding(good=True, text="Socket Mode: the app token opens a connection")]


def _app_words(exc: SlackRefused) -> str:
    if exc.error == "missing_scope":
        return (
            "WARROOM_SLACK_APP_TOKEN lacks the scope connections:write: nothing arrives by Socket Mode; make a new one "
            "under Basic Information, App-Level Tokens"
        )
    if exc.error in ("invalid_auth", "token_revoked", "not_authed", "account_inactive"):
        return (
            f"WARROOM_SLACK_APP_TOKEN is not valid ({exc.error}): nothing arrives by Socket Mode; make a new one under "
            "Basic Information, App-Level Tokens, with the scope connections:write"
        )
    if exc.error == "not_allowed_token_type":
        return "WARROOM_SLACK_APP_TOKEN is not an app-level token (xapp-...): Basic Information, App-Level Tokens"
    return f"Socket Mode cannot be used: {exc}; is it switched on in the app's settings?"
