"""Alembic's environment: migrates over the connection that `run.upgrade` hands in."""

from __future__ import annotations

from alembic import context

from beacon.store.migrations.run import is_beacons_own
from beacon.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    include_name=is_beacons_own,
    transactional_ddl=True,
    render_as_batch=True,
)
context.run_migrations()
