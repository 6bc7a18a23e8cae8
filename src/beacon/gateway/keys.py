"""Bearer keys of a gateway: who may ask. Held and compared as digests."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from pathlib import Path

from beacon.domain.bearer import check_key, digest_of, presented, read_lines

KEY_VARIABLE = "BEACON_GATEWAY_KEY"


class Keys:
    """Without any key everybody who reaches the gateway may ask."""

    def __init__(self, keys: frozenset[str]) -> None:
        self._digests = [digest_of(key) for key in sorted(keys)]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def accept(self, authorization: bytes) -> bool:
        """Whether an Authorization header carries one of the keys. Every key is compared, in constant time."""
        given = presented(authorization)
        matches = [hmac.compare_digest(given or b"", known) for known in self._digests]
        return any(matches)


def read_keys(environ: Mapping[str, str], file: Path | None) -> Keys:
    """From `BEACON_GATEWAY_KEY`, and from a file with one key a line. Raises InputError, never with a key."""
    found: dict[str, str] = {}
    given = environ.get(KEY_VARIABLE, "").strip()
    if given:
        found[given] = f"environment variable {KEY_VARIABLE}"
    if file is not None:
        found |= dict(read_lines(file))
    for key, where in found.items():
        check_key(key, where)
    return Keys(frozenset(found))
