"""The proof that an entry stands in a log, as one text that can be checked offline (c2sp.org/tlog-proof)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from beacon.errors import VerificationError
from beacon.provenance.canonical import decode_base64, encode_base64
from beacon.provenance.keys import PublicKey
from beacon.provenance.merkle import HASH_BYTES, inclusion_holds, leaf_hash
from beacon.provenance.note import Checkpoint, open_checkpoint

_HEADER = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,15})\Z")
_MAX_HASHES = 64


@dataclass(frozen=True, slots=True)
class LogProof:
    """The entry's index, the hashes from its sibling up to the root, and a signed checkpoint as it was issued."""

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: str

    def to_text(self) -> str:
        lines = [_HEADER, f"index {self.index}", *map(encode_base64, self.hashes)]
        return "\n".join(lines) + "\n\n" + self.checkpoint

    def check(self, entry: bytes, key: PublicKey, source: str) -> Checkpoint:
        """The checkpoint of the log that holds `entry`.

        Raises VerificationError that names `source` where the checkpoint is not signed by `key` or the proof does
        not lead from the entry to its root.
        """
        checkpoint = open_checkpoint(self.checkpoint, key, source)
        if not inclusion_holds(leaf_hash(entry), self.index, checkpoint.size, self.hashes, checkpoint.root):
            what = f"the proof does not lead from entry {self.index} to the root of the log of size {checkpoint.size}"
            raise VerificationError(what, where=source)
        return checkpoint


def parse_proof(data: bytes, source: str) -> LogProof:
    """Raises VerificationError that names `source`; nothing is proven yet."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise VerificationError(f"not UTF-8 at byte {error.start}", where=source) from None
    head, separator, checkpoint = text.partition("\n\n")
    header, *lines = head.split("\n")
    named = _INDEX.match(lines[0]) if lines else None
    if not separator or header != _HEADER or named is None or len(lines) > _MAX_HASHES + 1:
        raise VerificationError(f"not a proof of the form {_HEADER}", where=source)
    hashes = tuple(decode_base64(line, source) for line in lines[1:])
    if any(len(item) != HASH_BYTES for item in hashes):
        raise VerificationError("a hash of the proof has not 32 bytes", where=source)
    return LogProof(int(named[1]), hashes, checkpoint)
