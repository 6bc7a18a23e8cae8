"""Built-in question packs and personas, read from this package's YAML files once per process."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from beacon.domain.document import decode
from beacon.domain.names import suggest
from beacon.domain.persona import PersonaBook, parse_personas
from beacon.domain.question import QuestionPack, parse_pack
from beacon.errors import InputError

_PERSONAS = "personas.yaml"
_ENDING = ".yaml"


@cache
def _names() -> tuple[str, ...]:
    found = (entry.name for entry in files(__package__).iterdir())
    return tuple(sorted(name.removesuffix(_ENDING) for name in found if name.endswith(_ENDING) and name != _PERSONAS))


def names() -> list[str]:
    """The names of the built-in packs, in alphabetical order."""
    return list(_names())


def load_pack(name: str) -> QuestionPack:
    """Raises InputError, with the nearest name, for a pack that is not built in."""
    if name not in _names():
        raise InputError(f"unknown question pack {name!r}", todo=suggest(name, _names()))
    return _read_pack(name)


@cache
def _read_pack(name: str) -> QuestionPack:
    return parse_pack(_text(f"{name}{_ENDING}"), name)


@cache
def load_personas() -> PersonaBook:
    """The built-in system prompts of the personas `placebo` and `regional`."""
    return parse_personas(_text(_PERSONAS), _PERSONAS)


def _text(file: str) -> str:
    return decode(files(__package__).joinpath(file).read_bytes(), file)
