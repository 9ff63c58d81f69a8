"""How soon a command typed in a chat is acknowledged: signed, recorded, and then answered."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles

import httpx

from tests.bench.table import Effort, Row, below
from tests.chat.slack_server import SlackServer, slack_server
from tests.chat.wecom_server import WeComServer
from tests.serving import REPOSITORY, environ, free_port

SLACK_TIMES, SLACK_LIMIT_S = 1.5, 3.0
WECOM_MS, WECOM_LIMIT_S = 20.0, 5.0
AT_ONCE = 100


@contextlib.contextmanager
def serving(toml: str, **secrets: str) -> Iterator[str]:
    """A real `warroom serve` on a SQLite file; its address."""
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        text = f'[server]\nlisten = "127.0.0.1:{port}"\nlanguage = "en"\n[patrol]\nevery = "off"\n{toml}'
        (folder / "warroom.toml").write_text(text)
        with (folder / "serve.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "bot.cli", "serve"], cwd=folder, env=environ(**secrets), stdout=log, stderr=log
            )
        try:
            deadline = time.monotonic() + 60
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if httpx.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200:
                        break
                if time.monotonic() > deadline:
                    raise TimeoutError((folder / "serve.log").read_text())
                time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


@contextlib.contextmanager
def bare(module: str, **env_: str) -> Iterator[str]:
    """The peer's address."""
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), **env_}
    command = [sys.executable, "-m", f"tests.bench.{module}"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


async def _one_by_one(slack: SlackServer, url: str, count: int) -> list[float]:
    """Milliseconds to the acknowledgement of each."""
    slack.events_url = f"{url}/slack/events"
    found = []
    for n in range(count):
        answer = await slack.types("C0OPS", "U0LIN", f"/note line {n}")
        assert answer.status == 200, answer
        found.append(answer.took_s * 1000)
    return found


async def _all_at_once(slack: SlackServer, url: str) -> tuple[float, int]:
    """Seconds until the last of a hundred was acknowledged, and how many were."""
    slack.events_url = f"{url}/slack/events"
    answers = await asyncio.gather(*(slack.types("C0OPS", "U0LIN", f"/note at once {n}") for n in range(AT_ONCE)))
    return max(a.took_s for a in answers), sum(a.status == 200 for a in answers)


async def _measure(effort: Effort) -> tuple[list[float], list[float], tuple[float, int], tuple[float, int]]:
    count = 60 if effort.rounds > 1 else 5
    ours: list[float] = []
    peer: list[float] = []
    async with slack_server(mode="http", strict_rate=False) as slack:
        secrets = {"WARROOM_SLACK_BOT_TOKEN": slack.bot_token, "WARROOM_SLACK_SIGNING_SECRET": slack.signing_secret}
        toml = f'[slack]\nmode = "http"\napi_url = "{slack.url}"\n'
        with contextlib.ExitStack() as stack:
            # Starting them blocks, and the bot asks Slack nothing before it serves.
            bot = await asyncio.to_thread(stack.enter_context, serving(toml, **secrets))
            bolt = await asyncio.to_thread(stack.enter_context, bare("bare_bolt", SECRET=slack.signing_secret))
            await _one_by_one(slack, bot, 3)
            await _one_by_one(slack, bolt, 3)
            for _ in range(effort.rounds):
                ours += await _one_by_one(slack, bot, count)
                peer += await _one_by_one(slack, bolt, count)
            return ours, peer, await _all_at_once(slack, bot), await _all_at_once(slack, bolt)


def slack(effort: Effort) -> Iterable[Row]:
    """A slash command beside a bare Bolt handler, and a hundred at once."""
    ours, peer, together, theirs = asyncio.run(_measure(effort))
    ratio = _p99(ours) / _p99(peer)
    yield Row(
        row="Slack command to acknowledgement: p99",
        unit="ms",
        ours=float(f"{_p99(ours):.3g}"),
        peer=float(f"{_p99(peer):.3g}"),
        peer_name="bare Bolt handler",
        ratio=float(f"{ratio:.3g}"),
        goal=f"<= {SLACK_TIMES:g} x peer",
        met=ratio <= SLACK_TIMES,
        note=f"signed and recorded; median {median(ours):.3g} ms (peer {median(peer):.3g}), {len(ours)} commands",
    )
    yield below(
        f"{AT_ONCE} Slack commands at once: the last acknowledgement",
        together[0],
        SLACK_LIMIT_S,
        unit="s",
        peer=theirs[0],
        peer_name="bare Bolt handler",
        note=f"{together[1]} of {AT_ONCE} acknowledged, {theirs[1]} by the peer",
    )


async def _wecom_calls(wecom: WeComServer, url: str, texts: Sequence[str]) -> tuple[list[float], int]:
    """Milliseconds to each answer of a callback, and how many were taken."""
    wecom.caller.base = url
    before = len(wecom.caller.answered)
    for text in texts:
        await wecom.types("wecom:app/lin", "lin", text)
    done = wecom.caller.answered[before:]
    return [took * 1000 for _, _, took in done], sum(status == 200 for _, status, _ in done)


async def _wecom_at_once(wecom: WeComServer, url: str) -> tuple[float, int]:
    wecom.caller.base = url
    before = len(wecom.caller.answered)
    await asyncio.gather(*(wecom.types("wecom:app/lin", "lin", f"/note at once {n}") for n in range(AT_ONCE)))
    done = wecom.caller.answered[before:]
    return max(took for _, _, took in done), sum(status == 200 for _, status, _ in done)


async def _measure_wecom(effort: Effort) -> tuple[list[float], list[float], tuple[float, int], tuple[float, int]]:
    count = 60 if effort.rounds > 1 else 5
    ours: list[float] = []
    peer: list[float] = []
    async with WeComServer() as wecom:
        app = wecom.settings().app
        assert app is not None
        keys = {"WARROOM_WECOM_SECRET": app.secret, "WARROOM_WECOM_TOKEN": app.token}
        toml = f'[wecom]\ncorp_id = "{app.corp_id}"\nagent_id = {app.agent_id}\napi_url = "{wecom.api_url}"\n'
        theirs = {"TOKEN": app.token, "AES_KEY": app.aes_key, "CORP_ID": app.corp_id}
        with contextlib.ExitStack() as stack:
            bot = await asyncio.to_thread(stack.enter_context, serving(toml, **keys, WARROOM_WECOM_AES_KEY=app.aes_key))
            plain = await asyncio.to_thread(stack.enter_context, bare("bare_wechatpy", **theirs))
            for url in (bot, plain):
                await _wecom_calls(wecom, url, ["/note warm"] * 3)
            for _ in range(effort.rounds):
                for url, found in ((bot, ours), (plain, peer)):
                    took, taken = await _wecom_calls(wecom, url, [f"/note line {n}" for n in range(count)])
                    assert taken == count
                    found += took
            return ours, peer, await _wecom_at_once(wecom, bot), await _wecom_at_once(wecom, plain)


def wecom(effort: Effort) -> Iterable[Row]:
    """A message to WeCom's application beside a bare callback by wechatpy, and a hundred at once."""
    ours, peer, together, theirs = asyncio.run(_measure_wecom(effort))
    yield below(
        "WeCom command to acknowledgement: p99",
        _p99(ours),
        WECOM_MS,
        unit="ms",
        peer=_p99(peer),
        peer_name="bare wechatpy callback",
        note=f"decrypted and recorded; median {median(ours):.3g} ms (peer {median(peer):.3g}), {len(ours)} commands",
    )
    yield below(
        f"{AT_ONCE} WeCom commands at once: the last acknowledgement",
        together[0],
        WECOM_LIMIT_S,
        unit="s",
        peer=theirs[0],
        peer_name="bare wechatpy callback",
        note=f"{together[1]} of {AT_ONCE} acknowledged, {theirs[1]} by the peer",
    )


def _p99(values: list[float]) -> float:
    return quantiles(values, n=100, method="inclusive")[98] if len(values) > 1 else values[0]
