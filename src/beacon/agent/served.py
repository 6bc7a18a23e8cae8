"""What an agent serves, and how it knows: its region, and its names of models with the inference server's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from beacon.agent.upstream import NotListedError, Upstream
from beacon.domain.failure import FailureKind
from beacon.domain.names import suggest
from beacon.domain.regions import resolve
from beacon.errors import InputError
from beacon.mailbox.worker import unserved


@dataclass(frozen=True, slots=True)
class ServedModel:
    """`upstream_name` is what the inference server is asked for; `how_known` is a sentence."""

    upstream_name: str
    how_known: str


class Served:
    """`named` maps this agent's names of models to the inference server's; where it is empty, the agent serves what
    the inference server lists."""

    def __init__(self, region: str, named: Mapping[str, str], upstream: Upstream) -> None:
        self.region = region
        self._named = dict(named)
        self._upstream = upstream
        self._listed: frozenset[str] | None = None
        self.not_listed_why: str | None = None

    async def look(self) -> None:
        """Asks the inference server for its list of models; what was known stays where it does not tell."""
        try:
            self._listed = await self._upstream.models()
            self.not_listed_why = None
        except NotListedError as error:
            self.not_listed_why = str(error)

    @property
    def models(self) -> dict[str, ServedModel]:
        if self._named:
            return {name: ServedModel(upstream, self._how(upstream)) for name, upstream in self._named.items()}
        how = "the inference server's list of models"
        return {name: ServedModel(name, how) for name in sorted(self._listed or ())}

    def _how(self, upstream_name: str) -> str:
        if self._listed is None:
            return f"started with --model; the list of models is not known, {self.not_listed_why or 'not asked yet'}"
        listed = "holds it" if upstream_name in self._listed else "does not hold it"
        return f"started with --model; the inference server's list of models {listed}"

    def check_region(self, region: str) -> None:
        """Raises UnservedError that names the region served."""
        try:
            resolve(region, [self.region])
        except InputError:
            what = f"it serves the region {self.region} and was asked for {region!r}"
            raise unserved(FailureKind.REGION_MISMATCH, what) from None

    async def model(self, name: str) -> ServedModel:
        """Looks again before it refuses a name. Raises UnservedError that names the models served."""
        if name not in self.models:
            await self.look()
        known = self.models
        if name in known:
            return known[name]
        if not self._named and self._listed is None:
            what = f"it does not know yet which models are served: {self.not_listed_why}"
            raise unserved(FailureKind.REFUSED_CONNECTION, what, status=503)
        what = f"it serves no model {name!r} ({suggest(name, known)})"
        raise unserved(FailureKind.MODEL_MISMATCH, what)
