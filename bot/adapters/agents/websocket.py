"""Agents that dial in over WebSocket, on the bot's own port."""

from __future__ import annotations

import contextlib

from starlette.routing import BaseRoute, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from bot.adapters.agents.desk import AgentDesk
from bot.adapters.agents.link import LinkBroken
from bot.domain.errors import FrameError

PATH = "/agents/connect"


def websocket_routes(desk: AgentDesk) -> list[BaseRoute]:
    """What the web server mounts."""

    async def connect(socket: WebSocket) -> None:
        await socket.accept()
        await desk.receive(_Socket(socket))

    return [WebSocketRoute(PATH, connect)]


class _Socket:
    """A Link over one WebSocket, which notices by itself when the other side is gone."""

    beat_s = 0.0

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket

    @property
    def where(self) -> str:
        return self._socket.client.host if self._socket.client else "?"

    async def send(self, text: str) -> None:
        try:
            await self._socket.send_text(text)
        except (WebSocketDisconnect, RuntimeError, OSError) as exc:
            raise LinkBroken("connection broke while sending") from exc

    async def receive(self) -> str:
        try:
            message = await self._socket.receive()
        except (WebSocketDisconnect, RuntimeError) as exc:
            raise LinkBroken("connection closed") from exc
        if message["type"] == "websocket.disconnect":
            raise LinkBroken("connection closed")
        text = message.get("text")
        if not isinstance(text, str):
            raise FrameError("frames are text; a binary one came")
        return text

    async def close(self, code: int) -> None:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect, OSError):
            await self._socket.close(code)
