"""What the portal knows of providers: what the router of the same process sees now."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol


class ProviderSnapshot(Protocol):
    """A provider as the router of this process sees it now; `blocked_until` is in seconds since the epoch."""

    @property
    def name(self) -> str: ...
    @property
    def region(self) -> str: ...
    @property
    def models(self) -> Sequence[str]: ...
    @property
    def state(self) -> str: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def limit(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def blocked_until(self) -> float | None: ...
    @property
    def blocked_why(self) -> str | None: ...
    @property
    def start_expected_at(self) -> float | None: ...
    @property
    def last_failure(self) -> str | None: ...


Snapshot = Callable[[], Sequence[ProviderSnapshot]]


class ProviderChange(Protocol):
    """What the router changed about a provider, and why; `at` is in seconds since the epoch."""

    @property
    def at(self) -> float: ...
    @property
    def provider(self) -> str: ...
    @property
    def what(self) -> str: ...
    @property
    def why(self) -> str: ...


ProviderChanges = Callable[[], Sequence[ProviderChange]]
