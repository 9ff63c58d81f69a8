"""What the configuration says of the chat platforms. A platform is on when its secrets are there."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

from bot.domain.access import DEFAULT, LEVELS, Level
from bot.domain.errors import ConfigError
from bot.domain.platforms import SlackSettings, WeComApp, WeComBot, WeComSettings

Value = Callable[[str, str, str], str]
"""(section, key, default) -> what the file or the environment says."""
Secret = Callable[[str], str]
"""The secret WARROOM_<name>; "" when it is not set."""

SLACK = SlackSettings(bot_token="")
"""What is not said is this."""
SLACK_KEYS = ("mode", "api_url", "reaction", "room_name", "war_rooms", "archive")
WECOM_KEYS = ("corp_id", "agent_id", "api_url", "bot_id", "bot_mode", "bot_url", "bot_name", "bot_ca_file")


def read_slack(value: Value, secret: Secret) -> SlackSettings | None:
    """Slack; None where none of its secrets is set. Raises ConfigError that names what is missing or wrong."""
    names = {"bot_token": "SLACK_BOT_TOKEN", "signing_secret": "SLACK_SIGNING_SECRET", "app_token": "SLACK_APP_TOKEN"}
    given = {field: secret(name) for field, name in names.items()}
    if not any(given.values()):
        return None
    mode = _one_of(value("slack", "mode", "socket"), "slack.mode", ("socket", "http"))
    needed = ("bot_token", "app_token") if mode == "socket" else ("bot_token", "signing_secret")
    rooms = _one_of(value("slack", "war_rooms", SLACK.war_rooms), "slack.war_rooms", ("public", "private"))
    _complete("slack", [f"WARROOM_{names[field]}" for field in needed if not given[field]])
    return SlackSettings(
        **given,
        mode="http" if mode == "http" else "socket",
        api_url=_url(value("slack", "api_url", SLACK.api_url), "slack.api_url", ("https", "http")),
        reaction=value("slack", "reaction", SLACK.reaction).strip(":"),
        room_name=_room_name(value("slack", "room_name", SLACK.room_name)),
        war_rooms="private" if rooms == "private" else "public",
        archive=_one_of(value("slack", "archive", "true").lower(), "slack.archive", ("true", "false")) == "true",
    )


def read_wecom(value: Value, secret: Secret, webhooks: Sequence[Mapping[str, Any]]) -> WeComSettings | None:
    """WeCom; None where none of its secrets is set. Raises ConfigError that names what is missing or wrong."""
    app, bot, hooks = _app(value, secret), _bot(value, secret), tuple(_hook(row, secret) for row in webhooks)
    if app is None and bot is None and not hooks:
        return None
    default = WeComSettings().api_url
    url = _url(value("wecom", "api_url", default), "wecom.api_url", ("https", "http"))
    return WeComSettings(api_url=url, app=app, bot=bot, webhooks=hooks)


def _app(value: Value, secret: Secret) -> WeComApp | None:
    names = {"secret": "WECOM_SECRET", "token": "WECOM_TOKEN", "aes_key": "WECOM_AES_KEY"}
    given = {field: secret(name) for field, name in names.items()}
    if not any(given.values()):
        return None
    corp, agent = value("wecom", "corp_id", ""), value("wecom", "agent_id", "")
    missing = [f"WARROOM_{names[field]}" for field in names if not given[field]]
    missing += [f"wecom.{key}" for key, word in (("corp_id", corp), ("agent_id", agent)) if not word]
    _complete("wecom", missing)
    if not agent.isdigit():
        raise ConfigError(f"wecom.agent_id is {agent!r}; it is the number the administration page shows as AgentId")
    _aes(given["aes_key"], "WARROOM_WECOM_AES_KEY")
    return WeComApp(corp_id=corp, agent_id=int(agent), **given)


def _bot(value: Value, secret: Secret) -> WeComBot | None:
    names = {"secret": "WECOM_BOT_SECRET", "token": "WECOM_BOT_TOKEN", "aes_key": "WECOM_BOT_AES_KEY"}
    given = {field: secret(name) for field, name in names.items()}
    if not any(given.values()):
        return None
    mode: Literal["socket", "callback"] = "socket"
    if _one_of(value("wecom", "bot_mode", mode), "wecom.bot_mode", ("socket", "callback")) == "callback":
        mode = "callback"
    needed = ("secret",) if mode == "socket" else ("token", "aes_key")
    ident = value("wecom", "bot_id", "")
    missing = [f"WARROOM_{names[field]}" for field in needed if not given[field]]
    _complete("wecom", missing + ([] if ident else ["wecom.bot_id"]))
    if given["aes_key"]:
        _aes(given["aes_key"], "WARROOM_WECOM_BOT_AES_KEY")
    return WeComBot(
        bot_id=ident,
        name=value("wecom", "bot_name", "").lstrip("@"),
        mode=mode,
        url=_url(value("wecom", "bot_url", "wss://openws.work.weixin.qq.com"), "wecom.bot_url", ("wss",)),
        ca_file=value("wecom", "bot_ca_file", ""),
        **given,
    )


def _hook(row: Mapping[str, Any], secret: Secret) -> tuple[str, str]:
    name = str(row.get("name", "")).strip()
    if not name:
        raise ConfigError("[[webhooks]] needs name: the robot becomes the room wecom:hook/NAME")
    variable = f"WECOM_WEBHOOK_{name.upper().replace('-', '_')}"
    key = secret(variable)
    if not key:
        raise ConfigError(f"[[webhooks]] {name}: set WARROOM_{variable} to the key in the robot's address")
    return name, key.rpartition("key=")[2]


def read_groups(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Level]:
    """What members of a platform's group may do, by "platform:group". Raises ConfigError."""
    found = {}
    for row in rows:
        ident, role = str(row.get("id", "")), str(row.get("role", ""))
        if ":" not in ident:
            raise ConfigError(f'[[groups]] id is {ident!r}; it must read "slack:S0123ABCD" or "wecom:DEPARTMENT"')
        found[ident] = level(role, f"[[groups]] {ident}: role")
    return found


def level(word: str, where: str, default: Level = DEFAULT) -> Level:
    """A level by its word. Raises ConfigError."""
    if not word:
        return default
    if word not in LEVELS:
        raise ConfigError(f"{where} is {word!r}; it must be one of {', '.join(LEVELS)}")
    return LEVELS[word]


def _complete(platform: str, missing: Sequence[str]) -> None:
    if missing:
        raise ConfigError(f"{platform} is half configured: {', '.join(missing)} not set")


def _one_of(word: str, key: str, known: Sequence[str]) -> str:
    if word not in known:
        raise ConfigError(f"{key} is {word!r}; it must be {' or '.join(repr(k) for k in known)}")
    return word


def _url(word: str, key: str, schemes: Sequence[str]) -> str:
    parts = urlsplit(word)
    if parts.scheme not in schemes or not parts.netloc:
        raise ConfigError(f"{key} is {word!r}; it must begin with {' or '.join(f'{s}://' for s in schemes)}")
    return word if word.endswith("/") or "wss" in schemes else f"{word}/"


def _aes(key: str, name: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9+/]{43}", key):
        raise ConfigError(f"{name} is {len(key)} characters long; EncodingAESKey has 43 letters and digits")


def _room_name(template: str) -> str:
    try:
        template.format(number="1", title="t", date="20260101")
    except (KeyError, IndexError, ValueError) as exc:
        raise ConfigError(
            f"slack.room_name {template!r}: only {{number}}, {{title}} and {{date}} are filled in"
        ) from exc
    return template
