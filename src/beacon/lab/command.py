"""`beacon lab`: a lab in the foreground until Ctrl-C."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from beacon.errors import ExitCode, InputError, UnavailableError
from beacon.lab.fleet import REGIONS, Lab, open_lab

MARK = "# Written by beacon lab: simulated providers, there while the lab runs."
LOOK_EVERY_S = 0.5


def run_lab(
    world: str = "default",
    *,
    regions: Sequence[str] = REGIONS,
    port: int = 0,
    seed: int = 0,
    write_fleet: Path | None = None,
    output: TextIO = sys.stderr,
) -> ExitCode:
    """Starts the lab, says where it is, writes its fleet file if asked to, and stays until Ctrl-C.

    Raises InputError (a busy port, a bad world, a fleet file that is not the lab's) and UnavailableError, also
    when one of its processes dies.
    """
    if write_fleet is not None:
        _refuse_foreign(write_fleet)
    try:
        with open_lab(world, regions=regions, seed=seed, port=port) as lab:
            if write_fleet is not None:
                _write_fleet(write_fleet, lab)
            _announce(lab, write_fleet, output)
            _watch(lab)
    except KeyboardInterrupt:
        print("lab stopped", file=output)
    return ExitCode.INTERRUPTED


def _refuse_foreign(path: Path) -> None:
    try:
        present = path.read_text("utf-8")
    except FileNotFoundError:
        return
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot write the fleet there: {error}", where=str(path)) from None
    if not present.startswith(MARK):
        todo = "choose another name, or remove it first"
        raise InputError("this file exists and was not written by beacon lab", where=str(path), todo=todo)


def _write_fleet(path: Path, lab: Lab) -> None:
    """Whole or not at all."""
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_text(f"{MARK}\n{lab.fleet_yaml()}", "utf-8")
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise InputError(f"cannot write the fleet: {error.strerror}", where=str(path)) from None


def _announce(lab: Lab, fleet_file: Path | None, output: TextIO) -> None:
    print(f"lab: world {lab.world.name}, seed {lab.seed}, all of it simulated", file=output)
    for process in lab.processes:
        print(f"  {process.region:<6} {process.url}", file=output)
    if fleet_file is not None:
        print(f"fleet written to {fleet_file}; use it with --fleet {fleet_file}", file=output)
    print("Ctrl-C stops it", file=output, flush=True)


def _watch(lab: Lab) -> None:
    while True:
        time.sleep(LOOK_EVERY_S)
        for process in lab.ended():
            raise UnavailableError("one of the lab's processes ended unexpectedly", where=process.name)
