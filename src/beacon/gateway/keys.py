"""Bearer keys of a gateway: who may ask. Held and compared as digests."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from beacon.errors import InputError

KEY_VARIABLE = "BEACON_GATEWAY_KEY"
SHORTEST = 16
"""Characters. A key of fewer is no protection."""


class Keys:
    """Without any key everybody who reaches the gateway may ask."""

    def __init__(self, keys: frozenset[str]) -> None:
        self._digests = [sha256(key.encode()).digest() for key in sorted(keys)]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def accept(self, authorization: bytes) -> bool:
        """Whether an Authorization header carries one of the keys. Every key is compared, in constant time."""
        scheme, _, given = authorization.partition(b" ")
        digest = sha256(given.strip()).digest()
        matches = [hmac.compare_digest(digest, known) for known in self._digests]
        return scheme.lower() == b"bearer" and any(matches)


def read_keys(environ: Mapping[str, str], file: Path | None) -> Keys:
    """From `BEACON_GATEWAY_KEY`, and from a file with one key a line. Raises InputError, never with a key."""
    found: dict[str, str] = {}
    given = environ.get(KEY_VARIABLE, "").strip()
    if given:
        found[given] = f"environment variable {KEY_VARIABLE}"
    if file is not None:
        for number, line in enumerate(_lines(file), 1):
            if line.strip() and not line.startswith("#"):
                found[line.strip()] = f"{file}, line {number}"
        if not found:
            raise InputError("the key file is empty", where=str(file), todo="write one key a line into it")
    for key, where in found.items():
        if len(key) < SHORTEST or not (key.isascii() and key.isprintable()) or " " in key:
            what = f"a key has at least {SHORTEST} printable characters and no blanks"
            raise InputError(what, where=where, todo="make one with `openssl rand -hex 32`")
    return Keys(frozenset(found))


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is no text"
        raise InputError(f"the key file cannot be read: {reason}", where=str(file), todo="check the path") from None
