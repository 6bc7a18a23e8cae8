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


class Kinds:
    """What each cell was served by since the start: a reload may change its providers, not their kind."""

    def __init__(self, fleet: Fleet) -> None:
        self._seen: dict[tuple[str, str], set[str]] = {}
        self.note(fleet)

    def note(self, fleet: Fleet) -> None:
        """The fleet is followed from now on."""
        for provider in fleet.providers:
            for model in provider.models:
                self._seen.setdefault((model, provider.region), set()).add(_kind(provider))

    def check(self, fleet: Fleet, source: str) -> None:
        """Raises InputError where a cell would be served by providers of a kind that it was not served by."""
        for provider in fleet.providers:
            for model in provider.models:
                seen = self._seen.get((model, provider.region))
                if seen is not None and _kind(provider) not in seen:
                    raise InputError(
                        f"{model} in {provider.region} was served by {' or '.join(sorted(seen))} providers, "
                        f"and {provider.name!r} is {_kind(provider)}",
                        where=source,
                        todo="restart Beacon with this fleet, so that no job is served by both",
                    )


def _kind(provider: Provider) -> str:
    return "replaying" if provider.replayed else "simulated" if provider.simulated else "real"
