"""Nearest valid names, for error messages that help."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

_LISTED = 12
_LONGEST = 100


def suggest(name: str, known: Collection[str]) -> str:
    """A sentence that names the nearest of `known`, and lists what is known."""
    if not known:
        return "none is configured"
    listed = ", ".join(sorted(known)[:_LISTED]) + (", …" if len(known) > _LISTED else "")
    by_spelling = {candidate.lower(): candidate for candidate in known}
    # A comparison costs the square of the length, and no name is longer.
    near = get_close_matches(name[:_LONGEST].lower(), by_spelling, n=1, cutoff=0.6)
    return f"did you mean {by_spelling[near[0]]!r}? known: {listed}" if near else f"known: {listed}"
