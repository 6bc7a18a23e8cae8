"""`beacon log`: the transparency log of sealed jobs, its signed checkpoint, and its audit."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from beacon.cli.settings import JsonOption
from beacon.cli.terminal import visible
from beacon.errors import InputError, VerificationError
from beacon.provenance.keys import default_key_path, load_or_generate
from beacon.provenance.log import TransparencyLog, default_log_path
from beacon.provenance.merkle import consistency_holds
from beacon.provenance.note import Checkpoint, open_checkpoint
from beacon.provenance.seal import parse_seal


def log(
    *,
    checkpoint: Annotated[
        bool, Parameter(negative="", show_default=False, help="Print the signed checkpoint and nothing else.")
    ] = False,
    kept: Annotated[
        Path | None, Parameter(help="A checkpoint from earlier: check that the log begins with what it covers.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the sealed jobs in the transparency log, one entry a seal, and audit the log against its entries.

    Keep a checkpoint from time to time, best with somebody else: `--kept` shows later whether anything was taken back.
    Exits with 4 when the log was altered. Its file is the one that BEACON_TRANSPARENCY_LOG names, by default in your
    data directory.

    For example:

    ```
    beacon log --checkpoint > log-2026-11.txt
    beacon log --kept log-2026-11.txt
    ```
    """
    key = load_or_generate(default_key_path())
    opened = TransparencyLog(default_log_path(), key)
    head = opened.audit()
    earlier = None if kept is None else _earlier(opened, head, open_checkpoint(_read(kept), key.public, str(kept)))
    note = opened.checkpoint(head.size)
    if as_json:
        document = {"origin": head.origin, "size": head.size, "root": head.root.hex(), "checkpoint": note}
        print(json.dumps({**document, "entries": list(_entries(opened))}))
    elif checkpoint:
        sys.stdout.write(note)
    else:
        _print(opened, head, earlier)


def _earlier(opened: TransparencyLog, head: Checkpoint, kept: Checkpoint) -> Checkpoint:
    """`kept`, if the log begins with it; raises VerificationError."""
    where = str(opened.path)
    if kept.origin != head.origin:
        raise VerificationError(f"the checkpoint is of the log {kept.origin}, this is {head.origin}", where=where)
    if kept.size > head.size:
        what = f"the log has {head.size} entries, the checkpoint covers {kept.size}: entries were taken back"
        raise VerificationError(what, where=where)
    proof = opened.consistency(kept.size, head.size)
    if not consistency_holds(kept.size, head.size, kept.root, head.root, proof):
        raise VerificationError(f"the first {kept.size} entries are not those of the checkpoint", where=where)
    return kept


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError("the checkpoint cannot be read", where=str(path), todo="check the path") from error


def _entries(opened: TransparencyLog) -> Iterator[dict[str, Any]]:
    for index, entry in opened.entries():
        statement = parse_seal(entry, f"entry {index}").statement
        shown = {name: getattr(statement, name) for name in ("job_id", "generation", "sealed_at", "receipts_root")}
        yield {"index": index, **shown, "counts": asdict(statement.counts)}


def _print(opened: TransparencyLog, head: Checkpoint, earlier: Checkpoint | None) -> None:
    for entry in _entries(opened):
        moment = datetime.fromtimestamp(entry["sealed_at"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        counts = entry["counts"]
        job = visible(f"{entry['job_id']}, generation {entry['generation']}")
        print(f"{entry['index']:>6}  {moment}  {job}  {counts['completed']:,} of {counts['total']:,} completed")
    print(f"{head.origin}: {head.size:,} entries, root {head.root.hex()}, as its entries make it")
    if earlier is not None:
        print(f"it begins with the {earlier.size:,} entries of the checkpoint that was kept")
