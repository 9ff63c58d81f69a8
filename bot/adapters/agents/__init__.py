"""The hub: agents dial in, over WebSocket or NATS, and one desk asks them and believes their answers."""

from bot.adapters.agents.desk import AgentDesk
from bot.adapters.agents.link import Link, LinkBroken
from bot.adapters.agents.websocket import websocket_routes

__all__ = ["AgentDesk", "Link", "LinkBroken", "websocket_routes"]
