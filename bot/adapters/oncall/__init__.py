"""Who can be asked, from YAML files and calendars."""

from bot.adapters.oncall.files import Loaded, load, load_files, read
from bot.adapters.oncall.ical import EXPORTED, write_shifts
from bot.adapters.oncall.model import schema
from bot.adapters.oncall.source import Base

__all__ = ["EXPORTED", "Base", "Loaded", "load", "load_files", "read", "schema", "write_shifts"]
