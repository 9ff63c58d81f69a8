"""The loopback lab as a whole: its folder, its switches, its phone, and that nothing of it stays behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from loopback_clients import running
from ruamel.yaml import YAML
from standardwebhooks import Webhook
from starlette.applications import Starlette

from bot.lab.loopback.control import LabError, LoopbackLab, agent_command
from bot.lab.loopback.faults import FAULTS
from bot.lab.loopback.http1 import Request, Response, listen
from bot.lab.loopback.panel import lab_routes
from bot.lab.loopback.phone import Phone
from bot.lab.loopback.playbooks import shipped_playbooks
from bot.lab.loopback.world import World, free_ports

pytestmark = pytest.mark.alone
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def test_the_folder_holds_what_agents_and_bot_need_and_keeps_secrets_private(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        world, ports = lab.world, lab.world.ports
        assert World.load(world.folder) == world
        assert (world.folder / "secrets.json").stat().st_mode & 0o077 == 0
        vm = YAML(typ="safe").load(world.policy("shanghai-vm"))
        assert vm["source"] == "127.10.2.5"
        assert vm["resolvers"]["vpc"] == [f"127.10.0.2:{ports.dns}"]
        assert (world.policy("shanghai-vm").parent / vm["tls"]["ca_file"]).resolve() == world.ca_file
        assert (world.policy("shanghai-vm").parent / vm["query_log"]["path"]).is_file()
        assert "vpc" not in YAML(typ="safe").load(world.policy("office"))["resolvers"]


async def test_playbooks_get_ports_and_nothing_else(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        text = (lab.playbooks / "sms.yaml").read_text()
        https, neighbour = lab.world.ports.https, lab.world.ports.neighbour
        assert f"api: https://sms.tencentcloudapi.com:{https}," in text
        assert f"other: http://plain.example:{neighbour}/x" in text
        assert f"[https://www.qq.com:{https}, https://www.gov.cn:8443/]" in text
        assert f"ports: [{neighbour}]" in text
        assert "signed: [no, yes]" in text
        assert "# kept" in text
        assert "183.60.83.19" not in text
        assert (lab.playbooks / "hypotheses" / "x.yaml").read_text() == "id: x\n"


async def test_the_shipped_playbooks_can_be_moved_into_the_lab(tmp_path: Path) -> None:
    async with LoopbackLab(tmp_path / "lab") as lab:
        shipped = {path.name for path in shipped_playbooks().glob("*.yaml")}
        assert {"sms.yaml", "cos.yaml"} <= shipped
        for name in shipped:
            before = YAML(typ="safe").load(shipped_playbooks() / name)
            after = YAML(typ="safe").load(lab.playbooks / name)
            assert set(before) - {"resolvers"} == set(after)


async def test_faults_are_switched_by_name_and_lifted(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        menu = (await lab.state())["faults"]
        assert [row["id"] for row in menu] == list(FAULTS)
        assert all(row["title"]["zh"] and row["title"]["en"] for row in menu)
        for name in FAULTS:
            state = await lab.set_fault(name)
            assert (state["fault"], state["active"]) == (name, name != "healthy")
        state = await lab.lift()
        assert (state["fault"], state["active"]) == (None, False)
        with pytest.raises(LabError, match="earthquake"):
            await lab.set_fault("earthquake")


async def test_the_control_api_wants_its_token(tmp_path: Path) -> None:
    async with running(tmp_path) as lab, httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"{lab.world.control_url}/lift", headers={"Authorization": "Bearer guess"})
        assert answer.status_code == 401


async def test_the_panel_offers_the_same_switches_over_http(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        transport = httpx.ASGITransport(app=Starlette(routes=lab_routes(lab)))
        async with httpx.AsyncClient(transport=transport, base_url="http://console") as client:
            assert (await client.get("/lab/state")).json()["fault"] == "healthy"
            answer = await client.post("/lab/fault", json={"name": "permission_revoked"})
            assert answer.json()["active"] is True
            assert (await client.post("/lab/lift")).json()["active"] is False
            unknown = await client.post("/lab/fault", json={"name": "earthquake"})
            assert (unknown.status_code, unknown.json()["error"]["zh"]) == (404, "没有这一项")
            assert (await client.post("/lab/fault", content=b"{")).status_code == 400
            assert (await client.post("/lab/phone", json={"key": "k", "digits": "1"})).status_code == 409
            await lab.stop()
            # a stopped lab is said to be away, not an error of the console
            assert (await client.get("/lab/state")).status_code == 503


def signed(secret: str, page: dict[str, Any], *, key: str) -> dict[str, Any]:
    """The keyword arguments of a signed POST."""
    body, now = json.dumps(page), datetime.now(UTC)
    headers = {
        "webhook-id": key,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(key, now, body),
        "idempotency-key": key,
    }
    return {"content": body, "headers": headers}


def a_page(callback_url: str = "") -> dict[str, Any]:
    return {
        "key": "INC-1:1:lin:1",
        "title": "短信不可用",
        "text": "SMS is down",
        "person": {"name": "lin", "phone": "+8613800000000"},
        "callback_url": callback_url,
    }


async def test_a_page_rings_once_per_key_and_pressed_keys_come_back_signed(tmp_path: Path) -> None:
    heard: list[tuple[str, str]] = []

    async def hub(request: Request) -> Response:
        told = Webhook(lab.secrets.phone).verify(request.body, dict(request.headers))
        heard.append((told["status"], told["digits"]))
        return Response(status=204)

    async with running(tmp_path) as lab, httpx.AsyncClient(trust_env=False) as client:
        server = await listen(hub, address="127.0.0.1", port=0, tls=None)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks/phone/lab"
        for _ in range(3):
            post = signed(lab.secrets.phone, a_page(url), key="INC-1:1:lin:1")
            assert (await client.post(lab.world.phone_url, **post)).status_code == 202
        calls = (await lab.state())["phone"]["calls"]
        assert [(c["key"], c["person"], c["state"]) for c in calls] == [("INC-1:1:lin:1", "lin", "ringing")]
        await lab.press("INC-1:1:lin:1", "1")
        with pytest.raises(LabError, match="not ringing"):
            await lab.press("INC-1:1:lin:1", "1")
        async with asyncio.timeout(5):
            while len(heard) < 2:
                await asyncio.sleep(0.02)
        assert heard == [("answered", "1"), ("completed", "1")]
        server.close()


async def test_a_page_with_a_wrong_signature_or_shape_does_not_ring(tmp_path: Path) -> None:
    async with running(tmp_path) as lab, httpx.AsyncClient(trust_env=False) as client:
        forged = signed(SECRET, a_page(), key="k")
        assert (await client.post(lab.world.phone_url, **forged)).status_code == 401
        empty = signed(lab.secrets.phone, {}, key="k")
        assert (await client.post(lab.world.phone_url, **empty)).status_code == 400
        assert (await lab.state())["phone"]["calls"] == []


async def test_a_call_nobody_takes_reports_no_answer() -> None:
    heard: asyncio.Queue[str] = asyncio.Queue()

    async def hub(request: Request) -> Response:
        heard.put_nowait(json.loads(request.body)["status"])
        return Response(status=204)

    server = await listen(hub, address="127.0.0.1", port=0, tls=None)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    phone = Phone(SECRET, ring_s=0.2)
    post = signed(SECRET, a_page(url), key="k")
    page = Request(method="POST", path="/calls", query="", headers=post["headers"], body=post["content"].encode())
    assert (await phone(page)).status == 202
    async with asyncio.timeout(5):
        assert await heard.get() == "no_answer"
    assert phone.calls()[0].state == "no_answer"
    await phone.close()
    server.close()


def test_agents_are_started_the_way_an_operator_would(tmp_path: Path) -> None:
    world = World(folder=tmp_path, ports=free_ports())
    lines = [" ".join(agent_command(world, place, "ws://127.0.0.1:8800")[2:]) for place in world.agents]
    assert lines[0] == (
        "bot.cli agent --hub ws://127.0.0.1:8800 --name shanghai-pod --region shanghai --vantage pod --env prod "
        f"--vpc vpc-prod --cluster tke-prod --policy {tmp_path}/agents/shanghai-pod.yaml"
    )
    assert "--name office --region office --vantage outside --env prod --policy" in lines[4]


PARENT = """
import asyncio, sys
from pathlib import Path
from bot.lab.loopback.control import LoopbackLab

