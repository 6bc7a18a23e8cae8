"""Reading what a person points at: specs, packs and fleets, from files and from what is built in."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from beacon.domain.document import decode
from beacon.domain.fleet import Fleet, parse_fleet
from beacon.domain.question import QuestionPack, parse_pack
from beacon.domain.spec import JobSpec, PackReference, SpecDocument, inline, parse_spec
from beacon.errors import InputError
from beacon.packs import load_pack, load_personas, names

FLEET_VARIABLE = "BEACON_FLEET"
FLEET_FILE = Path("fleet.yaml")
LAB = "lab"
"""In place of a fleet file this word starts the lab."""


@dataclass(frozen=True, slots=True)
class FleetFile:
    """A fleet, and the directory that its relative paths start from. `path` is None where it stands in no file."""

    fleet: Fleet
    base: Path
    path: Path | None = None


def read_file(path: Path) -> str:
    """The text of a file; raises InputError that names it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}", where=str(path), todo="check the path") from error
    return decode(content, str(path))


def find_fleet(option: str | None, environ: Mapping[str, str]) -> str:
    """The fleet's path, or `lab`: from the option, then `BEACON_FLEET`, then `./fleet.yaml`.

    Raises InputError that says how to get one where there is none.
    """
    if option:
        return option
    if environ.get(FLEET_VARIABLE):
        return environ[FLEET_VARIABLE]
    if FLEET_FILE.exists():
        return str(FLEET_FILE)
    raise InputError(
        "no fleet is configured",
        where=f"--fleet, {FLEET_VARIABLE}, ./{FLEET_FILE}",
        todo="write a fleet.yaml that lists your providers, or use --fleet lab for simulated ones",
    )


def read_fleet(path: Path) -> FleetFile:
    """Raises InputError, DocumentError."""
    return FleetFile(parse_fleet(read_file(path), str(path)), path.resolve().parent, path)


def read_spec(path: Path) -> JobSpec:
    """A job spec with its packs inlined; pack paths are relative to the spec. Raises InputError, DocumentError."""
    return read_spec_to_repeat(path)[0]


def read_spec_to_repeat(path: Path) -> tuple[JobSpec, bool]:
    """As `read_spec`, and whether the document names its seed: otherwise each run of it has one of its own."""
    document = parse_spec(read_file(path), str(path))
    return complete(document, str(path), _pack_reader(path.parent)), document.seed is not None


def complete(
    document: SpecDocument,
    source: str,
    read_pack: Callable[[PackReference], QuestionPack] | None = None,
    *,
    idempotency_key: str | None = None,
) -> JobSpec:
    """The job spec that a document means; without `read_pack` only built-in packs are known, as on a server.

    A seed that the document does not name is drawn, or follows from the key, so that what is sent twice under one key
    is the same spec.
    """
    seed = secrets.randbits(53) if idempotency_key is None else _seed_of(idempotency_key)
    reader = read_pack or built_in_pack
    return inline(document, source=source, read_pack=reader, personas=load_personas(), seed=seed)


def _seed_of(key: str) -> int:
    return int.from_bytes(sha256(f"beacon.seed\0{key}".encode()).digest()[:8], "big") >> 11


def built_in_pack(reference: PackReference) -> QuestionPack:
    """Raises InputError for an unknown name, and for a path: a server reads no files for a client."""
    if reference.is_path:
        raise InputError(
            f"{reference.pack!r} is a path, and a server reads no files of a client",
            todo=f"inline the questions, or use a built-in pack: {', '.join(names())}",
        )
    return load_pack(reference.pack)


def _pack_reader(base: Path) -> Callable[[PackReference], QuestionPack]:
    def read(reference: PackReference) -> QuestionPack:
        if not reference.is_path:
            return load_pack(reference.pack)
        path = base / reference.pack
        return parse_pack(read_file(path), str(path))

    return read
