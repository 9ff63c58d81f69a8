"""What `warroom doctor` says of WeCom: each line is fine, or says what to mend and where."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.adapters.wecom.api import Api
from bot.adapters.wecom.link import Link
from bot.adapters.wecom.trouble import Refused
from bot.domain.chat import Finding
from bot.domain.errors import SendFailed
from bot.domain.platforms import WeComApp, WeComBot, WeComSettings

AES = re.compile(r"[A-Za-z0-9+/]{43}\Z")
ROOT_DEPARTMENT = 1


async def findings(settings: WeComSettings, api: Api | None, link: Link | None) -> Sequence[Finding]:
    """Nothing is said to anybody; the robot's secret is tried, which interrupts a running bot for some seconds."""
    lines: list[Finding] = []
    if settings.app is not None and api is not None:
        lines += [_aes("WARROOM_WECOM_AES_KEY", settings.app.aes_key), *await _app(settings.app, api)]
    if settings.bot is not None:
        lines += await _robot(settings.bot, link)
    lines += [Finding(good=True, text=f"webhook robot wecom:hook/{name}: send only") for name, _ in settings.webhooks]
    return lines


async def _app(app: WeComApp, api: Api) -> Sequence[Finding]:
    try:
        await api.token()
    except SendFailed as exc:
        return [Finding(good=False, text=f"application: no access token: {exc}")]
    lines = [Finding(good=True, text="application: corp_id and secret are right (an access token was issued)")]
    try:
        row = await api.call("agent/get", agentid=app.agent_id)
    except SendFailed as exc:
        code = getattr(exc, "code", None)
        hint = "" if code in (60020, 301002) else " (wecom.agent_id is the number AgentId on the application's page)"
        return [*lines, Finding(good=False, text=f"application: agent_id {app.agent_id}: {exc}{hint}")]
    lines.append(Finding(good=True, text=f"application: agent_id {app.agent_id} is {row.get('name', '?')!r}"))
    lines.append(await _root(row, api))
    return lines


async def _root(row: dict[str, object], api: Api) -> Finding:
    """War rooms need an application that the root department may see."""
    shown = row.get("allow_partys")
    parties = shown.get("partyid") if isinstance(shown, dict) else None
    if isinstance(parties, list) and ROOT_DEPARTMENT in parties:
        return Finding(good=True, text="application: visible to the root department, so it may create war rooms")
    if parties is None:
        try:
            await api.call("department/list")
        except Refused as exc:
            return Finding(good=exc.code != 60011, text=f"application: war rooms: {exc}")
        except SendFailed as exc:
            return Finding(good=False, text=f"application: war rooms: {exc}")
    return Finding(
        good=False,
        text="application: not visible to the root department, so creating a war room fails with 60011: an "
        "administrator opens App Management, the application, Allowed users, and chooses the whole company; until then "
        "the group at hand is the war room (/warroom bind)",
    )


async def _robot(bot: WeComBot, link: Link | None) -> Sequence[Finding]:
    lines = []
    if not bot.name:
        lines.append(
            Finding(
                good=False,
                text="robot: wecom.bot_name is not set: without it an @-mention of a name with spaces is cut wrongly; "
                "set it to the robot's name as people see it",
            )
        )
    else:
        lines.append(Finding(good=True, text=f"robot: people call it @{bot.name}"))
    if link is None:
        lines.append(_aes("WARROOM_WECOM_BOT_AES_KEY", bot.aes_key))
        lines.append(
            Finding(
                good=True,
                text="robot: callback mode: it can only answer, and only one bot may serve /wecom/bot; wecom.bot_mode "
                '= "socket" can begin to talk, send files and needs no public address',
            )
        )
        return lines
    trouble = await link.try_secret()
    good = Finding(good=True, text="robot: bot_id and secret are right (the long connection was opened)")
    bad = (
        f"robot: {trouble}; bot_id and secret are on the robot's page under API mode, long connection"
        if trouble
        else ""
    )
    return [*lines, Finding(good=False, text=bad) if bad else good]


def _aes(name: str, key: str) -> Finding:
    if AES.match(key):
        return Finding(good=True, text=f"{name}: 43 characters")
    return Finding(
        good=False,
        text=f"{name}: {len(key)} characters; it must be the 43 letters and digits of EncodingAESKey, copied whole",
    )
