"""One hierarchy of errors. Each can explain itself: what happened, where, and what to do.

An error that a person sees is three short parts, never a traceback:

    >>> print(InputError("unknown region 'uss'", where="regions[0]", todo="did you mean 'us'?").explain())
    unknown region 'uss'
      where: regions[0]
      to do: did you mean 'us'?
"""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path


class ExitCode(IntEnum):
    """Exit codes of every command (DESIGN, command line)."""

    DONE = 0
    JOB_UNSUCCESSFUL = 1
    BAD_INPUT = 2
    UNAVAILABLE = 3
    VERIFICATION_FAILED = 4
    LOST_SHARD = 75
    INTERRUPTED = 130


class BeaconError(Exception):
    """Base of all errors that Beacon raises on purpose.

    `what` is a sentence without its full stop; `where` names a field path, file, host or address;
    `todo` says what the reader can do about it.
    """

    exit_code: ExitCode = ExitCode.UNAVAILABLE
    code: str = "error"

    def __init__(self, what: str, *, where: str | None = None, todo: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.todo = todo

    def explain(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.todo:
            lines.append(f"  to do: {self.todo}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.explain()


class InputError(BeaconError):
    """What a person wrote cannot be used: a flag, a spec, a fleet, a question pack."""

    exit_code = ExitCode.BAD_INPUT
    code = "bad_input"


class DocumentError(InputError):
    """A document with one or more faults, each with the path of the offending field.

    `explain` shows the first `shown` of them; `faults` holds all.
    """

    code = "bad_document"
    shown = 20

    def __init__(self, source: str, faults: list[InputError]) -> None:
        self.source = source
        self.faults = faults
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__(f"{source} has {count}")

    def explain(self) -> str:
        lines = [self.what]
        for fault in self.faults[: self.shown]:
            lines.append(f"  {fault.where}: {fault.what}" if fault.where else f"  {fault.what}")
            if fault.todo:
                lines.append(f"    to do: {fault.todo}")
        if len(self.faults) > self.shown:
            lines.append(f"  and {len(self.faults) - self.shown} more")
        return "\n".join(lines)


class NotFoundError(InputError):
    """A job, execution or report that the database does not hold."""

    code = "not_found"


class ConflictError(InputError):
    """The thing exists, but its state forbids what was asked."""

    code = "conflict"


class UnavailableError(BeaconError):
    """A service that is needed could not be reached or used."""

    code = "unavailable"


class DatabaseError(UnavailableError):
    """The job database is locked, full, damaged or away.

    `passing` where the same may succeed later. Whether it was done is known unless its connection broke on the way.
    """

    code = "database"

    def __init__(self, what: str, *, where: str | None = None, todo: str | None = None, passing: bool = False) -> None:
        super().__init__(what, where=where, todo=todo)
        self.passing = passing


class DatabaseTooNewError(InputError):
    """The database was written by a newer Beacon."""

    code = "database_too_new"


class VerificationError(BeaconError):
    """Evidence does not hold."""

    exit_code = ExitCode.VERIFICATION_FAILED
    code = "verification_failed"


_WRONG_NAMES: dict[type[OSError], str] = {
    FileNotFoundError: "its folder does not exist",
    IsADirectoryError: "it is a folder",
    NotADirectoryError: "its folder is no folder",
}


def unwritable(what: str, path: Path, error: OSError) -> BeaconError:
    """Why a file was not written: InputError where its name is wrong, UnavailableError where the system refuses."""
    if reason := _WRONG_NAMES.get(type(error)):
        return InputError(f"{what}: {reason}", where=str(path), todo="name a file in a folder that exists")
    todo = "check the space on the disk and the folder's permissions, or name another place"
    return UnavailableError(f"{what}: {error.strerror or 'the system refused it'}", where=str(path), todo=todo)
