"""A report as the findings page says it: sentences with their numbers, a heat map, rates."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from beacon.domain.spec import JobSpec
from beacon.web import lenient
from beacon.web.text import signed

DIFFERENCE, NEGLIGIBLE, UNDECIDED = "difference", "negligible", "undecided"
MOST_DIFFERENCES = 100
MOST_OTHERS = 60
MOST_QUESTIONS = 200
SHOWN = {"different": "what differs", "failed": "what failed", "disputed": "what is disputed"}
"""What the page may be narrowed to, by the word that stands in the address."""
_CONFOUNDS = {
    "routes": "different routes",
    "language": "region with language",
    "prompt": "region with its own prompt",
}


@dataclass(frozen=True, slots=True)
class Plot:
    """Places in percent of the axis; None where a number is unknown."""

    point: float
    low: float | None
    high: float | None
    band_x: float
    band_width: float


@dataclass(frozen=True, slots=True)
class Finding:
    """One comparison. `rated` says whether the effect is a difference of shares, told in points."""

    raw: dict[str, Any]
    id: str
    call: str
    factor: str
    measure: str
    model: str | None
    question: str | None
    groups: tuple[str, ...]
    effect: float | None
    interval: tuple[float, float] | None
    interval_pack: tuple[float, float] | None
    p: float | None
    q: float | None
    n: tuple[int, ...]
    sentence: str | None
    caveats: tuple[str, ...]
    confounds: tuple[str, ...]
    rated: bool

    @property
    def direction(self) -> str:
        if self.call != DIFFERENCE or not self.effect:
            return "none"
        return "more" if self.effect > 0 else "less"

    @property
    def size(self) -> str | None:
        """The effect with its sign: in points for shares, as it is for other measures."""
        return None if self.effect is None else self.told(self.effect)

    @property
    def span(self) -> str | None:
        return None if self.interval is None else f"{self.told(self.interval[0])} to {self.told(self.interval[1])}"

    @property
    def span_pack(self) -> str | None:
        pack = self.interval_pack
        return None if pack is None else f"{self.told(pack[0])} to {self.told(pack[1])}"

    def told(self, value: float) -> str:
        return (
            signed(100 * value, 0 if abs(value) >= 0.0095 or abs(value) < 0.0005 else 1)
            if self.rated
            else signed(value, 2)
        )

    @property
    def against(self) -> str:
        """Which group is compared with which, as the effect's sign reads."""
        return " against ".join(reversed(self.groups)) if len(self.groups) > 1 else "unknown"

    @property
    def answers(self) -> int | None:
        return sum(self.n) if self.n else None

    @property
    def telling(self) -> list[tuple[str, str]]:
        """(group, execution) of the pair that shows it best."""
        for item in lenient.mappings(self.raw.get("telling")):
            executions = lenient.texts(item.get("executions"))
            if len(executions) == len(self.groups):
                return list(zip(self.groups, executions, strict=True))
        return []

    @property
    def routes(self) -> list[str]:
        """`us: hostA 40, unknown 2`, for each group."""
        told = []
        given = self.raw.get("routes")
        for group, shares in zip(self.groups, given if isinstance(given, list) else [], strict=False):
            mix = [
                f"{lenient.text(s.get('upstream')) or 'unknown'} {s.get('answers')}" for s in lenient.mappings(shares)
            ]
            told.append(f"{group}: {', '.join(mix) or 'unknown'}")
        return told

    def plot(self, reach: float, smallest: float | None) -> Plot | None:
        """On an axis from -`reach` to +`reach`."""
        if self.effect is None:
            return None

        def place(value: float) -> float:
            return 50 + 50 * max(-1.0, min(1.0, value / reach))

        low, high = (place(end) for end in self.interval) if self.interval else (None, None)
        band = min(50.0, 50 * (smallest or 0.0) / reach) if self.rated else 0.0
        return Plot(place(self.effect), low, high, 50 - band, 2 * band)


def findings_of(document: dict[str, Any]) -> list[Finding]:
    rates = lenient.mapping(document.get("measures"))
    return [_finding(item, rates) for item in lenient.mappings(document.get("findings"))]


def _finding(raw: dict[str, Any], rates: dict[str, Any]) -> Finding:
    measure = lenient.text(raw.get("measure")) or "unknown"
    confounds = lenient.texts(raw.get("confounded_with"))
    return Finding(
        raw=raw,
        id=lenient.text(raw.get("id")) or "",
        call=lenient.text(raw.get("call")) or "unknown",
        factor=lenient.text(raw.get("factor")) or "unknown",
        measure=measure,
        model=lenient.text(raw.get("model")),
        question=lenient.text(raw.get("question")),
        groups=tuple(lenient.texts(raw.get("groups"))),
        effect=lenient.number(raw.get("effect")),
        interval=lenient.pair(raw.get("interval")),
        interval_pack=lenient.pair(raw.get("interval_pack")),
        p=lenient.number(raw.get("p")),
        q=lenient.number(raw.get("q")),
        n=tuple(n for n in (lenient.count(item) for item in raw.get("n") or []) if n is not None),
        sentence=lenient.text(raw.get("sentence")),
        caveats=tuple(lenient.texts(raw.get("caveats"))),
        confounds=tuple(_CONFOUNDS.get(name, name) for name in confounds),
        rated=measure in rates or measure.endswith("_rate"),
    )


class Shaded:
    """A share of answers as a page shows it: in percent, None where no answer has one, and as one of seven shades."""

    __slots__ = ()
    share: float | None

    @property
    def percent(self) -> str | None:
        return None if self.share is None else f"{100 * self.share:.0f}"

    @property
    def step(self) -> int:
        """0 for none, 6 for nearly all."""
        if self.share is None or round(100 * self.share) == 0:
            return 0
        return sum(100 * self.share >= edge for edge in (0, 9.5, 24.5, 39.5, 59.5, 84.5))


