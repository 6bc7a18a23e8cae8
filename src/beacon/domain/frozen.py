"""The base of every value that a document is read into."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable value that refuses unknown keys, infinities and NaN.

    `key_hints` says what to do about keys that people write and that do not exist, beyond the nearest name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    key_hints: ClassVar[dict[str, str]] = {}

    @classmethod
    def written_keys(cls) -> list[str]:
        """The keys that a person may write in such a value."""
        return [field.alias or name for name, field in cls.model_fields.items()]
