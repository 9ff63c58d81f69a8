"""Alembic's entry: runs inside the transaction that `SqlStore.upgrade` has opened."""

from __future__ import annotations

from alembic import context

from bot.adapters.store.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise SystemExit("run `warroom db upgrade`; it brings the connection these migrations need")
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
context.run_migrations()
