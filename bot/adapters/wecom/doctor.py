"""What `warroom doctor` says of WeCom: each line is fine, or says what to mend and where, in both languages."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence

from bot.adapters.wecom.api import Api, Http, code_of
from bot.adapters.wecom.envelope import TOLERANCE_S, Envelope
from bot.adapters.wecom.link import Link
from bot.adapters.wecom.trouble import Refused, words
from bot.domain.chat import Finding
from bot.domain.errors import SendFailed
from bot.domain.platforms import WeComApp, WeComBot, WeComSettings
from bot.domain.text import Text

AES = re.compile(r"[A-Za-z0-9+/]{43}\Z")
ROOT_DEPARTMENT = 1
SKEW_S = 60.0
UNKNOWN = frozenset({40003, 60111, 60011})
"""Nobody of the company, or nobody the application sees."""
GONE = frozenset({93000, 93004, 93008})
"""A webhook robot that is unknown, switched off, or not in a group any more."""
PROBE = b"warroom doctor"
"""A file that is uploaded and sent to nobody, to see whether a webhook robot's key is taken."""


class Doctor:
    """Nothing is said to anybody; the robot's secret is tried, which interrupts a running bot for some seconds."""

    def __init__(self, settings: WeComSettings, http: Http, api: Api | None, link: Link | None) -> None:
        self._settings, self._http, self._api, self._link = settings, http, api, link

    async def look(self, accounts: Sequence[str], *, public_url: str, now: Callable[[], float]) -> Sequence[Finding]:
        """All of it, in the order in which one would mend it; `now` gives epoch seconds."""
        app, bot, lines = self._settings.app, self._settings.bot, list[Finding]()
        if app is not None and self._api is not None:
            lines += [_aes("WARROOM_WECOM_AES_KEY", app.aes_key), *await _app(app, self._api, accounts)]
            if AES.match(app.aes_key):
                envelope = Envelope(app.token, app.aes_key, app.corp_id)
                lines.append(await self._callback(envelope, public_url, "/wecom/callback", now()))
        if bot is not None:
            lines += await _robot(bot, self._link)
            if self._link is None and AES.match(bot.aes_key):
                envelope = Envelope(bot.token, bot.aes_key, "")
                lines.append(await self._callback(envelope, public_url, "/wecom/bot", now()))
        for name, key in self._settings.webhooks:
            lines.append(await self._webhook(name, key))
        return [*lines, *self._clock()]

    async def _callback(self, envelope: Envelope, public_url: str, path: str, now: float) -> Finding:
        """Ask our own address as WeCom does when it is saved."""
        if not public_url:
            return Finding(
                good=True,
                text=f"server.public_url is not set, so {path} cannot be tried; WeCom must be able to call it, and it "
                "is saved in the admin console / 没有设置 server.public_url，试不了回调地址；企业微信要能访问它，"
                "并在管理后台保存",
            )
        url, echo = public_url.rstrip("/") + path, secrets.token_hex(8)
        query = envelope.challenge(echo, stamp=str(int(now)), nonce=secrets.token_hex(5))
        try:
            status, text = await self._http.fetch(url, query)
        except SendFailed as exc:
            return Finding(
                good=True,
                text=f"{url} cannot be reached from here ({exc}); WeCom verifies it when it is saved, so start the bot "
                "first / 现在访问不到；在管理后台保存回调地址之前先启动机器人",
            )
        if (status, text) == (200, echo):
            return Finding(good=True, text=f"{url} answers the verification with this token and key")
        if status in (400, 403):
            return _bad(
                f"{url} 用的是另一组 Token / EncodingAESKey，或时钟差了五分钟以上（HTTP {status}）；"
                "让机器人和管理后台用同一组，并重启机器人",
                f"{url} answers by another Token or EncodingAESKey, or its clock is off by more than five minutes "
                f"(HTTP {status}); use the same pair there, here and in the admin console, and start the bot again",
            )
        return _bad(
            f"{url} 没有通过验证（HTTP {status}）：那里不是 Warroom，或代理没有把 {path} 转过来",
            f"{url} did not pass the verification (HTTP {status}): it is not Warroom, or a proxy does not pass {path} "
            "on to it",
        )

    async def _webhook(self, name: str, key: str) -> Finding:
        files = {"media": ("warroom-doctor.txt", PROBE, "application/octet-stream")}
        try:
            row = await self._http.ask("POST", "webhook/upload_media", params={"key": key, "type": "file"}, files=files)
        except SendFailed as exc:
            return Finding(good=True, text=f"webhook robot wecom:hook/{name}: send only; its key was not tried: {exc}")
        if code_of(row) in GONE:
            why = words(code_of(row), str(row.get("errmsg", "")), secrets=(key,))
            return Finding(good=False, text=f"webhook robot wecom:hook/{name}: {why}")
        return Finding(good=True, text=f"webhook robot wecom:hook/{name}: its key is taken; send only")

    def _clock(self) -> Sequence[Finding]:
        off = self._http.off_s
        if abs(off) <= SKEW_S:
            return []
        return [
            _bad(
                f"本机时钟{'快' if off > 0 else '慢'}了 {abs(off):.0f} 秒；用 NTP 校时，"
                f"差过 {TOLERANCE_S:.0f} 秒回调会被拒绝",
                f"this machine's clock is {abs(off):.0f} s {'ahead' if off > 0 else 'behind'}; set it by NTP: beyond "
                f"{TOLERANCE_S:.0f} s every callback is refused",
            )
        ]


