"""The bundle: a sealed job as one file that can be checked offline.

| member | holds |
|---|---|
| seal.json | the seal, a DSSE envelope |
| key.pem | the public key that the seal states |
| seal.tlog-proof | the proof that seal.json is an entry of the log |
| spec.json | the job spec |
| report.json | the report |
| receipts.jsonl | a receipt a line, in order of ordinal |
| leaves.txt | the leaf hash of each receipt, so that an altered one can be named |
| results.jsonl | the answer of each completed execution, in the same order |
"""

from __future__ import annotations

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from beacon.errors import BeaconError, InputError, VerificationError, unwritable
from beacon.provenance.archive import CHUNK_BYTES, write_archive
from beacon.provenance.canonical import canonical_bytes, sha256_hex
from beacon.provenance.merkle import Frontier, leaf_hash
from beacon.provenance.proof import LogProof
from beacon.provenance.receipt import Receipt, Result
from beacon.provenance.seal import Seal

SEAL = "seal.json"
KEY = "key.pem"
PROOF = "seal.tlog-proof"
SPEC = "spec.json"
REPORT = "report.json"
RECEIPTS = "receipts.jsonl"
LEAVES = "leaves.txt"
RESULTS = "results.jsonl"
MEMBERS = (SEAL, KEY, PROOF, SPEC, REPORT, RECEIPTS, LEAVES, RESULTS)
LINES = (RECEIPTS, LEAVES, RESULTS)

MAX_SPEC_BYTES = 16 * 1024 * 1024
MAX_SMALL_BYTES = 64 * 1024
"""Of seal, key and proof each."""


class BundleWriter:
    """Writes a bundle to `path`, whole or not at all; memory does not grow with the job.

        with BundleWriter(path, seal=seal, proof=proof, spec_document=spec, report_document=report) as bundle:
            for receipt, result in rows:
                bundle.add(receipt, result)

    The same content gives the same bytes. Raises VerificationError where spec, report, receipts or answers are not
    those that were sealed, InputError or UnavailableError where the file cannot be written.
    """

    def __init__(
        self, path: Path, *, seal: Seal, proof: LogProof, spec_document: dict[str, Any], report_document: dict[str, Any]
    ) -> None:
        self._path = path
        self._seal = seal
        self._small = {SEAL: seal.to_bytes(), KEY: seal.key.pem, PROOF: proof.to_text().encode()}
        self._small[SPEC] = _sealed_document(SPEC, spec_document, seal.statement.spec_sha256)
        self._small[REPORT] = _sealed_document(REPORT, report_document, seal.statement.report_sha256)
        if len(self._small[SPEC]) > MAX_SPEC_BYTES:
            raise InputError(f"a spec of more than {MAX_SPEC_BYTES:,} bytes cannot be bundled", where=SPEC)
        self._tree = Frontier()
        self._spools: dict[str, BinaryIO] = {}
        self._stack = ExitStack()

    def __enter__(self) -> BundleWriter:
        try:
            for name in LINES:
                self._spools[name] = self._stack.enter_context(tempfile.TemporaryFile(dir=self._path.parent))
        except OSError as error:
            self._stack.close()
            raise self._unwritable(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            with self._stack:
                if kind is None:
                    self._finish()
        except OSError as fault:
            # Closing a spool writes what it still holds, for which a full disk has no room either.
            raise self._unwritable(fault) from fault

    def add(self, receipt: Receipt, result: Result | None) -> None:
        """The next execution: its receipt, and its answer where it has one."""
        line = receipt.to_bytes()
        leaf = leaf_hash(line)
        self._tree.append(leaf)
        answer = None if result is None else result.to_bytes()
        if receipt.answer_sha256 != (None if answer is None else sha256_hex(answer)):
            what = "the answer is not the one that was sealed" if answer else "the sealed answer is missing"
            raise VerificationError(what, where=receipt.execution_id)
        try:
            self._spools[RECEIPTS].write(line + b"\n")
            self._spools[LEAVES].write(leaf.hex().encode() + b"\n")
            if answer is not None:
                self._spools[RESULTS].write(answer + b"\n")
        except OSError as error:
            raise self._unwritable(error) from error

    def _finish(self) -> None:
        if self._tree.root().hex() != self._seal.statement.receipts_root:
            what = f"the {self._tree.size} receipts are not the {self._seal.statement.counts.total} that were sealed"
            raise VerificationError(what, where=self._seal.statement.job_id)
        try:
            self._write()
        except OSError as error:
            raise self._unwritable(error) from error

    def _write(self) -> None:
        temporary = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}")
        try:
            with temporary.open("xb") as file:
                write_archive(file, ((name, self._contents(name)) for name in MEMBERS))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._path)
        finally:
            temporary.unlink(missing_ok=True)

    def _contents(self, name: str) -> Iterator[bytes]:
        if name in self._small:
            yield self._small[name]
            return
        spool = self._spools[name]
        spool.seek(0)
        while chunk := spool.read(CHUNK_BYTES):
            yield chunk

    def _unwritable(self, error: OSError) -> BeaconError:
        return unwritable("cannot write the bundle", self._path, error)


def _sealed_document(name: str, document: dict[str, Any], expected: str) -> bytes:
    data = canonical_bytes(document)
    if sha256_hex(data) != expected:
        raise VerificationError(f"{name} is not the one that was sealed", where=name)
    return data
