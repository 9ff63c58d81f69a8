"""The vendor of the loopback lab, reached over real TLS from real source addresses."""

from __future__ import annotations

import asyncio
import ssl
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest
from loopback_clients import GUANGZHOU, OFFICE, POD, VM, VM2, call_sms, connect, fetch, outcome, running

from bot.lab.loopback.tc3 import signature
from bot.lab.loopback.world import BUCKET, CONTROLS, SITES, SMS


@pytest.mark.parametrize(
    ("secret", "headers", "expected"),
    [
        (
            "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE",
            [("content-type", "application/json; charset=utf-8"), ("host", "cvm.tencentcloudapi.com")],
            "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168",
        ),
        (
            "*" * 32,
            [
                ("content-type", "application/json; charset=utf-8"),
                ("host", "cvm.tencentcloudapi.com"),
                ("x-tc-action", "DescribeInstances"),
            ],
            "10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f",
        ),
    ],
)
def test_the_signature_is_the_one_the_vendor_publishes(
    secret: str, headers: list[tuple[str, str]], expected: str
) -> None:
    body = b'{"Limit": 1, "Filters": [{"Values": ["\\u672a\\u547d\\u540d"], "Name": "instance-name"}]}'
    given = signature(secret, method="POST", query="", headers=headers, body=body, service="cvm", timestamp=1551113065)
    assert given == expected


async def test_everything_answers_as_the_real_thing_does_in_a_healthy_world(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        assert await call_sms(lab) == (200, "ok")
        assert await call_sms(lab, source=OFFICE) == (200, "ok")
        assert outcome(await fetch(lab, SMS)) == (200, "MissingParameter")
        head = await fetch(lab, BUCKET, method="HEAD")
        assert head.status_code == 403
        assert head.headers["x-cos-request-id"]
        assert b"AccessDenied" in (await fetch(lab, BUCKET)).content
        for host in CONTROLS:
            page = await fetch(lab, host)
            assert page.status_code == 200
            assert parsedate_to_datetime(page.headers["date"])


async def test_the_gateway_refuses_what_is_not_signed_by_the_key_just_now(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        assert await call_sms(lab, secret="another") == (200, "AuthFailure.SignatureFailure")
        assert await call_sms(lab, secret_id="AKIDnobody") == (200, "AuthFailure.SecretIdNotFound")
        assert await call_sms(lab, age_s=301) == (200, "AuthFailure.SignatureExpire")
        assert await call_sms(lab, age_s=-310) == (200, "AuthFailure.SignatureExpire")
        assert await call_sms(lab, age_s=200) == (200, "ok")
        assert await call_sms(lab, action="DeleteEverything") == (200, "InvalidAction")
        unsigned = {"X-TC-Action": "DescribeSmsSignList", "X-TC-Version": "2021-01-11", "X-TC-Timestamp": "1"}
        assert outcome(await fetch(lab, SMS, headers=unsigned)) == (200, "AuthFailure.InvalidAuthorization")


@pytest.mark.parametrize(
    ("fault", "signed", "unsigned"),
    [
        ("permission_revoked", (200, "UnauthorizedOperation"), (200, "MissingParameter")),
        ("credential_invalid", (200, "AuthFailure.SecretIdNotFound"), (200, "MissingParameter")),
        ("vendor_outage_global", (503, "InternalError"), (503, "InternalError")),
    ],
)
async def test_a_fault_of_the_api_shows_everywhere_and_leaves_the_bucket_alone(
    tmp_path: Path, fault: str, signed: tuple[int, str], unsigned: tuple[int, str]
) -> None:
    async with running(tmp_path, fault) as lab:
        for source in (VM, GUANGZHOU):
            assert await call_sms(lab, source=source) == signed
            assert outcome(await fetch(lab, SMS, source=source)) == unsigned
        assert (await fetch(lab, BUCKET, method="HEAD")).status_code == 403
        await lab.lift()
        assert await call_sms(lab) == (200, "ok")


async def test_a_throttled_key_is_served_some_of_the_time(tmp_path: Path) -> None:
    async with running(tmp_path, "vendor_throttled") as lab:
        said = [await call_sms(lab) for _ in range(40)]
        assert 5 < said.count((200, "RequestLimitExceeded")) < 40
        assert said.count((200, "ok")) >= 1
        assert outcome(await fetch(lab, SMS)) == (200, "MissingParameter")


async def test_the_firewall_swallows_one_port_of_one_address_for_one_vpc(tmp_path: Path) -> None:
    async with running(tmp_path, "firewall_block") as lab:
        https, neighbour = lab.world.ports.https, lab.world.ports.neighbour
        blocked = [connect(source, SITES[SMS], https) for source in (VM, POD, VM, POD)]
        assert await asyncio.gather(*blocked) == ["timeout"] * 4
        assert await connect(VM2, SITES[SMS], https) == "connected"
        assert await connect(GUANGZHOU, SITES[SMS], https) == "connected"
        assert await call_sms(lab, source=GUANGZHOU) == (200, "ok")
        assert await connect(VM, SITES[SMS], neighbour) == "connected"
        assert await connect(VM, SITES[BUCKET], https) == "connected"
        await lab.lift()
        assert await call_sms(lab, source=VM) == (200, "ok")
        await lab.set_fault("firewall_block")
        assert await connect(VM, SITES[SMS], https) == "timeout"


async def test_an_expired_certificate_is_shown_to_new_connections_and_only_by_the_sms_api(tmp_path: Path) -> None:
    async with running(tmp_path, "certificate_expired") as lab:
        with pytest.raises(httpx.ConnectError, match="certificate has expired"):
            await fetch(lab, SMS)
        assert (await fetch(lab, BUCKET)).status_code == 403
        trust = ssl.create_default_context(cafile=str(lab.world.ca_file))
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            await asyncio.open_connection(SITES[SMS], lab.world.ports.https, ssl=trust, server_hostname=SMS)
        await lab.lift()
        assert await call_sms(lab) == (200, "ok")


async def test_each_site_shows_a_certificate_for_its_own_name_only(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        trust = ssl.create_default_context(cafile=str(lab.world.ca_file))
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            await asyncio.open_connection(SITES[SMS], lab.world.ports.https, ssl=trust, server_hostname=BUCKET)
        with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
            await asyncio.open_connection(
                SITES[SMS], lab.world.ports.https, ssl=ssl.create_default_context(), server_hostname=SMS
            )
