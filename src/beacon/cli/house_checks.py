"""What of this installation must be right before a job can run: database, signing key, log of seals."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

from beacon.cli.settings import database_file
from beacon.domain.check import Check, Level, error, of_error, ok, warning
from beacon.domain.clock import SystemClock
from beacon.errors import BeaconError
from beacon.provenance.keys import default_key_path, load
from beacon.provenance.log import TransparencyLog, default_log_path
from beacon.runner.owner import is_dead
from beacon.store import leases
from beacon.store.database import open_database, revision_of
from beacon.store.migrate import REVISIONS
from beacon.store.workers import listed, unserved

MOST_TOLD = 3


async def check_house(url: str) -> list[Check]:
    """Nothing is made or migrated. Raises nothing."""
    database = await _database(url)
    workers = [] if database_file(url) is not None or database.level is not Level.OK else [await _workers(url)]
    return [database, *workers, *_evidence(default_key_path(), default_log_path())]


async def _workers(url: str) -> Check:
    """Who drives the jobs of a database that many processes share."""
    database = await open_database(url)
    try:
        dead = [owner for owner in await database.read(leases.owners) if is_dead(owner)]
        known = await database.read(listed, SystemClock().wall(), dead)
        lacking = await database.read(unserved, SystemClock().wall(), dead)
    finally:
        await database.close()
    living = [worker for worker in known if worker.alive]
    if not living:
        todo = "start `beacon worker`, unless `beacon serve` or `beacon run` is to drive the jobs itself"
        return warning("workers", "no worker is alive", todo)
    if lacking:
        what = "; ".join(f"job {one.job_id} waits: {one.why}" for one in lacking[:MOST_TOLD])
        more = f"; and {len(lacking) - MOST_TOLD} more" if len(lacking) > MOST_TOLD else ""
        return warning("workers", what + more, lacking[0].todo)
    by_region = Counter(region for worker in living for region in worker.regions)
    shown = ", ".join(f"{region} {count}" for region, count in sorted(by_region.items()))
    return ok("workers", f"{len(living)} {'is' if len(living) == 1 else 'are'} alive ({shown})")


async def _database(url: str) -> Check:
    file = database_file(url)
    if file is not None and not file.exists():
        return _to_be_made("database", file)
    # An address may hold a password.
    place = str(file) if file is not None else f"the database at {urlsplit(url).hostname or 'a local socket'}"
    try:
        found = await revision_of(url)
    except BeaconError as fault:
        return of_error("database", fault)
    if found == REVISIONS[-1]:
        return ok("database", f"{place}, at revision {found}")
    if found is None or found in REVISIONS:
        what = f"{place} is at revision {found or 'none'}, this Beacon needs {REVISIONS[-1]}"
        return warning("database", what, "the next command that uses it brings it up to date; keep a copy")
    what = f"{place} was written by a newer Beacon (revision {found})"
    return error("database", what, "use the newer Beacon, or name another database in BEACON_DATABASE_URL")


def _to_be_made(about: str, file: Path) -> Check:
    """A file that the first use makes; that this is possible is looked at, not tried."""
    folder = next(parent for parent in file.absolute().parents if parent.exists())
    if os.access(folder, os.W_OK):
        return ok(about, f"{file}: none yet, made on first use")
    return error(about, f"{file}: none yet, and {folder} cannot be written", "check the folder's rights")


def _evidence(key_file: Path, log_file: Path) -> list[Check]:
    if not key_file.exists():
        about_key = _to_be_made("signing key", key_file)
        if log_file.exists():
            what = f"{key_file} is missing, though {log_file} was begun with a key"
            return [error("signing key", what, "put it back from its backup, or begin a new log elsewhere")]
        return [about_key, _to_be_made("log", log_file)]
    try:
        key = load(key_file)
    except BeaconError as fault:
        return [of_error("signing key", fault)]
    about_key = ok("signing key", f"{key.public.key_id[:16]}… in {key_file}")
    if not log_file.exists():
        return [about_key, _to_be_made("log", log_file)]
    try:
        size = TransparencyLog(log_file, key).size()
    except BeaconError as fault:
        return [about_key, of_error("log", fault)]
    return [about_key, ok("log", f"{size:,} sealed {'job' if size == 1 else 'jobs'} in {log_file}")]