@dataclass(frozen=True, slots=True)
class HeatCell(Shaded):
    question: str
    model: str
    region: str
    share: float | None
    answers: int
    missing: int
    holds: bool


@dataclass(frozen=True, slots=True)
class Chosen:
    """The filters, as they stand in the address; an empty text means all."""

    model: str = ""
    region: str = ""
    question: str = ""
    factor: str = ""
    measure: str = ""
    show: str = ""

    def takes(self, finding: Finding) -> bool:
        return (
            (
                not self.model
                or finding.model == self.model
                or (finding.factor == "model" and self.model in finding.groups)
            )
            and (not self.region or self.region in finding.groups or finding.raw.get("region") == self.region)
            and (not self.question or finding.question == self.question)
            and (not self.factor or finding.factor == self.factor)
            and (not self.measure or finding.measure == self.measure)
        )

    def cut(self, rows: list[tuple[str, list[HeatCell]]]) -> list[tuple[str, list[HeatCell]]]:
        """The heat map's rows and columns that these filters leave."""
        kept = [(question, row) for question, row in rows if self.question in ("", question)]
        cut = [
            (q, [c for c in row if self.model in ("", c.model) and self.region in ("", c.region)]) for q, row in kept
        ]
        return [(question, row) for question, row in cut if self._shows(row)]

    def _shows(self, row: list[HeatCell]) -> bool:
        match self.show:
            case "different":
                return any(cell.holds for cell in row)
            case "failed":
                return any(cell.missing for cell in row)
        return True

    def arms(self, by_model: list[tuple[str, list[Rate]]]) -> list[tuple[str, list[Rate]]]:
        """The shares with intervals that these filters leave."""
        cut = [
            (model, [rate for rate in arms if self.region in ("", rate.region)])
            for model, arms in by_model
            if self.model in ("", model)
        ]
        return [(model, arms) for model, arms in cut if arms]

    def named(self) -> list[tuple[str, str]]:
        """As they stand in the address."""
        names = ("model", "region", "question", "factor", "measure", "show")
        return [(name, getattr(self, name)) for name in names]

    @property
    def any(self) -> bool:
        return any(value for _, value in self.named())


def heat(
    document: dict[str, Any], spec: JobSpec, measure: str, findings: Sequence[Finding]
) -> list[tuple[str, list[HeatCell]]]:
    """Question by (model, region), over personas and languages together; questions in the spec's order."""
    sums: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    for row in lenient.mappings(lenient.mapping(document.get("rates")).get("cells")):
        key = (_question_of(row), str(row.get("model")), str(row.get("region")))
        inside = lenient.count(lenient.mapping(row.get(measure)).get("in_class"))
        answers, executions = lenient.count(row.get("answers")), lenient.count(row.get("executions"))
        if inside is not None and answers is not None:
            sums[key][0] += inside
            sums[key][1] += answers
            sums[key][2] += (executions or answers) - answers
    held = set(_held(findings, measure))
    questions = [question.id for question in spec.questions if any(key[0] == question.id for key in sums)]

    def cell(question: str, model: str, region: str) -> HeatCell:
        inside, answers, missing = sums.get((question, model, region), [0, 0, 0])
        share = inside / answers if answers else None
        return HeatCell(question, model, region, share, answers, missing, (question, model, region) in held)

    return [(q, [cell(q, m, r) for m in spec.models for r in spec.regions]) for q in questions[:MOST_QUESTIONS]]


def _question_of(row: dict[str, Any]) -> str:
    return str(row.get("question_id") or row.get("question"))


def _held(findings: Sequence[Finding], measure: str) -> Iterator[tuple[str, str, str]]:
    for finding in findings:
        single = finding.question is not None and finding.model is not None and finding.factor == "region"
        if single and finding.call == DIFFERENCE and finding.measure == measure:
            for region in finding.groups:
                yield str(finding.question), str(finding.model), region


@dataclass(frozen=True, slots=True)
class Rate:
    """One arm: its share with interval, all from 0 to 1."""

    model: str
    region: str
    arm: str
    share: float | None
    interval: tuple[float, float] | None
    inside: int | None
    answers: int | None
    executions: int | None
    classes: dict[str, int]


def rates(document: dict[str, Any], spec: JobSpec, measure: str) -> list[tuple[str, list[Rate]]]:
    """By model, in the spec's order of regions."""
    order = {region: place for place, region in enumerate(spec.regions)}
    by_model: dict[str, list[Rate]] = defaultdict(list)
    for row in lenient.mappings(lenient.mapping(document.get("rates")).get("arms")):
        told = lenient.mapping(row.get(measure))
        several = [str(row[name]) for name in ("persona", "language") if name in row and _varies(spec, name)]
        classes = {str(k): v for k, v in lenient.mapping(row.get("classes")).items() if isinstance(v, int)}
        by_model[str(row.get("model"))].append(
            Rate(
                model=str(row.get("model")),
                region=str(row.get("region")),
                arm=", ".join(several),
                share=lenient.number(told.get("rate")),
                interval=lenient.pair(told.get("interval")),
                inside=lenient.count(told.get("in_class")),
                answers=lenient.count(row.get("answers")),
                executions=lenient.count(row.get("executions")),
                classes=classes,
            )
        )
    for arms in by_model.values():
        arms.sort(key=lambda rate: (order.get(rate.region, len(order)), rate.arm))
    known = [model for model in spec.models if model in by_model]
    return [(model, by_model[model]) for model in known]


def _varies(spec: JobSpec, name: str) -> bool:
    if name == "persona":
        return len(spec.personas) > 1
    return isinstance(spec.languages, dict) or len(spec.languages) > 1
