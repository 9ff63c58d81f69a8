"""The words for the time before: an interval is never shown narrower than it is, and codes say what they mean."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from bot.adapters.playbooks import read_playbook
from bot.app.before import change_line, meanings, since
from bot.diagnosis.baseline import Onset
from bot.diagnosis.investigation import Investigation
from bot.domain.change import Change, ChangeKind
from bot.domain.failure import Failure
from bot.domain.probe import Observation
from bot.testing.clock import ONSET
from tests.diagnosis import nights

SHANGHAI = ZoneInfo("Asia/Shanghai")


@pytest.mark.parametrize(
    ("after_s", "by_s", "en", "zh"),
    [
        (-90, 30, "about 22:59 (between 22:58 and 23:01)", "约 22:59（22:58 到 23:01 之间）"),
        (0, 60, "about 23:00 (between 23:00 and 23:01)", "约 23:00（23:00 到 23:01 之间）"),
        (-3600, 0, "some time between 22:00 and 23:00", "22:00 到 23:00 之间"),
        (-86_400, 0, "some time between 01-14 23:00 and 01-15 23:00", "01-14 23:00 到 01-15 23:00 之间"),
        (None, 0, "01-15 23:00 or earlier", "01-15 23:00 或更早"),
    ],
)
def test_since_when_is_an_interval(after_s: float | None, by_s: float, en: str, zh: str) -> None:
    after = None if after_s is None else ONSET + timedelta(seconds=after_s)
    said = since(Onset(after=after, by=ONSET + timedelta(seconds=by_s)), SHANGHAI)
    assert (said.en, said.zh) == (en, zh)


def test_a_change_is_told_by_its_time_before_the_trouble() -> None:
    onset = Onset(after=ONSET - timedelta(minutes=2), by=ONSET)
    deploy = Change(at=ONSET - timedelta(minutes=12), kind=ChangeKind.DEPLOY, title="sms-gateway v1.4.2", who="lin")
    assert change_line(deploy, onset).en == "12 min before: deploy sms-gateway v1.4.2 (lin)"
    assert change_line(deploy, onset).zh == "12 分钟前：发布 sms-gateway v1.4.2 (lin)"
    during = Change(at=ONSET - timedelta(minutes=1), kind=ChangeKind.CONFIG, title="limits", env="prod")
    assert change_line(during, onset).en == "about then: configuration change limits (prod)"


def test_the_services_own_error_codes_say_what_they_mean() -> None:
    playbook = read_playbook("""
playbook: shop
title: shop
targets: {api: "https://shop.example"}
probe:
  - http: {to: api}
errors:
  InternalError: {means: dependency, text: {zh: 网关连不上短信服务, en: the gateway cannot reach the SMS service}}
  InternalError.Bug: {means: our code, text: our own exception}
""")
    agents = nights.agents()
    run = Investigation(playbook, nights.HYPOTHESES, agents)
    common = {"agent": agents[0].name, "region": "east", "vantage": "pod", "target": ""}
    run.take(
        Observation(
            probe="logs",
            kind="logs",
            layer="logs",
            ok=True,
            detail={"counts": {"InternalError.Io": 31, "OK": 9}},
            **common,
        )
    )
    refused = {"code": "InternalError.Bug", "tries": 2, "ok": 0, "failures": {"api_internal": 2}}
    run.take(
        Observation(
            probe="api", kind="api", layer="api", ok=False, failure=Failure.API_INTERNAL, detail=refused, **common
        )
    )
    assert [t.en for t in meanings(run)] == [
        "InternalError.Io ×31: a dependency fails: the gateway cannot reach the SMS service",
        "InternalError.Bug ×2: our code fails: our own exception",
    ]
    assert meanings(run)[0].zh == "InternalError.Io ×31：依赖出错 · 网关连不上短信服务"
