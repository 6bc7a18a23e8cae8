"""Writing to a terminal what others wrote: nothing in it can move the cursor, colour the screen or hide."""

from __future__ import annotations

import os
import sys
import unicodedata
from typing import Any

from rich.console import Console

UNKNOWN = "unknown"
HIDDEN = {"Cc", "Cf", "Zl", "Zp", "Co", "Cs"}
"""Unicode categories that a terminal would act on or not show: controls, directions, zero-width, private."""
UNBOUNDED = 10_000
"""Columns of what is no terminal: lines in a file or a pipe are not broken."""


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


class _Plain(Console):
    """For files and pipes: rich fills each row of a table up to the table's width, which may be hundreds of blanks."""

    def print(self, *objects: Any, **more: Any) -> None:
        with self.capture() as captured:
            super().print(*objects, **more)
        self.file.write("\n".join(line.rstrip(" ") for line in captured.get().split("\n")))
        self.file.flush()


def console(*, stderr: bool = False) -> Console:
    """Wraps and colours on a terminal; elsewhere plain text, a line for a line, unless COLUMNS says how wide."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else UNBOUNDED
    kind = Console if stream.isatty() else _Plain
    return kind(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)


def dollars(amount: float) -> str:
    """Small amounts with more places, so that what is spent does not read as nothing."""
    return f"${amount:,.2f}" if amount >= 1 or amount == 0 else f"${amount:.2g}"


def say(text: str) -> None:
    """What goes on, for a person, on stderr."""
    print(visible(text, keep_lines=True), file=sys.stderr, flush=True)


def complain(text: str) -> None:
    """An error for a person, on stderr."""
    say(f"beacon: {text}")
