from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from beacon.errors import ConflictError, DatabaseError, DatabaseTooNewError, InputError, VerificationError
from beacon.provenance.keys import SigningKey, new_key
from beacon.provenance.log import TransparencyLog
from beacon.provenance.merkle import Frontier, consistency_holds, leaf_hash
from beacon.provenance.note import open_checkpoint


@pytest.fixture
def key() -> SigningKey:
    return new_key()


@pytest.fixture
def log(tmp_path: Path, key: SigningKey) -> TransparencyLog:
    return TransparencyLog(tmp_path / "log.db", key)


def entry(number: int) -> bytes:
    return b"entry %d" % number


def test_every_entry_is_proven_at_every_size(log: TransparencyLog, key: SigningKey):
    tree = Frontier()
    for number in range(12):
        assert log.append(entry(number)) == number
        tree.append(leaf_hash(entry(number)))
        head = open_checkpoint(log.checkpoint(), key.public, "log")
        assert (head.size, head.root) == (number + 1, tree.root())
    for size in range(1, 13):
        for number in range(size):
            checkpoint = log.proof(number, size).check(entry(number), key.public, "log")
            assert checkpoint.size == size
            with pytest.raises(VerificationError):
                log.proof(number, size).check(entry(number + 1), key.public, "log")


def test_any_later_log_begins_with_any_earlier_one(log: TransparencyLog, key: SigningKey):
    heads = []
    for number in range(9):
        heads.append(open_checkpoint(log.checkpoint(), key.public, "log"))
        log.append(entry(number))
    for old in heads:
        for new in heads[old.size :]:
            proof = log.consistency(old.size, new.size)
            assert consistency_holds(old.size, new.size, old.root, new.root, proof)


def test_an_entry_is_kept_once(log: TransparencyLog):
    assert [log.append(entry(n)) for n in (0, 1, 0, 1, 2)] == [0, 1, 0, 1, 2]
    assert list(log.entries()) == [(n, entry(n)) for n in range(3)]
    assert list(log.entries(2)) == [(2, entry(2))]


def test_the_log_outlives_its_process(tmp_path: Path, log: TransparencyLog, key: SigningKey):
    log.append(entry(0))
    again = TransparencyLog(tmp_path / "log.db", key)
    assert again.append(entry(1)) == 1
    assert again.origin == log.origin
    assert log.size() == 2


def test_threads_that_append_at_once_lose_nothing(log: TransparencyLog):
    with ThreadPoolExecutor(4) as pool:
        numbers = list(pool.map(log.append, map(entry, range(40))))
    assert sorted(numbers) == list(range(40))
    assert log.audit().size == 40


def test_an_altered_file_is_found_by_the_audit(tmp_path: Path, log: TransparencyLog, key: SigningKey):
    for number in range(5):
        log.append(entry(number))
    assert log.audit() == open_checkpoint(log.checkpoint(), key.public, "log")
    changes = {
        "UPDATE entries SET entry = x'00' WHERE number = 2": "entry 2",
        "DELETE FROM entries WHERE number = 3": "entry 3",
        "UPDATE nodes SET hash = x'00' WHERE level = 0 AND number = 1": "entry 1",
        "UPDATE nodes SET hash = zeroblob(32) WHERE level = 2": "tree",
    }
    original = (tmp_path / "log.db").read_bytes()
    for statement, named in changes.items():
        (tmp_path / "log.db").write_bytes(original)
        connection = sqlite3.connect(tmp_path / "log.db")
        connection.execute(statement)
        connection.commit()
        connection.close()
        with pytest.raises(VerificationError) as raised:
            log.audit()
        assert named in str(raised.value)


def test_another_key_cannot_go_on_with_a_log(tmp_path: Path, log: TransparencyLog):
    with pytest.raises(ConflictError, match="begun"):
        TransparencyLog(tmp_path / "log.db", new_key())


def test_what_the_log_does_not_have_is_refused(log: TransparencyLog):
    log.append(entry(0))
    for ask in (
        lambda: log.proof(1),
        lambda: log.proof(0, 2),
        lambda: log.consistency(2, 1),
        lambda: log.checkpoint(5),
    ):
        with pytest.raises(InputError):
            ask()


def test_files_that_are_no_log_are_refused(tmp_path: Path, key: SigningKey):
    (tmp_path / "noise.db").write_bytes(b"not a database" * 100)
    with pytest.raises(DatabaseError):
        TransparencyLog(tmp_path / "noise.db", key)
    newer = TransparencyLog(tmp_path / "newer.db", key)
    connection = sqlite3.connect(newer.path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(DatabaseTooNewError):
        TransparencyLog(newer.path, key)
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseError):
        TransparencyLog(tmp_path / "file" / "log.db", key)
