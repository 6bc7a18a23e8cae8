"""Durations as options write them."""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from beacon.domain.scalars import Seconds
from beacon.errors import InputError


def seconds_of(option: str, text: str) -> float:
    """Raises InputError for what is no duration, or none that is longer than nothing."""
    todo = "write for example 30m, 24h or 7d"
    try:
        seconds = TypeAdapter(Seconds).validate_python(text)
    except ValidationError:
        raise InputError(f"not a duration: {text!r}", where=option, todo=todo) from None
    if seconds <= 0:
        raise InputError("answers must be kept for some time", where=option, todo=todo)
    return seconds
