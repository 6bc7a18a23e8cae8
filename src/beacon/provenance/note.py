"""Signed notes and checkpoints as C2SP defines them (c2sp.org/signed-note, c2sp.org/tlog-checkpoint).

A checkpoint is a note whose text names a log, the size of its tree and the tree's root. One Ed25519 signature
by the log's own key stands below; the log's name is the name of its key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256

from beacon.errors import InputError, VerificationError
from beacon.provenance.canonical import decode_base64, encode_base64
from beacon.provenance.keys import PublicKey, SigningKey
from beacon.provenance.merkle import HASH_BYTES

MAX_TREE_SIZE = 2**53 - 1
_DASH = "— "
_ED25519 = b"\x01"
_NAME = re.compile(r"[^\s+\x00-\x1f]{1,200}\Z")
_SIZE = re.compile(r"(0|[1-9][0-9]{0,15})\Z")


def check_origin(origin: str) -> str:
    """`origin`, if it can name a log and its key; raises InputError."""
    if not _NAME.match(origin):
        raise InputError(
            f"{origin!r} cannot name a log", todo="write a name without spaces and plus signs, like example.org/beacon"
        )
    return origin


def key_hash(name: str, key: PublicKey) -> bytes:
    """The four bytes by which a signature line names its key."""
    return sha256(name.encode() + b"\n" + _ED25519 + key.raw).digest()[:4]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A log's tree head: its first `size` entries have the Merkle root `root`."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{encode_base64(self.root)}\n"

    def sign(self, key: SigningKey) -> str:
        """The signed note."""
        text = self.text()
        signature = key_hash(self.origin, key.public) + key.sign(text.encode())
        return f"{text}\n{_DASH}{self.origin} {encode_base64(signature)}\n"


def open_checkpoint(note: str, key: PublicKey, source: str) -> Checkpoint:
    """The checkpoint in a note that carries exactly one signature, that of the log's `key`.

    Raises VerificationError that names `source`. A note with further signatures is refused, not half checked.
    """
    text, separator, signatures = note.rpartition("\n\n")
    lines = signatures.split("\n")
    if not separator or len(lines) != 2 or lines[1] or not lines[0].startswith(_DASH):
        raise VerificationError("not a checkpoint with one signature", where=source)
    checkpoint = _parse_text(text + "\n", source)
    name, _, encoded = lines[0].removeprefix(_DASH).partition(" ")
    signature = decode_base64(encoded, source)
    if name != checkpoint.origin or signature[:4] != key_hash(name, key):
        raise VerificationError(f"the checkpoint is not signed by key {key.key_id}", where=source)
    if not key.verifies(signature[4:], checkpoint.text().encode()):
        raise VerificationError("the checkpoint's signature does not hold", where=source)
    return checkpoint


def _parse_text(text: str, source: str) -> Checkpoint:
    match text.split("\n"):
        case [origin, size, root, ""] if _NAME.match(origin) and _SIZE.match(size):
            decoded = decode_base64(root, source)
            if len(decoded) == HASH_BYTES and int(size) <= MAX_TREE_SIZE:
                return Checkpoint(origin, int(size), decoded)
    raise VerificationError("not a checkpoint: origin, size and root are expected", where=source)
