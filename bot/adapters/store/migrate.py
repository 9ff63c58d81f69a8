"""Bring a database to the present shape, from the migrations that travel with Warroom."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from bot.app.resources import data_folder

if TYPE_CHECKING:
    from alembic.config import Config

# Any number does, as long as every Warroom uses the same: replicas that start together migrate one by one.
_LOCK = 0x57415252


def _config() -> Config:
    # Alembic takes longer to import than the rest of the store; only these two functions need it.
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(data_folder("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def upgrade(connection: Connection) -> None:
    """Run the missing migrations inside the connection's transaction."""
    from alembic import command

    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    if _present(connection) == _head():
        return
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def missing(connection: Connection) -> str | None:
    """What is wrong with the database's shape, in one sentence; None when it is the present one."""
    from alembic.script import ScriptDirectory

    head, present = _head(), _present(connection)
    if present == head:
        return None
    if present is None:
        return "the database has no tables yet; run `warroom db upgrade`"
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if present not in known:
        return f"the database is at {present}, which this Warroom does not know; install the newer Warroom again"
    return f"the database is at {present}, this Warroom needs {head}; run `warroom db upgrade`"


def _present(connection: Connection) -> str | None:
    from alembic.runtime.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


@cache
def _head() -> str | None:
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config()).get_current_head()
