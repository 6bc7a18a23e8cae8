"""One finding: what was compared, how large the difference is, how sure, and what speaks against it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any, Literal

from beacon.analysis.family import Call

Factor = Literal["region", "model", "language", "persona", "run"]
Level = Literal["overall", "pooled", "question"]


@dataclass(frozen=True, slots=True)
class TellingPair:
    """Two executions that show the finding best, one of either group."""

    question: str
    executions: tuple[str, str]


@dataclass(frozen=True, slots=True)
class RouteShare:
    """How many answers of a group one upstream host served; `upstream` is None where it is not known."""

    upstream: str | None
    answers: int


@dataclass(frozen=True, slots=True)
class Finding:
    """`effect` is the second group's rate minus the first's, averaged over the clusters (for `text_distance`:
    by how much texts of the two groups are further apart than texts of one group). `model` is None where
    models are pooled or compared, `question` where questions are averaged. `interval` is for the average over
    clusters like these, `interval_pack` for these very ones. `n`, `in_class` and `rates` are in the groups'
    order; `clusters_up`, `_down` and `_equal` say in how many clusters the second group has more, less, and
    as much. `confounded_with` names what differs between the groups beside the factor (`routes`, `language`,
    `prompt`): such a finding is not one of the factor alone, although its call stays what the test says.
    """

    id: str
    factor: Factor
    level: Level
    family: str
    measure: str
    model: str | None
    region: str | None
    persona: str | None
    language: str | None
    question: str | None
    groups: tuple[str, str]
    effect: float
    interval: tuple[float, float] | None
    interval_pack: tuple[float, float] | None
    p: float
    q: float
    n: tuple[int, int]
    in_class: tuple[int, int] | None
    rates: tuple[float, float] | None
    clusters: int
    clusters_up: int | None
    clusters_down: int | None
    clusters_equal: int | None
    call: Call
    sentence: str
    caveats: tuple[str, ...] = ()
    confounded_with: tuple[str, ...] = ()
    routes: tuple[tuple[RouteShare, ...], tuple[RouteShare, ...]] | None = None
    checks: dict[str, Any] = field(default_factory=dict)
    telling: tuple[TellingPair, ...] = ()

    def to_document(self) -> dict[str, Any]:
        return asdict(self)


def finding_id(*identity: str | None) -> str:
    """The same comparison has the same id in every report of a job."""
    return "f" + sha256("\x1f".join(part or "" for part in identity).encode()).hexdigest()[:12]
