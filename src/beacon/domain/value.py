"""Values of which a runner makes several for each execution: frozen to whoever writes code, cheap to make.

To a type checker `value` is `dataclasses.dataclass`, so that a change of a frozen one is an error there. At run time it
does without the guard: a frozen dataclass of eight fields takes four to six times as long to make as another one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

T = TypeVar("T")

__all__ = ["value"]

if TYPE_CHECKING:
    from dataclasses import dataclass as value
else:
    from dataclasses import dataclass

    def value(*, frozen: bool, slots: bool) -> Callable[[type[T]], type[T]]:
        """As `dataclass`; what is frozen compares and hashes by its fields, and should not be changed."""
        return dataclass(slots=slots, unsafe_hash=frozen)
