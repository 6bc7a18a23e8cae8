"""The spool: ended attempts that wait until the database is there, in memory and in a file that outlives the process.

What a provider without a result store has answered exists nowhere else. Each process writes a file of its own and
holds a lock on it; a file whose lock nobody holds was left behind, and is handed in by whoever finds it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog

from beacon.runner.spooled import Spooled, line_of, read_lines
from beacon.store.group import Finish

log = structlog.get_logger()

MOST_BYTES = 256 * 2**20
"""A file grows no larger. What ends then is held in memory alone, which is said; nothing new is sent meanwhile."""
SUFFIX = ".spool"


class Spool:
    """What this process has not recorded yet. Without a `folder` it is held in memory alone.

    `kept` counts all that ever waited.
    """

    def __init__(self, folder: Path | None = None, *, most_bytes: int = MOST_BYTES) -> None:
        self.folder = folder
        self.kept = 0
        self._most_bytes = most_bytes
        self._held: dict[str, Spooled] = {}
        self._file: _File | None = None
        self._writing = asyncio.Lock()
        self._complained = False

    def __len__(self) -> int:
        return len(self._held)

    def of(self, job_id: str) -> list[Finish]:
        """What waits of one job, oldest first."""
        return [spooled.finish for spooled in self._held.values() if spooled.job_id == job_id]

    async def keep(self, job_id: str, finishes: Sequence[Finish]) -> None:
        """Returns once those that are ends of attempts are on the disk, or the log says why they are not."""
        fresh = [Spooled(job_id, f) for f in finishes if f.attempt_id is not None and f.attempt_id not in self._held]
        if not fresh:
            return
        self.kept += len(fresh)
        self._held |= {spooled.finish.attempt_id or "": spooled for spooled in fresh}
        if self.folder is None:
            return
        async with self._writing:
            # What was recorded meanwhile need not be written any more.
            lines = b"".join(line_of(spooled) for spooled in fresh if spooled.finish.attempt_id in self._held)
            if lines:
                await asyncio.get_running_loop().run_in_executor(None, self._write, self.folder, lines)

    def _write(self, folder: Path, lines: bytes) -> None:
        try:
            if self._file is None:
                self._file = _File.new(folder)
            if self._file.size + len(lines) > self._most_bytes:
                self._complain(f"the spool has its most, {self._most_bytes:,} bytes")
                return
            self._file.append(lines)
        except OSError as error:
            self._complain(f"the spool cannot be written: {error.strerror}")

    def _complain(self, why: str) -> None:
        if not self._complained:
            self._complained = True
            todo = "do not end this process before the database is back, or let it write there"
            log.error("outcomes wait in memory alone", why=why, where=str(self.folder), todo=todo)

    def settle(self, finishes: Sequence[Finish]) -> None:
        """These are recorded; once all are, the file is emptied."""
        if not self._held:
            return
        for finish in finishes:
            self._held.pop(finish.attempt_id or "", None)
        if not self._held and not self._writing.locked():
            self._complained = False
            if self._file is not None:
                self._file.empty()

    def close(self) -> None:
        """Leaves the file behind where something in it still waits."""
        if self._file is not None:
            self._file.close(remove=not self._held)
            self._file = None


class _File:
    """A spool file of this process, locked for as long as it is open."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.size = 0
        self._descriptor = descriptor

    @classmethod
    def new(cls, folder: Path) -> _File:
        """Raises OSError."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = secrets.token_hex(8)
        # Locked before it has the name under which others look for what was left behind.
        unnamed, path = folder / f"{name}.new", folder / f"{name}{SUFFIX}"
        descriptor = os.open(unnamed, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unnamed.rename(path)
            _sync_folder(folder)
        except OSError:
            os.close(descriptor)
            unnamed.unlink(missing_ok=True)
            raise
        return cls(path, descriptor)

    def append(self, lines: bytes) -> None:
        """All of the lines, or none: raises OSError then."""
        try:
            left = memoryview(lines)
            while left:
                left = left[os.write(self._descriptor, left) :]
            os.fsync(self._descriptor)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(lines)

    def empty(self) -> None:
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            self.size = 0

    def close(self, *, remove: bool) -> None:
        if remove:
            self.path.unlink(missing_ok=True)
        os.close(self._descriptor)


class LeftBehind:
    """A spool file whose process has ended, in the hands of this one."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        self.path = path
        self.found, self.damaged = read_lines(path.read_bytes())

    def remove(self) -> None:
        """What could not be read stays, under another name."""
        if self.damaged:
            self.path.rename(self.path.with_suffix(".damaged"))
        else:
            self.path.unlink(missing_ok=True)


@contextmanager
def left_behind(path: Path) -> Iterator[LeftBehind | None]:
    """The file for as long as this is open; None where its process lives, another one has it, or it is gone."""
    descriptor = _locked(path)
    if descriptor is None:
        yield None
        return
    try:
        yield LeftBehind(path)
    finally:
        os.close(descriptor)


def _locked(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever had the lock before may have handed it in and removed it.
        if os.fstat(descriptor).st_nlink:
            return descriptor
    os.close(descriptor)
    return None


def spool_files(folder: Path) -> list[Path]:
    """Those of living processes too, oldest name first."""
    return sorted(folder.glob(f"*{SUFFIX}"))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
