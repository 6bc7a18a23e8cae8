"""Nearest valid names, for error messages that help."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches


def suggest(name: str, known: Collection[str]) -> str:
    """A sentence that names the nearest of `known`, or all of them where none is near."""
    if not known:
        return "none is configured"
    near = get_close_matches(name.lower(), {k.lower(): k for k in known}, n=1, cutoff=0.6)
    listed = ", ".join(sorted(known)[:12]) + (", …" if len(known) > 12 else "")
    if near:
        original = next(k for k in known if k.lower() == near[0])
        return f"did you mean {original!r}? known: {listed}"
    return f"known: {listed}"
