"""Texts that others wrote, made fit to be stored and sealed."""

from __future__ import annotations


def whole(text: str) -> str:
    """`text` without lone halves of surrogate pairs, which no UTF-8 can hold: each becomes U+FFFD.

    Two halves that belong together are joined.
    """
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
