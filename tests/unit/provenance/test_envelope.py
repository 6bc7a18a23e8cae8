from __future__ import annotations

import pytest

from beacon.errors import VerificationError
from beacon.provenance.envelope import parse_envelope, pre_authentication_encoding, sign_envelope
from beacon.provenance.keys import new_key


def test_the_pre_authentication_encoding_is_that_of_the_protocol():
    """The example of the DSSE protocol text."""
    encoded = pre_authentication_encoding("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_lengths_are_of_bytes():
    assert pre_authentication_encoding("ü", "ü".encode()) == "DSSEv1 2 ü 2 ü".encode()


def test_an_envelope_goes_out_and_comes_back_signed():
    key = new_key()
    envelope = sign_envelope("a/b", b"\x00payload", key)
    again = parse_envelope(envelope.to_bytes(), "seal.json")
    assert again == envelope
    assert again.signed_by(key.public)
    assert not again.signed_by(new_key().public)


def test_more_than_one_signature_or_field_is_refused():
    envelope = sign_envelope("a/b", b"x", new_key()).to_bytes()
    signature = envelope[envelope.index(b"[") + 1 : envelope.index(b"]")]
    for changed in (
        envelope.replace(signature, signature + b"," + signature),
        envelope.replace(b'"sig"', b'"more":1,"sig"'),
        envelope.replace(b'"payload"', b'"more":1,"payload"', 1),
    ):
        with pytest.raises(VerificationError) as raised:
            parse_envelope(changed, "seal.json")
        assert "one signature" in str(raised.value)
