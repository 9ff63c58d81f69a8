"""What WeCom's error numbers mean for a message, and in words for those who can mend them.

Numbers: developer.work.weixin.qq.com/document/path/90313.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from bot.domain.errors import SendFailed
from bot.domain.text import Text

TOKEN_TROUBLE = frozenset({40001, 40014, 42001})
"""The access token is not good (any more): a new one is fetched, once."""
BUSY = frozenset({-1, 6000, 45009, 45033, 50002, 301019})
"""Too many calls, or WeCom itself: worth another try."""
OF_THE_SETUP = frozenset({40013, 40091, 41004, 60020, 48002, 301002, 853000})
"""An administrator mends it, and then the same message is taken: it waits, and other platforms take over."""
BUSY_WAIT_S = 10.0
FREQUENCY_WAIT_S = 60.0
_NUMBER = re.compile(r"errcode=(-?\d+), errmsg=(.*)", re.DOTALL)
_FROM_IP = re.compile(r"from ip: ?([0-9a-fA-F.:]+)")

WORDS = {
    40001: Text(
        "Secret 不对（WARROOM_WECOM_SECRET）；从管理后台“应用管理”里该应用的页面重新复制",
        "the secret (WARROOM_WECOM_SECRET) is not this application's; copy it again from its page in the admin console",
    ),
    40013: Text(
        "企业 ID（wecom.corp_id）不对；见管理后台“我的企业”最下面的“企业ID”",
        "wecom.corp_id is wrong; it is at the bottom of My Company in the admin console",
    ),
    60011: Text(
        "应用不能新建群：它的可见范围必须包含根部门。管理员在“应用管理 → 该应用 → 可见范围”里选整个企业；"
        "在那之前当前的群就是战情室（/warroom bind）",
        "the application may not create groups: it must be visible to the root department. An administrator opens App "
        "Management, this application, Allowed users, and chooses the whole company; until then the group at hand is "
        "the war room (/warroom bind)",
    ),
    81013: Text(
        "接收人都不在应用的可见范围内；管理员在“应用管理 → 该应用 → 可见范围”里加上",
        "nobody who should get this is within the application's visible range; an administrator adds them under "
        "App Management, this application, Allowed users",
    ),
    48002: Text(
        "应用没有这个接口的权限；管理员在该应用的页面里打开",
        "the application lacks the permission for this call; an administrator grants it on the application's page",
    ),
    301002: Text(
        "AgentId（wecom.agent_id）与 Secret 不是同一个应用的",
        "wecom.agent_id and the secret do not belong to the same application",
    ),
    60111: Text(
        "企业里没有这个账号，或应用看不到他；核对 people.yaml 里的 wecom，并把他加进应用的可见范围",
        "the company has no such account, or the application does not see it; check wecom in people.yaml, and the "
        "application's Allowed users",
    ),
    93000: Text(
        "群机器人的 key 不对，或机器人已被移出群；在群里重新添加群机器人并更新 WARROOM_WECOM_WEBHOOK_…",
        "the webhook robot's key is wrong, or it was removed from its group; add a group robot there again and set "
        "WARROOM_WECOM_WEBHOOK_... to its key",
    ),
    93006: Text(
        "机器人不在这个群里，或还没有人在里面 @ 过它；把机器人加进群，再 @ 它发一条 /help",
        "the robot is not in this group, or nobody there has talked to it; add it to the group and type /help after an "
        "@-mention of it",
    ),
    93008: Text(
        "机器人不在这个群里；群成员在群设置里把它加进来",
        "the robot is not in this group; a member adds it in the group's settings",
    ),
    853000: Text(
        "bot_id 或 WARROOM_WECOM_BOT_SECRET 不对；在机器人页面“API 模式 → 长连接”重新复制",
        "wecom.bot_id or WARROOM_WECOM_BOT_SECRET is wrong; copy both again from the robot's page, API mode, long "
        "connection",
    ),
    45009: Text("调用太频繁，稍后再试", "called too often; it is tried again later"),
}


class Refused(SendFailed):
    """WeCom answered with an error number."""

    def __init__(self, code: int, reason: str, *, permanent: bool, retry_after_s: float | None) -> None:
        super().__init__(reason, permanent=permanent, retry_after_s=retry_after_s)
        self.code = code


def refused(what: str, code: int, errmsg: str, *, secrets: Sequence[str] = ()) -> Refused:
    """What an error number means: to be tried again, to be mended, or refused for good."""
    waits = BUSY | OF_THE_SETUP | TOKEN_TROUBLE
    wait = FREQUENCY_WAIT_S if code in (45009, 45033) else BUSY_WAIT_S if code in BUSY else None
    return Refused(
        code, f"{what}: {words(code, errmsg, secrets=secrets)}", permanent=code not in waits, retry_after_s=wait
    )


def words(code: int, errmsg: str, *, secrets: Sequence[str] = ()) -> str:
    """The error as a sentence in both languages, for it may be read in any room."""
    known = _not_allowed(errmsg) if code == 60020 else WORDS.get(code)
    said = f"{known.zh} / {known.en}" if known else _bare(errmsg, secrets)
    return f"{said} (errcode {code})"


def number_of(reason: str) -> tuple[int, str] | None:
    """(error number, message) of an error of the robot's library, which has them in a sentence."""
    found = _NUMBER.search(reason)
    return (int(found[1]), found[2]) if found else None


def _not_allowed(errmsg: str) -> Text:
    found = _FROM_IP.search(errmsg)
    ip = found[1] if found else ""
    return Text(
        f"本机的出口地址{f' {ip} ' if ip else ''}不在“企业可信IP”里；管理员在“应用管理 → 该应用 → 企业可信IP”里加上",
        f"calls from this address{f' ({ip})' if ip else ''} are not allowed; an administrator adds it under "
        "App Management, this application, Trusted IPs",
    )


def _bare(errmsg: str, secrets: Sequence[str]) -> str:
    """WeCom's own words, short and without our secrets."""
    for secret in filter(None, secrets):
        errmsg = errmsg.replace(secret, "[redacted]")
    return " ".join(errmsg.split())[:160]
