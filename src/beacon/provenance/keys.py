"""Ed25519 keys: one signing key an installation, in a file that only its owner reads."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from platformdirs import user_data_path

from beacon.errors import ConflictError, InputError, UnavailableError
from beacon.provenance.canonical import sha256_hex

KEY_FILE = "signing-key.pem"
KEY_VARIABLE = "BEACON_SIGNING_KEY"


@dataclass(frozen=True)
class PublicKey:
    """`raw` is the 32 bytes of RFC 8032."""

    raw: bytes

    @cached_property
    def key_id(self) -> str:
        """SHA-256 of the raw public key, in hexadecimal."""
        return sha256_hex(self.raw)

    @cached_property
    def pem(self) -> bytes:
        """SubjectPublicKeyInfo in PEM, as openssl reads it."""
        return Ed25519PublicKey.from_public_bytes(self.raw).public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def verifies(self, signature: bytes, message: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


class SigningKey:
    """A private key; it never shows itself in a representation or an error."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        self._private = private
        raw = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.public = PublicKey(raw)

    def sign(self, message: bytes) -> bytes:
        return self._private.sign(message)

    def private_pem(self) -> bytes:
        """PKCS #8 in PEM, not encrypted: the file's mode protects it."""
        return self._private.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


def default_key_path() -> Path:
    """What `BEACON_SIGNING_KEY` names, by default a file in the user's data directory."""
    named = os.environ.get(KEY_VARIABLE)
    return Path(named).expanduser() if named else user_data_path("beacon") / KEY_FILE


def new_key() -> SigningKey:
    return SigningKey(Ed25519PrivateKey.generate())


def load_or_generate(path: Path) -> SigningKey:
    """The key in `path`, made on first use. Raises InputError, UnavailableError.

    Of several processes that come first at once, one makes the key and all use it.
    """
    with suppress(ConflictError):
        if not path.exists():
            return generate(path)
    return load(path)


def generate(path: Path) -> SigningKey:
    """Makes a key and its file, readable by the owner alone (0600), whole or not at all.

    Raises ConflictError where the file exists: a key that is overwritten is lost. Raises UnavailableError where
    it cannot be written.
    """
    key = new_key()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _temporary(path, key.private_pem()) as temporary:
            _link(temporary, path)
    except OSError as error:
        todo = "check that the directory exists and may be written"
        raise UnavailableError(f"cannot write the key: {error.strerror}", where=str(path), todo=todo) from error
    return key


@contextmanager
def _temporary(path: Path, data: bytes) -> Iterator[str]:
    """A file beside `path` with mode 0600 that holds `data`, for as long as the block lasts."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield name
    finally:
        os.unlink(name)


def _link(temporary: str, path: Path) -> None:
    """Gives the file its name; a link, unlike a rename, never replaces one that is there."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        todo = "use it, or move it away first; what it has signed stays valid"
        raise ConflictError("there is a key already", where=str(path), todo=todo) from None


def load(path: Path) -> SigningKey:
    """Raises InputError where the file is missing, is no Ed25519 key, or may be read by others."""
    data = _read(path)
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise InputError("others may read this signing key", where=str(path), todo=f"chmod 600 {path}")
    todo = "name the file that `beacon keys` made"
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InputError("not a private key in PEM without a password", where=str(path), todo=todo) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError("not an Ed25519 key", where=str(path), todo=todo)
    return SigningKey(key)


def load_public(path: Path) -> PublicKey:
    """Raises InputError."""
    return parse_public(_read(path), str(path))


def parse_public(pem: bytes, source: str) -> PublicKey:
    """A public key in PEM. Raises InputError that names `source`."""
    try:
        key = serialization.load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InputError("not a public key in PEM", where=source, todo="`beacon keys` prints one") from None
    if not isinstance(key, Ed25519PublicKey):
        raise InputError("not an Ed25519 public key", where=source)
    return PublicKey(key.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the key: {error.strerror}", where=str(path), todo="check the path") from error
