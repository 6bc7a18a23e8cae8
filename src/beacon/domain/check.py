"""What `beacon doctor` found: one sentence on one thing that must be right before a job can run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from beacon.errors import BeaconError, ExitCode


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Check:
    """`about` names what was looked at, such as `connection`; `todo` says what to do where it is not ok.

    `unreachable` tells an error of a service that is away from one of what was written.
    """

    about: str
    level: Level
    sentence: str
    todo: str | None = None
    unreachable: bool = False


def ok(about: str, sentence: str) -> Check:
    return Check(about, Level.OK, sentence)


def warning(about: str, sentence: str, todo: str | None = None) -> Check:
    return Check(about, Level.WARNING, sentence, todo)


def error(about: str, sentence: str, todo: str | None = None, *, unreachable: bool = False) -> Check:
    return Check(about, Level.ERROR, sentence, todo, unreachable)


def of_error(about: str, found: BeaconError) -> Check:
    """A check that ended in one of Beacon's own errors."""
    where = f" ({found.where})" if found.where else ""
    return error(about, f"{found.what}{where}", found.todo, unreachable=found.exit_code is ExitCode.UNAVAILABLE)


def exit_code(checks: Sequence[Check]) -> ExitCode:
    """0 without errors, whatever the warnings; 3 where a service could not be reached or used; else 2."""
    errors = [check for check in checks if check.level is Level.ERROR]
    if any(check.unreachable for check in errors):
        return ExitCode.UNAVAILABLE
    return ExitCode.BAD_INPUT if errors else ExitCode.DONE
