"""Fakes that implement the ports; they ship with the product so that plugins can be tested with them too."""

from bot.testing.agents import ScriptedAgents
from bot.testing.chat import FakeChat, Put
from bot.testing.clock import FixedClock
from bot.testing.door import TokenDoor
from bot.testing.pager import FakePager

__all__ = ["FakeChat", "FakePager", "FixedClock", "Put", "ScriptedAgents", "TokenDoor"]
