"""The transparency log: an append-only Merkle log in a file of its own, one entry a sealed job.

An entry is the seal's envelope, byte for byte. Next to the entries stand the roots of all complete subtrees, so
that appending and proving take O(log n) reads.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from platformdirs import user_data_path

from beacon.errors import ConflictError, DatabaseError, DatabaseTooNewError, InputError, VerificationError
from beacon.provenance.keys import SigningKey
from beacon.provenance.merkle import (
    Frontier,
    Node,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    subtree_root,
)
from beacon.provenance.note import Checkpoint, check_origin
from beacon.provenance.proof import LogProof

LOG_FILE = "log.db"
LOG_VARIABLE = "BEACON_TRANSPARENCY_LOG"
_VERSION = 1
_BUSY_S = 30.0
"""How long another process may hold the log; then the seal is tried again by whoever goes on with the job."""
_PAGE = 1_000
_TABLES = (
    "CREATE TABLE log (origin TEXT NOT NULL, key_id TEXT NOT NULL)",
    "CREATE TABLE entries (number INTEGER PRIMARY KEY, leaf BLOB NOT NULL UNIQUE, entry BLOB NOT NULL)",
    "CREATE TABLE nodes (level INTEGER NOT NULL, number INTEGER NOT NULL, hash BLOB NOT NULL,"
    " PRIMARY KEY (level, number)) WITHOUT ROWID",
)


def default_log_path() -> Path:
    """What `BEACON_TRANSPARENCY_LOG` names, by default a file in the user's data directory."""
    named = os.environ.get(LOG_VARIABLE)
    return Path(named).expanduser() if named else user_data_path("beacon") / LOG_FILE


