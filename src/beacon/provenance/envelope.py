"""DSSE envelopes, version 1: a payload, its type, and one Ed25519 signature over both.

Source: secure-systems-lab/dsse, protocol.md and envelope.md. What is signed is the pre-authentication encoding
of type and payload, so that a payload can never be taken for one of another type.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from beacon.errors import VerificationError
from beacon.provenance.canonical import canonical_bytes, decode_base64, encode_base64, parse_canonical
from beacon.provenance.keys import PublicKey, SigningKey


def pre_authentication_encoding(payload_type: str, payload: bytes) -> bytes:
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True, slots=True)
class Envelope:
    payload_type: str
    payload: bytes
    key_id: str
    signature: bytes

    def signed_by(self, key: PublicKey) -> bool:
        message = pre_authentication_encoding(self.payload_type, self.payload)
        return self.key_id == key.key_id and key.verifies(self.signature, message)

    def to_document(self) -> dict[str, Any]:
        return {
            "payload": encode_base64(self.payload),
            "payloadType": self.payload_type,
            "signatures": [{"keyid": self.key_id, "sig": encode_base64(self.signature)}],
        }

    def to_bytes(self) -> bytes:
        """Canonical JSON, without a newline at its end."""
        return canonical_bytes(self.to_document())


def sign_envelope(payload_type: str, payload: bytes, key: SigningKey) -> Envelope:
    signature = key.sign(pre_authentication_encoding(payload_type, payload))
    return Envelope(payload_type, payload, key.public.key_id, signature)


def parse_envelope(data: bytes, source: str) -> Envelope:
    """An envelope in canonical JSON with exactly one signature; the signature is not checked here.

    Raises VerificationError that names `source`.
    """
    document = parse_canonical(data, source)
    match document:
        case {
            "payload": str(payload),
            "payloadType": str(payload_type),
            "signatures": [{"keyid": str(key_id), "sig": str(signature), **more_of_it}],
            **more,
        } if not more and not more_of_it:
            return Envelope(payload_type, decode_base64(payload, source), key_id, decode_base64(signature, source))
    raise VerificationError("not a DSSE envelope with one signature", where=source)
