"""Whether a fleet may go on with a job that was submitted for another.

Providers come and go, and a lab has new addresses each time; but an answer that was meant to come from a real
provider is never simulated or replayed instead, nor the other way round (invariant no-pretence).
"""

from __future__ import annotations

from beacon.domain.fleet import Fleet, Provider
from beacon.domain.spec import JobSpec, check_against_fleet
from beacon.errors import InputError


def check_same_kind(spec: JobSpec, submitted: Fleet, here: Fleet, source: str) -> None:
    """Every cell is served here, and by providers of the kind that the job was submitted for.

    Raises DocumentError for a cell that nobody serves, InputError for another kind.
    """
    check_against_fleet(spec, here, source)
    for model in spec.models:
        for region in spec.regions:
            wanted = {_kind(provider) for provider in submitted.serving(model, region)}
            for provider in here.serving(model, region):
                if _kind(provider) not in wanted:
                    meant = " or ".join(sorted(wanted))
                    raise InputError(
                        f"{source} was submitted for {meant} providers, and {provider.name!r} is {_kind(provider)}",
                        where=f"{model} in {region}",
                        todo="name the fleet that the job was submitted for with --fleet",
                    )


def _kind(provider: Provider) -> str:
    return "replaying" if provider.replayed else "simulated" if provider.simulated else "real"