class TransparencyLog:
    """The log in the file `path`, made on first use; `key` signs its checkpoints.

    `origin` is its name in checkpoints, by default one made from the key's id; it is fixed when the log is made.
    Safe for use by several threads and processes. Every method raises DatabaseError where the file cannot be
    used. Raises ConflictError for a log that was begun with another key or name.
    """

    def __init__(self, path: Path, key: SigningKey, origin: str | None = None) -> None:
        self.path = path
        self._key = key
        self.origin = check_origin(origin or f"beacon-log/{key.public.key_id[:16]}")
        self._prepare()

    def append(self, entry: bytes) -> int:
        """Appends an entry and returns its index; an entry that is there already keeps the index it has."""
        leaf = leaf_hash(entry)
        with self._transaction(writes=True) as connection:
            known = connection.execute("SELECT number FROM entries WHERE leaf = ?", (leaf,)).fetchone()
            if known is not None:
                return int(known[0])
            index = _size(connection)
            connection.execute("INSERT INTO entries VALUES (?, ?, ?)", (index, leaf, entry))
            level, number, root = 0, index, leaf
            connection.execute("INSERT INTO nodes VALUES (?, ?, ?)", (level, number, root))
            while number & 1:
                root = node_hash(_node(connection, level, number - 1), root)
                level, number = level + 1, number >> 1
                connection.execute("INSERT INTO nodes VALUES (?, ?, ?)", (level, number, root))
        return index

    def size(self) -> int:
        with self._transaction() as connection:
            return _size(connection)

    def entries(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """(index, entry) from `start` on, a page in memory at a time."""
        query = "SELECT number, entry FROM entries WHERE number >= ? ORDER BY number LIMIT ?"
        while True:
            with self._transaction() as connection:
                page = connection.execute(query, (start, _PAGE)).fetchall()
            if not page:
                return
            yield from page
            start = page[-1][0] + 1

    def checkpoint(self, size: int | None = None) -> str:
        """The signed checkpoint over the first `size` entries, by default over all. Raises InputError."""
        with self._transaction() as connection:
            return self._checkpoint(connection, self._valid(connection, size))

    def proof(self, index: int, size: int | None = None) -> LogProof:
        """The proof that entry `index` stands among the first `size`. Raises InputError."""
        with self._transaction() as connection:
            size = self._valid(connection, size)
            if not 0 <= index < size:
                raise InputError(f"the log has no entry {index} among its first {size}", where=str(self.path))
            hashes = inclusion_proof(index, size, _reader(connection))
            return LogProof(index, tuple(hashes), self._checkpoint(connection, size))

    def consistency(self, old: int, new: int | None = None) -> list[bytes]:
        """The proof that the log of size `new` begins with the log of size `old`. Raises InputError."""
        with self._transaction() as connection:
            new = self._valid(connection, new)
            if not 0 <= old <= new:
                raise InputError(f"the log of size {new} has no beginning of size {old}", where=str(self.path))
            return consistency_proof(old, new, _reader(connection))

    def audit(self) -> Checkpoint:
        """The log's head, computed anew from its entries; raises VerificationError where the file disagrees."""
        tree = Frontier()
        query = (
            "SELECT entries.number, leaf, entry, hash FROM entries"
            " LEFT JOIN nodes ON nodes.level = 0 AND nodes.number = entries.number ORDER BY entries.number"
        )
        with self._transaction() as connection:
            for number, stored, entry, node in connection.execute(query):
                leaf = leaf_hash(entry)
                if number != tree.size or stored != leaf or node != leaf:
                    raise VerificationError(f"entry {tree.size} of the log was altered", where=str(self.path))
                tree.append(leaf)
            root = subtree_root(0, tree.size, _reader(connection))
        if root != tree.root():
            raise VerificationError("the log's tree does not agree with its entries", where=str(self.path))
        return Checkpoint(self.origin, tree.size, root)

    def _checkpoint(self, connection: sqlite3.Connection, size: int) -> str:
        return Checkpoint(self.origin, size, subtree_root(0, size, _reader(connection))).sign(self._key)

    def _valid(self, connection: sqlite3.Connection, size: int | None) -> int:
        whole = _size(connection)
        if size is None:
            return whole
        if not 0 <= size <= whole:
            raise InputError(f"the log has {whole} entries, not {size}", where=str(self.path))
        return size

    def _prepare(self) -> None:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseError(f"cannot make the log: {error.strerror}", where=str(self.path)) from error
        key_id = self._key.public.key_id
        with self._transaction(writes=True) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > _VERSION:
                todo = "use a newer Beacon, or name another log"
                raise DatabaseTooNewError("this log was written by a newer Beacon", where=str(self.path), todo=todo)
            if version == 0:
                for statement in _TABLES:
                    connection.execute(statement)
                connection.execute("INSERT INTO log VALUES (?, ?)", (self.origin, key_id))
                connection.execute(f"PRAGMA user_version = {_VERSION}")
            begun = connection.execute("SELECT origin, key_id FROM log").fetchone()
        if begun != (self.origin, key_id):
            what = f"this log was begun as {begun[0]} with key {begun[1]}, not as {self.origin} with key {key_id}"
            raise ConflictError(what, where=str(self.path), todo="use the key and name that it was begun with")

    @contextmanager
    def _transaction(self, *, writes: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection of its own for each transaction, so that threads share nothing; closing it rolls back."""
        try:
            with closing(sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
                yield connection
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            todo = "check the disk, the file's permissions and that no other program holds it"
            raise DatabaseError(f"the log cannot be used: {error}", where=str(self.path), todo=todo) from error


def _size(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT max(number) + 1 FROM entries").fetchone()
    return int(row[0] or 0)


def _node(connection: sqlite3.Connection, level: int, number: int) -> bytes:
    query = "SELECT hash FROM nodes WHERE level = ? AND number = ?"
    row = connection.execute(query, (level, number)).fetchone()
    if row is None:
        raise DatabaseError(f"the log lacks the node ({level}, {number}) of its tree", where="nodes")
    return bytes(row[0])


def _reader(connection: sqlite3.Connection) -> Node:
    return lambda level, number: _node(connection, level, number)
