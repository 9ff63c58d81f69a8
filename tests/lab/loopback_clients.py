"""What the tests of the loopback lab knock on its doors with: ordinary clients with a source address."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.exception
import dns.message
import dns.rcode
import httpx

from bot.lab.loopback.control import LoopbackLab
from bot.lab.loopback.tc3 import signature
from bot.lab.loopback.world import SITES, SMS

POD, VM, VM2, GUANGZHOU, OFFICE = "127.10.1.5", "127.10.2.5", "127.11.2.5", "127.20.2.5", "127.30.2.5"
CLUSTER_DNS, VPC_DNS, TOOLS_DNS, PUBLIC_DNS = "127.10.0.10", "127.10.0.2", "127.11.0.2", "127.119.29.29"
PLAYBOOK = """
playbook: sms  # kept
targets: {api: https://sms.tencentcloudapi.com, other: http://plain.example/x}
controls: [https://www.qq.com, https://www.gov.cn:8443/]
resolvers: {vpc: [183.60.83.19]}
probe:
  - tcp: {to: api, ports: [80]}
  - api: {signed: [no, yes]}
"""


@asynccontextmanager
async def running(folder: Path, fault: str = "healthy") -> AsyncIterator[LoopbackLab]:
    """A lab with one small playbook and a fault switched on."""
    playbooks = folder / "shipped"
    (playbooks / "hypotheses").mkdir(parents=True)
    (playbooks / "sms.yaml").write_text(PLAYBOOK)
    (playbooks / "hypotheses" / "x.yaml").write_text("id: x\n")
    async with LoopbackLab(folder / "lab", playbooks=playbooks) as lab:
        await lab.set_fault(fault)
        yield lab


async def dig(
    lab: LoopbackLab, server: str, name: str, *, source: str, tcp: bool = False, timeout: float = 1.0, kind: str = "A"
) -> str:
    """An address, "NODATA", an rcode, or "timeout"."""
    ask = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
    query = dns.message.make_query(name, kind)
    try:
        reply = await ask(query, server, timeout=timeout, port=lab.world.ports.dns, source=source)
    except dns.exception.Timeout:
        return "timeout"
    if reply.rcode():
        return dns.rcode.to_text(reply.rcode())
    return str(reply.answer[0][0]) if reply.answer else "NODATA"


async def success_rate(lab: LoopbackLab, server: str, *, source: str, tries: int = 60, tcp: bool = False) -> float:
    """The share of spaced queries for one external name that are answered with its address."""

    async def one(number: int) -> bool:
        await asyncio.sleep(number * 0.03)
        return await dig(lab, server, SMS, source=source, tcp=tcp, timeout=0.5) == SITES[SMS]

    return sum(await asyncio.gather(*(one(n) for n in range(tries)))) / tries


async def connect(source: str, address: str, port: int, *, timeout: float = 1.2) -> str:
    """ "connected", "timeout" or "refused"."""
    try:
        async with asyncio.timeout(timeout):
            _, writer = await asyncio.open_connection(address, port, local_addr=(source, 0))
    except TimeoutError:
        return "timeout"
    except ConnectionRefusedError:
        return "refused"
    writer.close()
    return "connected"


async def fetch(
    lab: LoopbackLab,
    host: str,
    *,
    source: str = VM,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
) -> httpx.Response:
    """One HTTPS request to a site of the lab, its certificate checked, without DNS."""
    trust = ssl.create_default_context(cafile=str(lab.world.ca_file))
    transport = httpx.AsyncHTTPTransport(verify=trust, local_address=source)
    async with httpx.AsyncClient(transport=transport, timeout=3) as client:
        return await client.request(
            method,
            f"https://{SITES[host]}:{lab.world.ports.https}/",
            headers={"Host": host, **(headers or {})},
            content=body,
            extensions={"sni_hostname": host},
        )


async def call_sms(
    lab: LoopbackLab,
    *,
    secret_id: str | None = None,
    secret: str | None = None,
    age_s: int = 0,
    action: str = "DescribeSmsSignList",
    source: str = VM,
) -> tuple[int, str]:
    """A signed call; returns (HTTP status, error code or "ok")."""
    stamp = int(time.time()) - age_s
    day = time.strftime("%Y-%m-%d", time.gmtime(stamp))
    body = json.dumps({"International": 0, "SignIdSet": []}).encode()
    signed = signature(
        secret or lab.secrets.tencent_key,
        method="POST",
        query="",
        headers=[("content-type", "application/json"), ("host", SMS)],
        body=body,
        service="sms",
        timestamp=stamp,
    )
    headers = {
        "Content-Type": "application/json",
        "X-TC-Action": action,
        "X-TC-Version": "2021-01-11",
        "X-TC-Timestamp": str(stamp),
        "Authorization": f"TC3-HMAC-SHA256 Credential={secret_id or lab.secrets.tencent_id}/{day}/sms/tc3_request, "
        f"SignedHeaders=content-type;host, Signature={signed}",
    }
    return outcome(await fetch(lab, SMS, source=source, method="POST", headers=headers, body=body))


def outcome(response: httpx.Response) -> tuple[int, str]:
    """(HTTP status, vendor error code or "ok")."""
    content: dict[str, Any] = response.json()["Response"]
    assert content["RequestId"]
    return response.status_code, content.get("Error", {}).get("Code", "ok")
