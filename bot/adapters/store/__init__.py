"""The database: SQLite in one file, or PostgreSQL for several bots at once."""

from bot.adapters.store.store import SqlStore

__all__ = ["SqlStore"]
