"""Where a command writes what others read: stdout, or a file that appears whole or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from beacon.errors import UnavailableError


@contextmanager
def sink(output: Path | None) -> Iterator[TextIO]:
    """stdout, or a file that appears under its name only once it is whole.

    Raises UnavailableError where the file cannot be written.
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


def unwritable(what: str, path: Path, error: OSError) -> UnavailableError:
    """Says whether the name is wrong or the disk is."""
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        reason, todo = _WRONG_NAMES[type(error)], "name a file in a folder that exists"
    else:
        reason = error.strerror or "the system refused it"
        todo = "check the space on the disk and the folder's permissions, or name another place"
    return UnavailableError(f"{what}: {reason}", where=str(path), todo=todo)


_WRONG_NAMES: dict[type[OSError], str] = {
    FileNotFoundError: "its folder does not exist",
    IsADirectoryError: "it is a folder",
    NotADirectoryError: "its folder is no folder",
}
