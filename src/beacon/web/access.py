"""Who may do what: keys with a role each, sessions of browsers, and how often somebody may ask.

A viewer reads; a submitter also submits, stops, retries and labels; an operator also acts on the fleet. Without keys
whoever reaches the server is its operator, and it listens on loopback alone.
"""

from __future__ import annotations

import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from beacon.domain.bearer import check_key, digest_of, presented, read_lines
from beacon.domain.clock import Clock
from beacon.domain.names import suggest
from beacon.errors import InputError

KEY_VARIABLE = "BEACON_PORTAL_KEY"
SESSION_S = 12 * 3600.0
"""A browser that signed in is asked for its key again after this long."""
MOST_SESSIONS = 10_000
_DIGEST = "sha256:"
_TOKEN_BYTES = 32


class Role(IntEnum):
    """Each role may do what those below it may."""

    VIEWER = 1
    SUBMITTER = 2
    OPERATOR = 3

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Person:
    """Who asks. `name` is empty where nobody had to sign in."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Key:
    person: Person
    digest: bytes


ANYBODY = Person("", Role.OPERATOR)
PUBLIC = Person("", Role.VIEWER)


class Access:
    """Keys and sessions of one server. `public` lets those read who have no key."""

    def __init__(self, keys: Sequence[Key], clock: Clock, *, public: bool = False) -> None:
        self._keys = keys
        self._clock = clock
        self._public = public
        self._sessions: OrderedDict[bytes, tuple[Person, float]] = OrderedDict()

    def __bool__(self) -> bool:
        """Whether anybody has to sign in."""
        return bool(self._keys)

    def person(self, authorization: str | None, session: str | None) -> Person | None:
        """Who asks; None for who has to sign in first. A key that is wrong is not made good by a session."""
        if not self._keys:
            return ANYBODY
        if authorization is not None:
            return self._holder(presented(authorization.encode("latin-1", "replace")))
        return self._of_session(session) or (PUBLIC if self._public else None)

    def sign_in(self, key: str) -> str | None:
        """A session's token for the holder of a key; None where nobody holds it."""
        person = self._holder(digest_of(key.strip().encode("utf-8", "replace")))
        if person is None:
            return None
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._sessions[digest_of(token)] = (person, self._clock.monotonic() + SESSION_S)
        if len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return token

    def sign_out(self, session: str) -> None:
        self._sessions.pop(digest_of(session), None)

    def _holder(self, digest: bytes | None) -> Person | None:
        """Every key is compared, in constant time."""
        matches = [key.person for key in self._keys if hmac.compare_digest(digest or b"", key.digest)]
        return matches[0] if matches else None

    def _of_session(self, session: str | None) -> Person | None:
        person, until = self._sessions.get(digest_of(session or ""), (None, 0.0))
        return person if self._clock.monotonic() < until else None


def read_portal_keys(environ: Mapping[str, str], file: Path | None) -> list[Key]:
    """`BEACON_PORTAL_KEY` is an operator's; each line of the file is `ROLE NAME KEY`, the key itself or
    `sha256:` and its digest in hexadecimal. Raises InputError, never with a key."""
    found = []
    given = environ.get(KEY_VARIABLE, "").strip()
    if given:
        check_key(given, f"environment variable {KEY_VARIABLE}")
        found.append(Key(Person("operator", Role.OPERATOR), digest_of(given)))
    for line, where in read_lines(file) if file is not None else []:
        found.append(_key(line.split(), where))
    if len({key.digest for key in found}) < len(found):
        raise InputError("two names have the same key", where=str(file), todo="give each a key of its own")
    return found


def _key(words: list[str], where: str) -> Key:
    if len(words) != 3:
        raise InputError(f"a line has {len(words)} words", where=where, todo="write ROLE NAME KEY")
    role, name, given = words
    if role.upper() not in Role.__members__:
        raise InputError(f"{role!r} is no role", where=where, todo=suggest(role, [r.word for r in Role]))
    if not name.isprintable() or len(name) > 100:
        raise InputError("the name cannot be shown", where=where, todo="use at most 100 visible characters")
    return Key(Person(name, Role[role.upper()]), _digest(given, where))


def _digest(given: str, where: str) -> bytes:
    if not given.startswith(_DIGEST):
        check_key(given, where)
        return digest_of(given)
    try:
        digest = bytes.fromhex(given.removeprefix(_DIGEST))
    except ValueError:
        digest = b""
    if len(digest) != 32:
        todo = "make it with `printf %s KEY | sha256sum`"
        raise InputError(f"after {_DIGEST} stand 64 hexadecimal digits", where=where, todo=todo)
    return digest
