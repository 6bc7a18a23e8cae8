"""Canonical JSON (RFC 8785), the digests over it, and the strict reading of what claims to be canonical."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from contextlib import suppress
from typing import Any

import rfc8785

from beacon.errors import InputError, VerificationError

_SAFE_INTEGER = 2**53 - 1
_LEAST_FRACTION = 1e-4
"""From here on Python writes a fraction without an exponent, as ECMAScript does."""
_ENCODER = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def canonical_bytes(value: Any) -> bytes:
    """`value` as RFC 8785 writes it.

    Raises InputError for what has no such form: NaN, infinities, integers beyond 2^53 - 1, lone surrogates,
    keys that are no text, values that are no JSON.
    """
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError) as error:
        raise InputError(f"this cannot be written as canonical JSON: {error}") from error
    except RecursionError:
        raise InputError("this cannot be written as canonical JSON: it is nested too deeply") from None


Scalar = str | int | float | None


def row_bytes(row: dict[str, Scalar]) -> bytes:
    """`canonical_bytes` of an object of scalars under ASCII names, several times as fast. Raises InputError.

    Sealing writes one such row for each execution while the job is finalizing.
    """
    plain: dict[str, Scalar] = {}
    for name, value in row.items():
        if isinstance(value, float):
            whole = value.is_integer() and abs(value) <= _SAFE_INTEGER
            if not whole and not _LEAST_FRACTION <= abs(value) <= _SAFE_INTEGER:
                return canonical_bytes(row)
            # Both write a whole number as an integer.
            plain[name] = int(value) if whole else value
        elif value is None or isinstance(value, str) or (isinstance(value, int) and abs(value) <= _SAFE_INTEGER):
            plain[name] = value
        else:
            return canonical_bytes(row)
    with suppress(UnicodeEncodeError):
        return _ENCODER.encode(plain).encode("utf-8")
    return canonical_bytes(row)


def digest(value: Any) -> str:
    """SHA-256 of the canonical form, in hexadecimal: by it seal and receipts name specs, reports and requests."""
    return sha256_hex(canonical_bytes(value))


def parse_canonical(data: bytes, source: str) -> Any:
    """The value that `data` denotes, provided that `data` is its one canonical form.

    Raises VerificationError that names `source`. Duplicate keys, white space and other spellings of the same
    value are refused, so that no two readers can see different things in the same bytes.
    """
    try:
        value = json.loads(data.decode("utf-8"), parse_int=_number)
        same = rfc8785.dumps(value) == data
    except UnicodeDecodeError as error:
        raise VerificationError(f"not UTF-8 at byte {error.start}", where=source) from None
    except RecursionError:
        raise VerificationError("nested too deeply", where=source) from None
    except ValueError as error:
        raise VerificationError(f"not canonical JSON: {str(error)[:200]}", where=source) from None
    if not same:
        raise VerificationError("not in canonical form (RFC 8785)", where=source)
    return value


def _number(text: str) -> int | float:
    """A number is a double to every reader (RFC 7493 section 2.2), also where it is written as an integer."""
    value = int(text)
    return value if abs(value) <= _SAFE_INTEGER else float(text)


def encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def decode_base64(text: str, source: str) -> bytes:
    """Standard base64 in its one canonical spelling; raises VerificationError that names `source`."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise VerificationError("not base64", where=source) from None
    if encode_base64(data) != text:
        raise VerificationError("not canonical base64", where=source)
    return data
