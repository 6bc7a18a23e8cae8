"""Nearest valid names, for error messages that help."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches

_LISTED = 12
_LONGEST = 100
_TELLING = 4


def suggest(name: str, known: Collection[str]) -> str:
    """A sentence that names the nearest of `known`, and lists what is known."""
    if not known:
        return "none is configured"
    listed = ", ".join(sorted(known)[:_LISTED]) + (", …" if len(known) > _LISTED else "")
    by_spelling = {candidate.lower(): candidate for candidate in known}
    # A comparison costs the square of the length, and no name is longer.
    wanted = name[:_LONGEST].lower()
    near = get_close_matches(wanted, by_spelling, n=1, cutoff=0.6)
    if not near and len(wanted) >= _TELLING:
        near = [spelling for spelling in sorted(by_spelling) if spelling.startswith(wanted)][:1]
    return f"did you mean {by_spelling[near[0]]!r}? known: {listed}" if near else f"known: {listed}"
