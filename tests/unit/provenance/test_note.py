from __future__ import annotations

import base64
import hashlib

import pytest

from beacon.errors import InputError, VerificationError
from beacon.provenance.keys import new_key
from beacon.provenance.merkle import leaf_hash
from beacon.provenance.note import Checkpoint, check_origin, open_checkpoint
from beacon.provenance.proof import LogProof, parse_proof

KEY = new_key()
ROOT = hashlib.sha256(b"root").digest()
CHECKPOINT = Checkpoint("example.org/log", 7, ROOT)
NOTE = CHECKPOINT.sign(KEY)


def test_a_checkpoint_has_the_form_of_the_specification():
    origin, size, root, blank, signature, end = NOTE.split("\n")
    assert (origin, size, root) == ("example.org/log", "7", base64.b64encode(ROOT).decode())
    assert blank == end == ""
    dash, name, encoded = signature.split(" ")
    assert (dash, name) == ("\u2014", "example.org/log")
    data = base64.b64decode(encoded)
    assert data[:4] == hashlib.sha256(b"example.org/log\n\x01" + KEY.public.raw).digest()[:4]
    assert KEY.public.verifies(data[4:], NOTE.split("\n\n")[0].encode() + b"\n")


def test_a_checkpoint_is_read_back():
    assert open_checkpoint(NOTE, KEY.public, "here") == CHECKPOINT


def test_any_changed_byte_of_a_proof_is_refused():
    entry = b"the entry"
    note = Checkpoint("example.org/log", 1, leaf_hash(entry)).sign(KEY)
    whole = LogProof(0, (), note).to_text().encode()
    parse_proof(whole, "here").check(entry, KEY.public, "here")
    for place in range(len(whole)):
        altered = bytearray(whole)
        altered[place] ^= 1
        with pytest.raises(VerificationError):
            parse_proof(bytes(altered), "here").check(entry, KEY.public, "here")


@pytest.mark.parametrize(
    "note",
    [
        "",
        "x",
        NOTE + NOTE.split("\n\n")[1],
        NOTE.replace("\n7\n", "\n07\n"),
        NOTE.replace("\n7\n", "\n-7\n"),
        NOTE.replace("\n7\n", "\n7\nextension\n"),
        NOTE.replace("\n", "\r\n"),
        NOTE.rstrip("\n"),
    ],
)
def test_other_forms_are_refused(note: str):
    with pytest.raises(VerificationError):
        open_checkpoint(note, KEY.public, "here")


def test_a_checkpoint_of_another_key_is_refused():
    with pytest.raises(VerificationError, match="not signed by"):
        open_checkpoint(NOTE, new_key().public, "here")


@pytest.mark.parametrize("origin", ["", "two words", "a+b", "tab\t", "line\n", "x" * 201])
def test_names_that_a_note_cannot_carry_are_refused(origin: str):
    with pytest.raises(InputError):
        check_origin(origin)
