"""Where a command writes what others read: stdout, or a file that appears whole or not at all."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from beacon.errors import BeaconError, InputError, UnavailableError


@contextmanager
def sink(output: Path | None) -> Iterator[TextIO]:
    """stdout, or a file that appears under its name only once it is whole.

    Raises InputError where the name cannot be that of a file, UnavailableError where the file cannot be written.
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


def unwritable(what: str, path: Path, error: OSError) -> BeaconError:
    """A wrong name is the caller's to correct; a full disk or a missing right is not in the name."""
    if isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError):
        return InputError(
            f"{what}: {_REASONS[type(error)]}", where=str(path), todo="name a file in a folder that exists"
        )
    todo = "check the space on the disk and the folder's permissions, or name another place"
    return UnavailableError(f"{what}: {error.strerror}", where=str(path), todo=todo)


_REASONS: dict[type[OSError], str] = {
    FileNotFoundError: "its folder does not exist",
    IsADirectoryError: "it is a folder",
    NotADirectoryError: "its folder is no folder",
}
