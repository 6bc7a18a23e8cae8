"""A zip archive of which every byte is determined by its members' names and contents.

General zip files have bytes that no reader looks at (times, attributes, comments, gaps) and compressed data can
be written in many ways, so an altered byte may change nothing that can be seen. Here members are stored, stand in
a fixed order without gaps, and all headers have one form with ZIP64 sizes (PKWARE APPNOTE 4.3, 4.5.3). The reader
computes that form and compares: whatever differs is found, and nothing is ever inflated or extracted. Ordinary
tools read the archive as a zip.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from beacon.errors import VerificationError

CHUNK_BYTES = 256 * 1024
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END_64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
_END = struct.Struct("<4s4H2IH")
_VERSION = 45
_UNIX = 3 << 8
_MODE = 0o100644 << 16
_MIDNIGHT, _FIRST_DAY = 0, 0x21
"""1980-01-01 00:00, the zero of zip's calendar."""
_IN_EXTRA = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Member:
    """`offset` is where the member's header begins, `size` the length of its contents in bytes."""

    name: str
    offset: int
    size: int
    crc: int

    @property
    def start(self) -> int:
        return self.offset + _LOCAL.size + len(self.name) + 20

    @property
    def end(self) -> int:
        return self.start + self.size

    def local_header(self) -> bytes:
        name = self.name.encode("ascii")
        extra = struct.pack("<2H2Q", 1, 16, self.size, self.size)
        moment = (_MIDNIGHT, _FIRST_DAY)
        fixed = _LOCAL.pack(
            b"PK\x03\x04", _VERSION, 0, 0, *moment, self.crc, _IN_EXTRA, _IN_EXTRA, len(name), len(extra)
        )
        return fixed + name + extra

    def central_header(self) -> bytes:
        name = self.name.encode("ascii")
        extra = struct.pack("<2H3Q", 1, 24, self.size, self.size, self.offset)
        versions = (_UNIX | _VERSION, _VERSION)
        moment = (_MIDNIGHT, _FIRST_DAY)
        sizes = (self.crc, _IN_EXTRA, _IN_EXTRA)
        lengths = (len(name), len(extra), 0)
        fixed = _CENTRAL.pack(b"PK\x01\x02", *versions, 0, 0, *moment, *sizes, *lengths, 0, 0, _MODE, _IN_EXTRA)
        return fixed + name + extra


def directory(members: list[Member]) -> bytes:
    """Everything after the last member's contents."""
    headers = b"".join(member.central_header() for member in members)
    start = members[-1].end
    count = len(members)
    end_64 = _END_64.pack(
        b"PK\x06\x06", _END_64.size - 12, _UNIX | _VERSION, _VERSION, 0, 0, count, count, len(headers), start
    )
    locator = _LOCATOR.pack(b"PK\x06\x07", 0, start + len(headers), 1)
    end = _END.pack(b"PK\x05\x06", 0, 0, count, count, len(headers), _IN_EXTRA, 0)
    return headers + end_64 + locator + end


def write_archive(file: BinaryIO, contents: Iterable[tuple[str, Iterable[bytes]]]) -> None:
    """Writes (name, chunks) as one archive into a seekable file. Raises OSError."""
    members: list[Member] = []
    offset = 0
    for name, chunks in contents:
        placeholder = Member(name, offset, 0, 0)
        file.write(placeholder.local_header())
        size = crc = 0
        for chunk in chunks:
            file.write(chunk)
            size += len(chunk)
            crc = zlib.crc32(chunk, crc)
        member = Member(name, offset, size, crc)
        file.seek(offset)
        file.write(member.local_header())
        file.seek(member.end)
        members.append(member)
        offset = member.end
    file.write(directory(members))


