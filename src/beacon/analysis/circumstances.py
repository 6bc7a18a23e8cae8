"""What else differs between the arms of a comparison, whatever is measured: routes, language, prompt, times,
missing answers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from beacon.analysis.cells import Cells
from beacon.analysis.comparison import Comparison
from beacon.analysis.finding import RouteShare
from beacon.analysis.missing import Missing, missing
from beacon.analysis.observation import Observation
from beacon.analysis.routes import Mix, mixes
from beacon.analysis.settings import AnalysisSettings
from beacon.analysis.timing import Starts, duration, starts
from beacon.analysis.words import listed, percent, probability

Arms = tuple[list[Observation], list[Observation]]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """`starts` is None where start times are not known."""

    comparison: Comparison
    arms: Arms
    mixes: tuple[Mix, ...]
    starts: Starts | None
    missing: Missing

    @property
    def confounded_with(self) -> tuple[str, ...]:
        """What a reader must be told before the difference."""
        found = []
        if any(mix.differs for mix in self.mixes):
            found.append("routes")
        if self.comparison.language_bound:
            found.append("language")
        if self.comparison.factor == "region" and self.comparison.fixed("persona") is not None:
            found.append("prompt")
        return tuple(found)

    def told_first(self, *, is_difference: bool) -> str:
        """The words in front of the finding's sentence."""
        confounds = self.confounded_with
        parts = []
        if "routes" in confounds:
            differing = next(mix for mix in self.mixes if mix.differs)
            denied = f", so not shown to be an effect of the {self.comparison.factor}" if is_difference else ""
            parts.append(f"Over different routes ({self._told(differing)}){denied}")
        if "language" in confounds:
            parts.append(f"Region with language ({self._languages()})")
        if "prompt" in confounds:
            parts.append("Region with its own prompt (persona regional)")
        return "".join(f"{part}: " for part in parts)

    @property
    def caveats(self) -> list[str]:
        """A sentence each on language, prompt and routes."""
        confounds = self.confounded_with
        told = []
        if "language" in confounds:
            told.append(f"Region and language vary together ({self._languages()}): their effects cannot be told apart.")
        if "prompt" in confounds:
            told.append("The persona's prompt differs from region to region: it may be what makes the difference.")
        told += [
            f"The groups were served differently by {_NOUNS[mix.attribute]} ({self._told(mix)}; "
            f"{probability('p', mix.p)} that the mixes are alike)."
            for mix in self.mixes
            if mix.differs and mix.p is not None
        ]
        return [*told, *self._unknown_hosts()]

    @property
    def start_caveats(self) -> list[str]:
        if self.comparison.factor == "run" or self.starts is None or not self.starts.differ:
            return []
        a, b = self.comparison.groups
        later, earlier = (b, a) if self.starts.lag_s > 0 else (a, b)
        chance = self.starts.later if self.starts.lag_s > 0 else 1 - self.starts.later
        return [
            f"{later} was asked {duration(self.starts.lag_s)} later than {earlier} (median; a start in "
            f"{later} comes after one in {earlier} with a chance of {percent(chance)}){self._cold_start()}: a change "
            "over time would look the same."
        ]

    def _cold_start(self) -> str:
        if self.starts is None or not self.starts.from_cold:
            return ""
        at = f" of {self.starts.cold_provider}" if self.starts.cold_provider else ""
        return f", after a cold start{at} of {duration(self.starts.cold_start_s)}"

    def _unknown_hosts(self) -> Iterable[str]:
        """Where it is known in one group only; where it is in none, the report says so once for all."""
        hosts = self.mixes[0]
        known = [any(name is not None for name, _ in shares) for shares in hosts.shares]
        if known[0] != known[1]:
            dark = self.comparison.groups[known.index(False)]
            yield f"Which hosts served {dark} is not known: different routes cannot be ruled out."

    @property
    def routes(self) -> tuple[tuple[RouteShare, ...], tuple[RouteShare, ...]]:
        a, b = ([RouteShare(name, count) for name, count in shares] for shares in self.mixes[0].shares)
        return tuple(a), tuple(b)

    def _told(self, mix: Mix) -> str:
        told = []
        for group, shares in zip(self.comparison.groups, mix.shares, strict=True):
            named = [f"{name or 'unknown'} {count}" for name, count in shares]
            told.append(f"{group}: {listed(named, most=4)}")
        return "; ".join(told)

    def _languages(self) -> str:
        groups = zip(self.comparison.groups, self.comparison.languages, strict=True)
        return ", ".join(f"{group} in {listed(languages)}" for group, languages in groups)


_NOUNS = {"upstream": "upstream hosts", "model_echoed": "the model that they name", "provider": "providers"}


def circumstances(comparison: Comparison, cells: Cells, settings: AnalysisSettings) -> Circumstances:
    arms = (
        [o for a, _ in comparison.pairs for o in cells[a].answered],
        [o for _, b in comparison.pairs for o in cells[b].answered],
    )
    return Circumstances(
        comparison,
        arms,
        tuple(mixes(comparison, arms, settings.seed)),
        starts(comparison, cells),
        missing(comparison, cells, settings.seed),
    )
