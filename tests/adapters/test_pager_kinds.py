"""What is particular to one provider: its signatures, its limits, its words, what it can be asked."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import pytest

from bot.adapters.pagers import make
from bot.adapters.pagers.aliyun_vms import AliyunPager
from bot.adapters.pagers.tencent_vms import TencentPager
from bot.adapters.pagers.twilio import TwilioPager
from bot.adapters.pagers.twilio_signature import check_signature, signature
from bot.app.ports import Given, Heard, Listens
from bot.domain.errors import SendFailed, UserError
from bot.domain.page import Callback, CallStatus, short_key
from bot.domain.pager_kinds import PagerConfig
from bot.domain.spoken import plain, spoken
from bot.domain.webhooks import BadSignature
from bot.probes.base import Credential
from bot.probes.vendor import aliyun, tencent
from tests.adapters.providers.aliyun import AliyunServer
from tests.adapters.providers.desks import FlashDutyServer, GoAlertServer, PagerDutyServer
from tests.adapters.providers.tencent import TencentServer
from tests.adapters.providers.twilio import TwilioServer
from tests.adapters.test_pagers import PAGE, PUBLIC, Night, night
from tests.store.samples import page

TOKEN = "12345"
URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FORM = {
    "CallSid": "CA1234567890ABCDE",
    "Caller": "+14158675309",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
}


def check(url: str, signed: str, *, settings: str = "", tokens: tuple[str, ...] = (TOKEN,)) -> None:
    head = {"X-Twilio-Signature": signed} | ({"X-Twilio-Webhooks-Signature-Settings": settings} if settings else {})
    check_signature(Given(headers=head, url=url, body=b""), list(FORM.items()), tokens)


def test_twilios_own_example_of_a_signature_fits() -> None:
    assert signature(TOKEN, URL, list(FORM.items())) == "RSOYDt4T1cUTdK1PDd93/VVr8B8="
    check(URL, "RSOYDt4T1cUTdK1PDd93/VVr8B8=")


def test_tencents_and_alibabas_own_examples_of_signatures_fit() -> None:
    limit = b'{"Limit": 1, "Filters": [{"Values": ["\\u672a\\u547d\\u540d"], "Name": "instance-name"}]}'
    head = [("content-type", "application/json; charset=utf-8"), ("host", "cvm.tencentcloudapi.com")]
    key = "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"
    made = tencent.signature(key, service="cvm", signed=head, payload=limit, timestamp=1551113065)
    assert made == "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168"
    named = {
        "Timestamp": "2016-02-23T12:46:24Z",
        "Format": "XML",
        "Action": "DescribeRegions",
        "SignatureNonce": "3ee8c1b8-83d3-44af-a94f-4e0ad82fd6cf",
        "Version": "2014-05-26",
    }
    signed = aliyun.signed(named, Credential(id="testid", secret="testsecret"), "GET")
    assert signed["Signature"] == "OLeaidS1JvxuMvnyHOwuJ+uX5qY="


def test_a_signature_fits_with_and_without_the_port_and_with_the_token_that_is_rotated_out() -> None:
    ported = "https://mycompany.com:8443/myapp.php?foo=1&bar=2"
    for signed_as in (ported, URL):
        check(ported, signature(TOKEN, signed_as, list(FORM.items())))
    check(URL, signature("old", URL, list(FORM.items())), tokens=(TOKEN, "old"))
    with pytest.raises(BadSignature, match="does not fit"):
        check(URL, signature("old", URL, list(FORM.items())))
    with pytest.raises(BadSignature, match="is missing"):
        check(URL, "")


def test_sha256_is_believed_where_it_is_announced_and_only_there() -> None:
    better = signature(TOKEN, URL, list(FORM.items()), "sha256")
    check(URL, better, settings="HMAC_SHA256")
    with pytest.raises(BadSignature):
        check(URL, better)
    with pytest.raises(BadSignature):
        check(URL, signature(TOKEN, URL, list(FORM.items())), settings="HMAC_SHA256")


async def pressed(it: Night, digits: str) -> Heard:
    await it.pager.call(PAGE)
    return it.hears(digits=digits)


@pytest.mark.parametrize(
    ("digits", "says"),
    [("1", "已确认，谢谢"), ("2", "已升级"), ("7", "按 1 确认，按 2 升级"), ("", "<Response></Response>")],
)
async def test_twilio_is_told_what_to_say_next(digits: str, says: str) -> None:
    async with night("twilio") as it:
        heard = await pressed(it, digits)
        assert heard.media_type == "text/xml"
        assert says in heard.answer
        assert ("<Gather" in heard.answer) == (digits == "7")


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("ringing", CallStatus.RINGING),
        ("in-progress", CallStatus.ANSWERED),
        ("busy", CallStatus.BUSY),
        ("no-answer", CallStatus.NO_ANSWER),
        ("failed", CallStatus.FAILED),
        ("completed", CallStatus.COMPLETED),
        ("canceled", CallStatus.COMPLETED),
        ("queued", None),
    ],
)
async def test_twilios_words_for_how_a_call_stands(word: str, status: CallStatus | None) -> None:
    async with night("twilio") as it:
        assert isinstance(it.pager, TwilioPager)
        assert isinstance(it.server, TwilioServer)
        ref = await it.pager.call(PAGE)
        it.server.calls[ref]["status"] = word
        assert await it.pager.status(ref) is status
        url = it.server.callbacks[ref]
        form = {"CallSid": ref, "CallStatus": word}
        signed = {"X-Twilio-Signature": signature("canary-twilio-token", url, list(form.items()))}
        said = it.pager.read(Given(headers=signed, url=url, body=urlencode(form).encode())).said
        assert [one.status for one in said] == ([] if status is None else [status])


async def test_after_an_uncertain_answer_twilios_list_of_calls_shows_the_one_that_was_placed() -> None:
    async with night("twilio") as it:
        assert isinstance(it.pager, TwilioPager)
        assert await it.pager.find(PAGE) is None
        it.server.troubles.append("hang")
        assert (await it.refused()).uncertain
        assert await it.pager.find(PAGE) == "twilio-1"
        assert await it.pager.find(replace(PAGE, key="INC-2:1:lin:1")) is None  # it is the first page's


async def test_after_a_try_that_is_known_to_have_failed_no_other_call_to_the_person_is_taken_for_it() -> None:
    async with night("twilio") as first, night("twilio", url=first.server.url) as second:
        assert isinstance(second.pager, TwilioPager)
        await first.pager.call(PAGE)
        other = replace(PAGE, key="INC-2:1:lin:1")
        first.server.troubles.append("throttle")
        await second.refused(other)
        assert await second.pager.find(other) is None
        first.server.troubles.append("reset")
        await second.refused(other)
        assert await second.pager.find(other) == "twilio-2"


async def test_a_call_of_yesterday_is_not_taken_for_the_one_that_was_lost() -> None:
    async with night("twilio") as it:
        assert isinstance(it.pager, TwilioPager)
        assert isinstance(it.server, TwilioServer)
        it.server.troubles.append("reset")
        await it.refused()
        it.server.calls["twilio-1"]["date_created"] = "Tue, 31 Aug 2010 20:36:28 +0000"
        assert await it.pager.find(PAGE) is None


async def test_a_call_twilio_does_not_know_is_no_error_to_hang_up_and_one_to_ask_about() -> None:
    async with night("twilio") as it:
        assert isinstance(it.pager, TwilioPager)
        await it.pager.hang_up("CA404")
        with pytest.raises(SendFailed, match="20404"):
            await it.pager.status("CA404")


async def test_an_english_page_is_spoken_by_an_english_voice_and_a_key_with_a_chinese_name_comes_back() -> None:
    english = page(
        key="INC-1:1:林 & co:1", title="sms down", callback_url=f"{PUBLIC}/hooks/phone/", severity="sev1",
        person=replace(PAGE.person, name="林 & co", lang="en"),
    )  # fmt: skip
    async with night("twilio") as it:
        await it.pager.call(english)
        assert "sev1 sms down. Press 1 to acknowledge, 2 to escalate." in it.server.rung[0].said
        assert 'language="en-US" voice="Polly.Joanna"' in it.server.asked[0].form["Twiml"]
        assert [said.key for said in it.hears(digits="1").said] == ["INC-1:1:林 & co:1"]
        assert "Acknowledged" in it.hears(digits="1").answer


async def test_a_title_the_template_finds_too_long_is_said_shorter_rather_than_not() -> None:
    long = "上海机房短信网关到腾讯云的解析被限频导致登录验证码全部发送失败"
    for kind in ("tencent_vms", "aliyun_vms"):
        async with night(kind) as it:
            await it.pager.call(replace(PAGE, title=long))
            assert it.server.rung[0].said.split("|")[1] == long[:12]
            assert len(it.server.asked) == 2


async def test_alibaba_calls_a_number_once_a_minute_five_times_an_hour_and_says_how_long_that_lasts() -> None:
    async with night("aliyun_vms") as it:
        assert isinstance(it.server, AliyunServer)
        for _ in range(5):
            await it.pager.call(PAGE)
            error = await it.refused()
            assert (error.permanent, error.retry_after_s) == (False, 60)
            it.server.now += 61
        error = await it.refused()
        assert (error.permanent, error.retry_after_s) == (False, 300)
        assert "小时级" in str(error)
        assert len(it.server.rung) == 5


async def test_alibaba_counts_one_number_and_not_another_and_gives_our_short_key_back() -> None:
    async with night("aliyun_vms") as it:
        await it.pager.call(PAGE)
        chen = replace(PAGE, key="INC-1:1:chen:1", person=replace(PAGE.person, name="chen", phone="+8613900000000"))
        await it.pager.call(chen)
        assert [r.key for r in it.server.rung] == [short_key(PAGE.key), short_key(chen.key)]
        assert short_key(chen.key) in it.hears(digits="1").said[0].refs


async def test_alibabas_keys_need_a_number_of_ones_own_and_the_mainland() -> None:
    bare = {"template": "TTS_1"}
    async with night("aliyun_vms", options=bare) as it:
        await it.pager.call(PAGE)
        assert it.server.asked[0].form["Action"] == "SingleCallByTts"
        assert "请在群里确认" in it.server.rung[0].said
    async with night("aliyun_vms") as it:
        await it.pager.call(replace(PAGE, person=replace(PAGE.person, phone="+85291234567")))
        assert it.server.asked[0].form["Action"] == "SingleCallByTts"
        assert it.server.rung[0].to == "85291234567"
        assert "请在群里确认" in it.server.rung[0].said


async def test_alibaba_is_asked_how_a_call_ended() -> None:
    async with night("aliyun_vms", public_url="") as it:
        assert isinstance(it.pager, AliyunPager)
        assert isinstance(it.server, AliyunServer)
        ref = await it.pager.call(PAGE)
        assert await it.pager.status(ref) is None
        for code, status in (
            ("200002", CallStatus.BUSY),
            ("200003", CallStatus.NO_ANSWER),
            ("200010", CallStatus.FAILED),
        ):
            it.server.over[ref] = code
            assert await it.pager.status(ref) is status


async def test_several_reports_of_alibaba_in_one_request_are_all_read_and_unknown_codes_say_nothing() -> None:
    rows = [
        {"call_id": "1^2", "out_id": "w1", "status_code": "200000", "dtmf": "1#", "status_msg": "ok"},
        {"call_id": "1^3", "out_id": "", "status_code": "200003"},
        {"call_id": "1^4", "status_code": "999"},
        {"status_code": "200000"},
    ]
    async with night("aliyun_vms") as it:
        heard = it.pager.read(Given(headers={}, url="", body=json.dumps(rows).encode(), secret="canary-aliyun-path"))
        assert heard.said == [
            Callback(status=CallStatus.COMPLETED, digits="1", refs=("1^2", "w1")),
            Callback(status=CallStatus.NO_ANSWER, refs=("1^3",)),
        ]
        assert json.loads(heard.answer)["code"] == 0


async def test_tencents_reports_name_call_and_number_and_it_gets_the_answer_it_wants() -> None:
    pager = make(TencentServer().config(), public_url=PUBLIC)
    assert isinstance(pager, TencentPager)

    def hears(row: dict[str, Any]) -> Heard:
        return pager.read(Given(headers={}, url="", body=json.dumps(row).encode(), secret="canary-tencent-path"))

    told = {"callid": "c1", "mobile": "13800000000", "nationcode": "86"}
    missed = hears({"voiceprompt_callback": {**told, "result": "1"}})
    assert missed.said == (Callback(status=CallStatus.NO_ANSWER, refs=("c1",), phone="+8613800000000"),)
    assert json.loads(missed.answer) == {"result": 0, "errmsg": "OK"}
    failed = hears({"voice_failure_callback": {**told, "failure_code": 8, "failure_reason": "空号"}})
    assert [one.status for one in failed.said] == [CallStatus.FAILED]
    assert hears({"voicecode_callback": told}).said == ()


async def test_a_clock_that_is_wrong_is_named_by_tencent() -> None:
    async with night("tencent_vms") as it:
        assert isinstance(it.pager, TencentPager)
        it.pager._now = lambda: 1_551_113_065.0
        error = await it.refused()
        assert "AuthFailure.SignatureExpire" in str(error)


async def test_pagerduty_gets_a_short_key_for_one_that_is_too_long_and_its_severities() -> None:
    async with night("pagerduty") as it:
        key = "INC-1:1:" + "林" * 300 + ":1"
        assert await it.pager.call(replace(PAGE, key=key)) == short_key(key)
        for severity, theirs in (("sev1", "critical"), ("sev2", "error"), ("sev3", "warning"), ("sev4", "info")):
            await it.pager.call(replace(PAGE, key=severity, severity=severity))
            assert it.server.asked[-1].json["payload"]["severity"] == theirs


def signed(event: dict[str, Any], secret: str = "canary-pagerduty-webhook") -> dict[str, Any]:
    body = json.dumps({"event": event}).encode()
    made = "v1=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"headers": {"x-pagerduty-signature": made}, "url": "", "body": body}


def a_pagerduty(**secrets: str) -> Listens:
    config = PagerDutyServer().config()
    return make(replace(config, secrets={**config.secrets, **secrets}), public_url=PUBLIC)


def test_what_a_person_does_in_pagerduty_counts_and_what_we_do_there_does_not() -> None:
    data = {"id": "P1", "incident_key": PAGE.key}
    person, ours = {"type": "user_reference", "summary": "Chen"}, {"type": "service_reference", "summary": "Events"}
    pager = a_pagerduty()
    for kind, agent, counts in (
        ("incident.acknowledged", person, True),
        ("incident.resolved", person, True),
        ("incident.resolved", ours, False),
        ("incident.escalated", person, False),
        ("pagey.ping", None, False),
    ):
        said = pager.read(Given(**signed({"event_type": kind, "agent": agent, "data": data}))).said
        assert [(one.digits, one.by) for one in said] == ([("1", "Chen")] if counts else [])


def test_while_pagerduty_rotates_its_secret_both_are_believed() -> None:
    event = {"event_type": "pagey.ping", "data": {}}
    pager = a_pagerduty(OLD_WEBHOOK_SECRET="old")
    assert pager.read(Given(**signed(event, "old"))).said == ()
    with pytest.raises(BadSignature):
        a_pagerduty().read(Given(**signed(event, "old")))


@pytest.mark.parametrize(
    ("line", "who"),
    [
        ("Acknowledged by Chen (SMS)", "Chen"),
        ("Acknowledged by 陈 (DBA) (Voice)", "陈 (DBA)"),
        ("Closed by Chen (Web)", "Chen"),
        ("Closed via warroom integration (Generic API)", None),
        ("Escalated to step #2 automatically after 5 minutes", None),
    ],
)
def test_what_a_person_does_in_goalert_counts_and_what_an_integration_does_there_does_not(
    line: str, who: str | None
) -> None:
    body = json.dumps({"AppName": "GoAlert", "Type": "AlertStatus", "AlertID": 70, "LogEntry": line}).encode()
    pager = make(GoAlertServer().config(), public_url=PUBLIC)
    said = pager.read(Given(headers={}, url="", body=body, secret="canary-goalert-path")).said
    assert [(one.by, one.refs) for one in said] == ([] if who is None else [(who, ("p#70",))])


async def test_flashduty_gets_no_template_in_a_title_and_gives_the_label_back() -> None:
    async with night("flashduty") as it:
        await it.pager.call(replace(PAGE, title="{{.Labels}} $cpu"))
        row = it.server.asked[0].json
        assert "{" not in row["title_rule"]
        assert "$" not in row["title_rule"]
        assert row["labels"]["warroom_key"] == PAGE.key
        assert it.hears(digits="1").said[0].by == "Chen"


async def test_flashduty_that_closes_an_incident_by_itself_acknowledges_nothing() -> None:
    body = json.dumps({"event_type": "i_rslv", "incident": {"labels": {"warroom_key": PAGE.key}}}).encode()
    pager = make(FlashDutyServer().config(), public_url=PUBLIC)
    assert pager.read(Given(headers={}, url="", body=body, secret="canary-flashduty-path")).said == ()


def test_twilio_without_a_key_in_the_address_is_told_so() -> None:
    pager = make(TwilioServer().config(), public_url=PUBLIC)
    url = f"{PUBLIC}/hooks/phone/p"
    head = {"X-Twilio-Signature": signature("canary-twilio-token", url, [])}
    with pytest.raises(UserError, match="the address has no key"):
        pager.read(Given(headers=head, url=url, body=b""))


def test_titles_lose_links_and_marks_and_are_cut_between_words() -> None:
    assert plain("see https://x.example/a <b>now</b>\n{{x}}", 80) == "see b now /b x"
    assert plain("one two three four", 12) == "one two"
    assert plain("很长" * 30, 7) == "很长很长很长很"
    assert spoken(page(title="a.", severity=""), keys=True) == "a。按 1 确认，按 2 升级。"


def test_a_short_key_has_fifteen_plain_characters() -> None:
    made = short_key("INC-1:1:林:1")
    assert len(made.encode()) == 15
    assert made.isalnum()
    assert short_key("INC-1:1:林:2") != made


def test_an_account_in_an_address_cannot_lead_elsewhere() -> None:
    options = {"account_sid": "../../x?y", "from": "+1500"}
    pager = TwilioPager(PagerConfig(name="p", kind="twilio", options=options, secrets={"AUTH_TOKEN": "t"}), keys=False)
    assert pager._calls.startswith("https://api.twilio.com/2010-04-01/Accounts/..%2F..%2Fx%3Fy/Calls")
