"""Where a command writes what others read: stdout, or a file that appears whole or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from beacon.errors import unwritable


@contextmanager
def sink(output: Path | None) -> Iterator[TextIO]:
    """stdout, or a file that appears under its name only once it is whole.

    Raises InputError where no file can have that name, UnavailableError where the system refuses it.
    """
    if output is None:
        yield sys.stdout
        return
    try:
        handle, name = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
        try:
            with open(handle, "w", encoding="utf-8", newline="") as file:
                yield file
            os.replace(name, output)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(f"cannot write {output}", output, error) from error
