"""Bearer keys: how they are read, held and compared. Whoever holds digests alone can let nobody in."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from beacon.errors import InputError

SHORTEST = 16
"""Characters. A key of fewer is no protection; longer ones, made at random, need no slow hash."""


def digest_of(key: str | bytes) -> bytes:
    return sha256(key.encode() if isinstance(key, str) else key).digest()


def presented(authorization: bytes) -> bytes | None:
    """The digest of the key in an Authorization header; None where it holds no bearer key (RFC 6750, section 2.1)."""
    scheme, _, given = authorization.partition(b" ")
    return digest_of(given.strip()) if scheme.lower() == b"bearer" and given.strip() else None


def check_key(key: str, where: str) -> None:
    """Raises InputError, never with the key."""
    if len(key) < SHORTEST or not (key.isascii() and key.isprintable()) or " " in key:
        what = f"a key has at least {SHORTEST} printable characters and no blanks"
        raise InputError(what, where=where, todo="make one with `openssl rand -hex 32`")


def read_lines(file: Path) -> list[tuple[str, str]]:
    """The lines of a key file that hold something, as (line, place). Raises InputError."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is no text"
        raise InputError(f"the key file cannot be read: {reason}", where=str(file), todo="check the path") from None
    numbered = ((line.strip(), f"{file}, line {number}") for number, line in enumerate(text.splitlines(), 1))
    found = [(line, where) for line, where in numbered if line and not line.startswith("#")]
    if not found:
        raise InputError("the key file is empty", where=str(file), todo="write one key a line into it")
    return found