class Archive:
    """An archive with exactly the members `names`, in this order, open for reading.

    Raises VerificationError where its structure is any other; contents are not read, their checksums not
    compared (`damaged`).
    """

    def __init__(self, file: BinaryIO, names: Iterable[str]) -> None:
        self._file = file
        self._length = file.seek(0, 2)
        self.members: dict[str, Member] = {}
        offset = 0
        for name in names:
            member = self._member(name, offset)
            self.members[name] = member
            offset = member.end
        self._check_directory(offset)

    def chunks(self, name: str) -> Iterator[bytes]:
        """The member's contents; several members may be read in turns."""
        position, end = self.members[name].start, self.members[name].end
        while position < end:
            self._file.seek(position)
            chunk = self._file.read(min(CHUNK_BYTES, end - position))
            if not chunk:
                raise VerificationError("the file became shorter while it was read", where=name)
            position += len(chunk)
            yield chunk

    def read(self, name: str, limit: int) -> bytes:
        """The whole member; raises VerificationError where it has more than `limit` bytes."""
        size = self.members[name].size
        if size > limit:
            raise VerificationError(f"{size:,} bytes, at most {limit:,} are read", where=name)
        return b"".join(self.chunks(name))

    def lines(self, name: str, limit: int) -> Iterator[bytes]:
        """The member's lines without their newlines; raises VerificationError for one of more than `limit` bytes."""
        rest = b""
        number = 1
        for chunk in self.chunks(name):
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                self._check_length(line, limit, name, number)
                yield line
                number += 1
            self._check_length(rest, limit, name, number)
        if rest:
            yield rest

    @staticmethod
    def _check_length(line: bytes, limit: int, name: str, number: int) -> None:
        if len(line) > limit:
            raise VerificationError(f"line {number} has more than {limit:,} bytes", where=name)

    def damaged(self) -> Iterator[str]:
        """Names of the members whose contents do not have the checksum that stands in their header."""
        for member in self.members.values():
            crc = 0
            for chunk in self.chunks(member.name):
                crc = zlib.crc32(chunk, crc)
            if crc != member.crc:
                yield member.name

    def ends_with_newline(self, name: str) -> bool:
        """Whether the last line is whole; so is that of an empty member."""
        member = self.members[name]
        if member.size == 0:
            return True
        self._file.seek(member.end - 1)
        return self._file.read(1) == b"\n"

    def _member(self, name: str, offset: int) -> Member:
        probe = Member(name, offset, 0, 0)
        self._file.seek(offset)
        header = self._file.read(probe.start - offset)
        if len(header) == probe.start - offset:
            crc = int.from_bytes(header[14:18], "little")
            size = int.from_bytes(header[-8:], "little")
            member = Member(name, offset, size, crc)
            if header == member.local_header() and member.end <= self._length:
                return member
        raise VerificationError(_fault(header, name), where=f"byte {offset:,}")

    def _check_directory(self, start: int) -> None:
        expected = directory(list(self.members.values()))
        self._file.seek(start)
        found = self._file.read(len(expected) + 1)
        if found != expected:
            same = next((n for n, (a, b) in enumerate(zip(found, expected, strict=False)) if a != b), len(expected))
            position = start + min(same, len(found))
            raise VerificationError(
                "the archive's directory is not the one that its members have", where=f"byte {position:,}"
            )


def _fault(header: bytes, name: str) -> str:
    """What is wrong with a local header where that of `name` belongs."""
    if len(header) < _LOCAL.size:
        return f"the archive ends before its member {name}"
    signature, _, flags, method, *_, name_length, _ = _LOCAL.unpack_from(header)
    if signature != b"PK\x03\x04":
        return f"no member begins where {name} belongs: this is not a bundle, or it was cut or altered there"
    found = header[_LOCAL.size : _LOCAL.size + name_length].decode("ascii", "backslashreplace")[:100]
    if found != name:
        return f"member {found!r} stands where {name} belongs"
    if method or flags:
        return f"member {name} is compressed or encrypted: the archive was packed again, or altered"
    return f"the header of member {name} was altered, or the archive was cut or packed again"
