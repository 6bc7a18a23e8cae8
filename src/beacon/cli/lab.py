"""`beacon lab`: simulated regional providers in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from beacon.cli.settings import PORT
from beacon.lab.command import run_lab


def lab(
    *,
    world: Annotated[str, Parameter(help="A built-in world or a world file.")] = "default",
    regions: Annotated[str, Parameter(help="Comma-separated regions.")] = "us,eu,apac",
    port: Annotated[int, PORT, Parameter(help="First port, one a region upwards; 0 lets the system choose.")] = 0,
    seed: Annotated[int, Parameter(help="Decides every answer and delay.")] = 0,
    write_fleet: Annotated[Path | None, Parameter(help="Write the fleet file that points at this lab.")] = None,
) -> int:
    """Run simulated regional providers until Ctrl-C. Everything that they answer is marked simulated.

    Example: `beacon lab --write-fleet lab-fleet.yaml`
    """
    return run_lab(world=world, regions=regions.split(","), port=port, seed=seed, write_fleet=write_fleet)