async def main():
    async with LoopbackLab(Path(sys.argv[1]), playbooks=Path(sys.argv[2])) as lab:
        await lab.set_fault("vpc_dns_rate_limited")
        await lab.start_agents("ws://127.0.0.1:9", "token")
        print("UP", flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""


def family(folder: Path) -> list[int]:
    """Processes of this lab that are alive, by its folder or, for the crawler, by its port."""
    port = json.loads((folder / "world.json").read_text())["ports"]["dns"]
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and int(entry.name) != os.getpid():
            try:
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if "-m bot." in line and (str(folder) in line or ("crawler" in line and f" {port} " in line)):
                found.append(int(entry.name))
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
async def test_nothing_is_left_behind_however_the_parent_ends(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "playbooks").mkdir()
    folder = tmp_path / "lab"
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT, str(folder), str(tmp_path / "playbooks")),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert parent.stdout
    async with asyncio.timeout(20):
        assert await parent.stdout.readline() == b"UP\n"
    assert len(family(folder)) >= 2
    parent.send_signal(number)
    await parent.wait()
    async with asyncio.timeout(5):
        while family(folder):
            await asyncio.sleep(0.05)


async def test_a_leashed_program_dies_with_the_process_that_started_it() -> None:
    script = (
        "import subprocess, time; from bot.lab.loopback.leash import leashed; "
        "print(subprocess.Popen(leashed(['/bin/sleep', '60'])).pid, flush=True); time.sleep(60)"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout
    child = Path("/proc") / (await parent.stdout.readline()).decode().strip()
    async with asyncio.timeout(5):
        while b"sleep" not in (child / "cmdline").read_bytes().partition(b"\0")[0]:
            await asyncio.sleep(0.02)
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(5):
        while child.exists() and "State:\tZ" not in (child / "status").read_text():
            await asyncio.sleep(0.02)


async def test_servers_that_cannot_bind_say_so(tmp_path: Path) -> None:
    async with running(tmp_path) as lab:
        second = LoopbackLab(tmp_path / "second", playbooks=tmp_path / "shipped")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("bot.lab.loopback.control.free_ports", lambda: lab.world.ports)
            with pytest.raises(LabError, match=r"[Aa]ddress already in use"):
                async with second:
                    pass
        assert await lab.state()
