"""`warroom doctor` on WeCom: each thing that is wrong is named, with the next step, in Chinese and in English."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bot.adapters.wecom import WeComPlatform
from tests.chat.door import Door
from tests.chat.wecom_bot import running, yes
from tests.chat.wecom_server import WeComServer


async def examined(
    wecom: WeComServer, accounts: Sequence[str] = (), *, off_s: float = 0.0, public_url: str | None = None, **more: Any
) -> tuple[list[str], list[str]]:
    """What is good, what is bad, while a bot serves the callbacks."""
    async with running(wecom):
        platform = WeComPlatform(
            wecom.settings(**more),
            Door(),
            lang="en",
            zone=ZoneInfo("Asia/Shanghai"),
            holds=yes,
            now=lambda: time.time() + off_s,
            public_url=wecom.caller.base if public_url is None else public_url,
        )
        found = await platform.check(accounts)
        await platform.close()
    assert not any("canary" in f.text for f in found), "secrets are never told"
    return [f.text for f in found if f.good], [f.text for f in found if not f.good]


@pytest.mark.parametrize("mode", ["socket", "callback"])
async def test_all_is_well_and_nobody_hears_of_it(mode: Any) -> None:
    async with WeComServer(mode=mode) as wecom:
        good, bad = await examined(wecom, ["lin", "wang"])
        assert bad == []
        text = "\n".join(good)
        for words in ("an access token was issued", "agent_id 1000002 is 'Warroom'", "visible to the root department"):
            assert words in text
        assert "/wecom/callback answers the verification" in text
        assert ("/wecom/bot answers" in text) == (mode == "callback")
        assert "wecom:hook/vendor: its key is taken" in text
        assert (wecom.world.rooms, wecom.complaints) == ({}, [])


def with_app(wecom: WeComServer, **more: Any) -> dict[str, Any]:
    app = wecom.settings().app
    assert app is not None
    return {"app": replace(app, **more)}


def with_bot(wecom: WeComServer, **more: Any) -> dict[str, Any]:
    bot = wecom.settings().bot
    assert bot is not None
    return {"bot": replace(bot, **more)}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"corp_id": "wwother"}, ["企业ID", "wecom.corp_id is wrong", "40013"]),
        ({"secret": "other"}, ["WARROOM_WECOM_SECRET", "重新复制", "copy it again", "40001"]),
        ({"agent_id": 7}, ["agent_id 7", "不是同一个应用", "do not belong to the same application", "301002"]),
        ({"aes_key": "short"}, ["WARROOM_WECOM_AES_KEY", "43 个字母", "43 letters and digits"]),
        ({"token": "other"}, ["另一组 Token", "another Token or EncodingAESKey", "HTTP 403"]),
        ({"aes_key": "x" * 42 + "A"}, ["另一组 Token", "another Token or EncodingAESKey"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_what_is_wrong_with_the_application_is_named(wrong: dict[str, Any], words: list[str]) -> None:
    async with WeComServer() as wecom:
        if "agent_id" in wrong:
            wecom.qyapi.fail["agent/get"] = [301002]
        if wrong.get("aes_key") == "short":
            # `warroom serve` refuses such a key at its start; doctor is asked before.
            wrong = {"aes_key": "x" * 43 + "="}
        _, bad = await examined(wecom, **with_app(wecom, **wrong))
        assert all(word in "\n".join(bad) for word in words), bad


async def test_an_address_wecom_does_not_trust_is_named() -> None:
    async with WeComServer() as wecom:
        wecom.qyapi.allowed_ip = False
        _, (line,) = await examined(wecom)
        assert all(word in line for word in ("203.0.113.7", "企业可信IP", "Trusted IPs", "60020"))


async def test_an_application_the_root_department_does_not_see() -> None:
    async with WeComServer() as wecom:
        wecom.qyapi.root_visible = False
        _, (line,) = await examined(wecom)
        assert all(word in line for word in ("可见范围", "chooses the whole company", "/warroom bind", "60011"))


async def test_people_whom_the_application_does_not_see_are_named() -> None:
    async with WeComServer() as wecom:
        _, (line,) = await examined(wecom, ["lin", "ghost", "wang"])
        assert all(word in line for word in ("wecom: ghost", "可见范围", "Allowed users"))


@pytest.mark.parametrize("wrong", [{"bot_id": "aib-other"}, {"secret": "other"}])
async def test_a_robot_whose_id_or_secret_is_wrong(wrong: dict[str, Any]) -> None:
    async with WeComServer() as wecom:
        _, (line,) = await examined(wecom, **with_bot(wecom, **wrong))
        assert all(word in line for word in ("WARROOM_WECOM_BOT_SECRET", "长连接", "long connection", "853000"))


async def test_a_robot_without_its_name_is_asked_for_it() -> None:
    async with WeComServer() as wecom:
        _, (line,) = await examined(wecom, **with_bot(wecom, name=""))
        assert all(word in line for word in ("wecom.bot_name", "机器人名字", "as people see it"))


async def test_a_webhook_robot_that_was_removed_from_its_group() -> None:
    async with WeComServer() as wecom:
        _, (line,) = await examined(wecom, webhooks=(("vendor", "canary-old-key"),))
        assert all(word in line for word in ("wecom:hook/vendor", "移出群", "removed from its group", "93000"))


@pytest.mark.parametrize(("off_s", "words"), [(400, ("快了", "ahead")), (-100, ("慢了", "behind"))])
async def test_a_clock_that_is_wrong(off_s: float, words: tuple[str, str]) -> None:
    async with WeComServer() as wecom:
        _, bad = await examined(wecom, off_s=off_s)
        assert all(word in bad[-1] for word in (*words, "NTP")), bad


async def test_an_address_that_is_missing_leads_elsewhere_or_nowhere_yet() -> None:
    async with WeComServer() as wecom:
        good, bad = await examined(wecom, public_url="")
        assert bad == []
        (line,) = [text for text in good if "public_url" in text]
        assert all(word in line for word in ("/wecom/callback", "管理后台", "admin console"))
        _, (line,) = await examined(wecom, public_url=wecom.caller.root)
        assert "not Warroom" in line
        good, bad = await examined(wecom, public_url="http://127.0.0.1:9")
        assert bad == []
        assert any("start the bot first" in text for text in good)


async def test_wecom_that_is_away_is_told_from_one_that_refuses() -> None:
    async with WeComServer() as wecom:
        wecom.qyapi.down = True
        wecom.robot.down = True
        _, bad = await examined(wecom)
        assert any("HTTP 503" in line for line in bad)
