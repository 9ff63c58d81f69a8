"""The process that is the world: `python -m bot.lab.loopback.serve FOLDER PARENT`.

Prints one line "READY {json}" when everything is bound, then obeys a small HTTP API on loopback
(`Authorization: Bearer TOKEN`): GET /state, POST /fault {"name"}, POST /lift, POST /phone {"key", "digits"}.
Each answers with the state. Ends with its parent, or by SIGTERM.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bot.lab.loopback.http1 import Request, Response, listen
from bot.lab.loopback.leash import hold
from bot.lab.loopback.phone import NotRinging
from bot.lab.loopback.servers import Servers
from bot.lab.loopback.world import Secrets, World


class Control:
    """The HTTP API over the servers."""

    def __init__(self, servers: Servers, token: str) -> None:
        self._servers = servers
        self._expected = f"Bearer {token}"

    async def __call__(self, request: Request) -> Response:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), self._expected.encode()):
            return _json(401, {"error": "unauthorized"})
        try:
            await self._obey(request.method, request.path, json.loads(request.body or b"{}"))
        except LookupError as exc:
            return _json(404, {"error": f"unknown: {exc.args[0] if exc.args else request.path}"})
        except NotRinging as exc:
            return _json(409, {"error": f"not ringing: {exc}"})
        except (ValueError, TypeError) as exc:
            return _json(400, {"error": str(exc)})
        return _json(200, self._servers.state())

    async def _obey(self, method: str, path: str, given: Mapping[str, Any]) -> None:
        match method, path:
            case "GET", "/state":
                return
            case "POST", "/fault":
                await self._servers.apply(str(given["name"]))
            case "POST", "/lift":
                await self._servers.apply(None)
            case "POST", "/phone":
                self._servers.phone.press(str(given["key"]), str(given.get("digits") or ""))
            case _:
                raise LookupError(path)


def _json(status: int, content: Mapping[str, Any]) -> Response:
    return Response(status=status, headers={"Content-Type": "application/json"}, body=json.dumps(content).encode())


async def _run(folder: Path) -> None:
    world, secrets = World.load(folder), Secrets.load(folder)
    servers = Servers(world, secrets)
    ended = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, ended.set)
    try:
        await servers.start()
        control = Control(servers, secrets.control)
        api = await listen(control, address="127.0.0.1", port=world.ports.control, tls=None)
        ready = {"control": world.control_url, "phone": world.phone_url, "pid": os.getpid()}
        sys.stdout.write(f"READY {json.dumps(ready)}\n")
        sys.stdout.flush()
        await ended.wait()
        api.close()
    finally:
        await servers.close()


def main(argv: list[str]) -> int:
    """Run until ended; 1 when something could not be bound."""
    hold(int(argv[2]))
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    try:
        asyncio.run(_run(Path(argv[1])))
    except OSError as exc:
        sys.stderr.write(f"the lab cannot start: {exc}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
