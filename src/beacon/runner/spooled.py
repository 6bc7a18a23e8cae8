"""How an ended attempt stands in a spool: one line, of the SHA-256 of what follows and a JSON object."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from beacon.domain.answer import Answer
from beacon.domain.states import ExecutionStatus
from beacon.store.group import Finish


@dataclass(frozen=True, slots=True)
class Spooled:
    """How an attempt of a job ended, not known to be recorded yet."""

    job_id: str
    finish: Finish


def line_of(spooled: Spooled) -> bytes:
    """With its newline. Text that is no Unicode is escaped, so every line is ASCII."""
    body = json.dumps({"job": spooled.job_id, "finish": asdict(spooled.finish)}).encode()
    return _digest(body) + b" " + body + b"\n"


def read_lines(content: bytes) -> tuple[list[Spooled], int]:
    """What the lines hold, and how many of them are damaged. The last one may have been cut off: that was never
    promised to be kept, and is no damage."""
    *lines, cut_off = content.split(b"\n")
    read = [_read(line) for line in [*lines, *([cut_off] if cut_off else [])]]
    found = [spooled for spooled in read if spooled is not None]
    whole = read[: len(lines)]
    return found, sum(spooled is None for spooled in whole)


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).hexdigest().encode()


def _read(line: bytes) -> Spooled | None:
    digest, _, body = line.partition(b" ")
    if digest != _digest(body):
        return None
    document: dict[str, Any] = json.loads(body)
    fields: dict[str, Any] = document["finish"]
    answer = fields.pop("answer")
    status = ExecutionStatus(fields.pop("status"))
    finish = Finish(status=status, answer=None if answer is None else Answer(**answer), **fields)
    return Spooled(document["job"], finish)