async def _app(app: WeComApp, api: Api, accounts: Sequence[str]) -> Sequence[Finding]:
    try:
        await api.token()
    except SendFailed as exc:
        return [Finding(good=False, text=f"application: no access token: {exc}")]
    lines = [Finding(good=True, text="application: corp_id and secret are right (an access token was issued)")]
    try:
        row = await api.call("agent/get", agentid=app.agent_id)
    except SendFailed as exc:
        code = getattr(exc, "code", None)
        hint = (
            ""
            if code in (60020, 301002)
            else "（wecom.agent_id 是应用页面上的 AgentId）/ (wecom.agent_id is the AgentId on the application's page)"
        )
        return [*lines, Finding(good=False, text=f"application: agent_id {app.agent_id}: {exc} {hint}".rstrip())]
    lines.append(Finding(good=True, text=f"application: agent_id {app.agent_id} is {row.get('name', '?')!r}"))
    return [*lines, await _root(row, api), *await _accounts(api, accounts)]


async def _accounts(api: Api, accounts: Sequence[str]) -> Sequence[Finding]:
    lines: list[Finding] = []
    for account in accounts:
        try:
            await api.call("user/get", userid=account)
        except SendFailed as exc:
            if getattr(exc, "code", None) not in UNKNOWN:
                return lines
            why = words(60111, "")
            lines.append(Finding(good=False, text=f"application: people.yaml wecom: {account}: {why}"))
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
    return Finding(good=False, text=f"application: war rooms: {words(60011, '')}")


async def _robot(bot: WeComBot, link: Link | None) -> Sequence[Finding]:
    lines = []
    if not bot.name:
        lines.append(
            _bad(
                "没有设置 wecom.bot_name：名字里有空格时 @ 它的消息会切错；填大家看到的机器人名字",
                "robot: wecom.bot_name is not set: an @-mention of a name with spaces is cut wrongly; set it to the "
                "robot's name as people see it",
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
    if trouble:
        return [*lines, Finding(good=False, text=f"robot: {trouble}")]
    return [*lines, Finding(good=True, text="robot: bot_id and secret are right (the long connection was opened)")]


def _bad(zh: str, en: str) -> Finding:
    text = Text(zh=zh, en=en)
    return Finding(good=False, text=f"{text.zh} / {text.en}")


def _aes(name: str, key: str) -> Finding:
    if AES.match(key):
        return Finding(good=True, text=f"{name}: 43 characters")
    return _bad(
        f"{name} 有 {len(key)} 个字符；应为完整复制的 EncodingAESKey，43 个字母和数字",
        f"{name}: {len(key)} characters; it must be the 43 letters and digits of EncodingAESKey, copied whole",
    )
