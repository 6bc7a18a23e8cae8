"""What both servers of a mailbox read of a request, and the refusals of what cannot be read."""

from __future__ import annotations

import math

from pydantic import ValidationError

from beacon.domain.mailbox import KEY_FORM, UNKNOWN_KEY, Submission
from beacon.mailbox.worker import UnservedError, unserved

MAX_BODY_BYTES = 4 * 2**20


def read_submission(body: bytes) -> Submission:
    """Raises UnservedError (400)."""
    try:
        return Submission.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise bad_request(f"{where}: {first['msg']}" if where else str(first["msg"])) from error


def read_key(key: str) -> str:
    """Raises UnservedError (400)."""
    if not KEY_FORM.match(key):
        raise bad_request("a key has up to 200 letters, digits, dots, colons, hyphens and underscores")
    return key


def read_wait(text: str) -> float:
    """Seconds that a read may wait. Raises UnservedError (400)."""
    try:
        wait = float(text)
    except ValueError:
        wait = math.nan
    if not 0 <= wait < math.inf:
        raise bad_request(f"wait takes seconds, found {text[:40]!r}")
    return wait


def read_attempt(text: str | None) -> str | None:
    """The number of an attempt, None where it is none."""
    return text if text is not None and text.isascii() and text.isdigit() else None


def bad_request(what: str, status: int = 400) -> UnservedError:
    return unserved("bad_request", what, status=status)


def too_large() -> UnservedError:
    return bad_request(f"a body holds at most {MAX_BODY_BYTES // 2**20} MiB", 413)


def other_body() -> UnservedError:
    return unserved("conflict", "other work was accepted under this key before", status=409)


def unknown(key: str) -> UnservedError:
    return unserved(UNKNOWN_KEY, f"nothing is known under the key {key!r}", status=404)
