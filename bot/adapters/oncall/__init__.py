"""Who can be asked, from YAML files and calendars."""

from bot.adapters.oncall.feed import Feeds, routes
from bot.adapters.oncall.files import Loaded, load, load_files, read
from bot.adapters.oncall.model import schema
from bot.adapters.oncall.source import Base

__all__ = ["Base", "Feeds", "Loaded", "load", "load_files", "read", "routes", "schema"]
