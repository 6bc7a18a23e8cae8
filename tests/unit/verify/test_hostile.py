"""Bundles made to harm the verifier: each is refused with a sentence, in bounded memory."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zipfile
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from beacon.errors import VerificationError
from beacon.provenance.bundle import KEY, LEAVES, MEMBERS, PROOF, RECEIPTS, RESULTS, SEAL, SPEC
from beacon.provenance.canonical import canonical_bytes, digest, encode_base64
from beacon.provenance.envelope import sign_envelope
from beacon.provenance.seal import SEAL_TYPE
from beacon.verify.bundle import verify_bundle
from tests.sealing import SealedJob, members_of, pack, pack_signed


def refusal(path: Path) -> str:
    """What the verifier says of a bundle that it must refuse."""
    with pytest.raises(VerificationError) as raised:
        verify_bundle(path).require()
    return str(raised.value)


def zipped(path: Path, members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zips_of_other_tools(tmp_path: Path, sealed_bundle: Path):
    members = list(members_of(sealed_bundle).items())
    bomb = [*members[:3], (SPEC, b"0" * 50_000_000), *members[4:]]
    assert "packed again" in refusal(zipped(tmp_path / "bomb.zip", bomb, zipfile.ZIP_DEFLATED))
    assert "packed again" in refusal(zipped(tmp_path / "stored.zip", members))
    outside = [("../../etc/passwd", b"x"), *members]
    assert "'../../etc/passwd' stands where seal.json" in refusal(zipped(tmp_path / "outside.zip", outside))
    assert "packed again" in refusal(zipped(tmp_path / "twice.zip", [members[0], *members]))
    assert "ends before" in refusal(zipped(tmp_path / "empty.zip", []))


def test_files_that_are_no_zip(tmp_path: Path, sealed_bundle: Path):
    whole = sealed_bundle.read_bytes()
    cases = {
        "empty": (b"", "ends before its member seal.json"),
        "noise": (bytes(range(256)) * 100, "not a bundle"),
        "cut": (whole[:-1], "directory"),
        "half": (whole[: len(whole) // 2], "cut"),
        "after": (whole + b"x", "directory"),
        "before": (b"x" + whole, "not a bundle"),
        "comment": (whole[:-2] + struct.pack("<H", 1) + b"x", "directory"),
    }
    for name, (content, expected) in cases.items():
        path = tmp_path / name
        path.write_bytes(content)
        assert expected in refusal(path), name


def test_a_size_beyond_the_file_is_refused_before_anything_is_read(tmp_path: Path, sealed_bundle: Path):
    content = bytearray(sealed_bundle.read_bytes())
    at = 30 + len(SEAL) + 4
    content[at : at + 16] = struct.pack("<2Q", 2**63, 2**63)
    (tmp_path / "b.zip").write_bytes(content)
    assert "cut or packed again" in refusal(tmp_path / "b.zip")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "not canonical JSON"),
        (b"\xff\xfe", "not UTF-8"),
        (b"[" * 60_000, "nested too deeply"),
        (b"9" * 6_000, "not canonical JSON"),
        (b"1e999", "not canonical JSON"),
        (b"NaN", "not canonical JSON"),
        (b"null", "not a DSSE envelope"),
        (b'{"a":1,"a":1}', "canonical form"),
        (b'{ "a":1}', "canonical form"),
        (b'"\\ud800"', "not canonical JSON"),
        (b'{"payload":"=","payloadType":"t","signatures":[{"keyid":"k","sig":""}]}', "not base64"),
        (b'{"payload":"","payloadType":"t","signatures":[]}', "not a DSSE envelope"),
        (b"x" * 70_000, "at most 65,536"),
    ],
)
def test_a_seal_of_nonsense(tmp_path: Path, sealed_bundle: Path, content: bytes, expected: str):
    pack(tmp_path / "b.zip", members_of(sealed_bundle) | {SEAL: content})
    assert expected in refusal(tmp_path / "b.zip")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("counts", {"total": 10**15}),
        ("counts", {"total": -1}),
        ("counts", 5),
        ("generation", 0),
        ("sealed_at", "now"),
        ("public_key", "AAAA"),
        ("receipts_root", "F" * 64),
        ("unknown", 1),
    ],
)
def test_a_signed_statement_of_nonsense(tmp_path: Path, job: SealedJob, sealed_bundle: Path, field: str, value: object):
    statement = canonical_bytes({**asdict(job.seal.statement), field: value})
    seal = sign_envelope(SEAL_TYPE, statement, job.key).to_bytes()
    pack(tmp_path / "b.zip", members_of(sealed_bundle) | {SEAL: seal})
    assert "step 2" in refusal(tmp_path / "b.zip")


def test_a_signature_of_another_type_is_no_seal(tmp_path: Path, job: SealedJob, sealed_bundle: Path):
    """The same bytes signed for another purpose."""
    other = sign_envelope("application/x-other", job.seal.envelope.payload, job.key).to_bytes()
    pack(tmp_path / "b.zip", members_of(sealed_bundle) | {SEAL: other})
    assert "application/x-other" in refusal(tmp_path / "b.zip")


@pytest.mark.parametrize("name", [KEY, PROOF, RECEIPTS, LEAVES, RESULTS])
@pytest.mark.parametrize("content", [b"", b"\n", b"\x00\xff" * 400, b"{}\n" * 3, b"[" * 100_000 + b"\n"])
def test_nonsense_in_any_member_is_refused_and_named(tmp_path: Path, sealed_bundle: Path, name: str, content: bytes):
    pack(tmp_path / "b.zip", members_of(sealed_bundle) | {name: content})
    assert name in refusal(tmp_path / "b.zip")


@pytest.mark.parametrize(
    "answer", [b"\xff\xfe not UTF-8", b'{"n":' + b"9" * 10_000 + b"}", b'{"execution_id":"' + b"x" * 10_000]
)
def test_a_hostile_answer_line_is_named_by_its_execution(tmp_path: Path, sealed_bundle: Path, answer: bytes):
    members = members_of(sealed_bundle)
    lines = members[RESULTS].split(b"\n")
    lines[2] = answer
    pack(tmp_path / "b.zip", members | {RESULTS: b"\n".join(lines)})
    said = refusal(tmp_path / "b.zip")
    assert "step 5" in said
    assert json.loads(members[RESULTS].split(b"\n")[2])["execution_id"] in said


def test_a_signed_spec_that_would_expand_without_end_is_not_expanded(tmp_path: Path, job: SealedJob):
    huge = replace(job, spec={**job.spec, "repeats": 10_000})
    sha256 = digest(huge.spec)
    rows = [(replace(receipt, spec_sha256=sha256), answer) for receipt, answer in job.rows]
    pack_signed(tmp_path / "b.zip", huge, rows, spec_sha256=sha256)
    said = refusal(tmp_path / "b.zip")
    assert "step 6" in said
    assert "80000 executions" in said


def test_a_line_without_end_is_not_kept_in_memory(tmp_path: Path, sealed_bundle: Path):
    members = members_of(sealed_bundle)
    pack(tmp_path / "b.zip", members | {RESULTS: b"x" * 100_000_000})
    del members
    tracemalloc.start()
    said = refusal(tmp_path / "b.zip")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert RESULTS in said
    assert "more than" in said
    assert peak < 70_000_000


def test_an_undersized_key_file_is_refused(tmp_path: Path, sealed_bundle: Path):
    pack(tmp_path / "b.zip", members_of(sealed_bundle) | {KEY: encode_base64(b"x" * 32).encode()})
    assert KEY in refusal(tmp_path / "b.zip")


def test_the_member_names_are_the_documented_ones(sealed_bundle: Path):
    with zipfile.ZipFile(sealed_bundle) as archive:
        assert tuple(archive.namelist()) == MEMBERS
        assert archive.testzip() is None
