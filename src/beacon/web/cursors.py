"""Cursors of lists: opaque text that says where the next page begins."""

from __future__ import annotations

import base64
import binascii
import json

from beacon.errors import DocumentError, InputError
from beacon.store.jobs import Job


def after_job(job: Job) -> str:
    return _encode([job.created_at, job.id])


def read_job(cursor: str | None) -> tuple[float, str] | None:
    """The (created_at, id) that a cursor stands for. Raises DocumentError."""
    match _decode(cursor):
        case None:
            return None
        case [float() | int() as created_at, str() as job_id]:
            return float(created_at), job_id
        case _:
            raise _unreadable(cursor)


def after_ordinal(ordinal: int) -> str:
    return _encode([ordinal])


def read_ordinal(cursor: str | None) -> int:
    """The ordinal after which the page begins, -1 for the first page. Raises DocumentError."""
    match _decode(cursor):
        case None:
            return -1
        case [int() as ordinal] if -1 <= ordinal < 2**31:
            return ordinal
        case _:
            raise _unreadable(cursor)


def _encode(value: list[object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def _decode(cursor: str | None) -> object:
    if not cursor:
        return None
    try:
        return json.loads(base64.b64decode(cursor.encode() + b"==", altchars=b"-_", validate=False))
    except (binascii.Error, ValueError):
        raise _unreadable(cursor) from None


def _unreadable(cursor: str | None) -> DocumentError:
    todo = "use the next_cursor of the page before, or leave it out"
    fault = InputError(f"not a cursor of this list: {cursor!r}", where="cursor", todo=todo)
    return DocumentError("the request", [fault])
