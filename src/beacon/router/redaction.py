"""A provider's key, cut out of whatever that provider says before anybody else sees it.

Some servers repeat the request's headers in errors, in headers of their own, even in answers.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TypeVar

from beacon.domain.answer import Answer, Outcome
from beacon.domain.failure import Failure

REDACTED = "[key]"
SHORTEST = 8
"""A shorter key is no secret, and its letters stand in honest answers."""

T = TypeVar("T", Answer, Failure)


def without_key(outcome: Outcome, key: str | None) -> Outcome:
    """The outcome with the key replaced in every text of it; the digest of the bytes received stays."""
    if key is None or len(key) < SHORTEST:
        return outcome
    return _clean(outcome, key) if isinstance(outcome, Answer) else _clean(outcome, key)


def _clean(outcome: T, key: str) -> T:
    found = {field.name: getattr(outcome, field.name) for field in fields(outcome)}
    changed = {
        name: value.replace(key, REDACTED)
        for name, value in found.items()
        if isinstance(value, str) and key in value and name not in _OURS
    }
    return replace(outcome, **changed) if changed else outcome


_OURS = frozenset({"provider", "kind", "stage", "region_evidence", "raw_sha256"})
"""Fields that no provider writes, and values of ours that have no text in them."""
