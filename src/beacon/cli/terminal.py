"""Writing to a terminal what others wrote: nothing in it can move the cursor, colour the screen or hide."""

from __future__ import annotations

import sys
import unicodedata

HIDDEN = {"Cc", "Cf", "Zl", "Zp", "Co", "Cs"}
"""Unicode categories that a terminal would act on or not show: controls, directions, zero-width, private."""


def visible(text: str, *, keep_lines: bool = False) -> str:
    """`text` with every control, direction and zero-width character shown as its code."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character
        if (keep_lines and character in "\n\t") or unicodedata.category(character) not in HIDDEN
        else f"<U+{ord(character):04X}>"
        for character in text
    )


def complain(text: str) -> None:
    """An error for a person, on stderr."""
    print(f"beacon: {visible(text, keep_lines=True)}", file=sys.stderr)
