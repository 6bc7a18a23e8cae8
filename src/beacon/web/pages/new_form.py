"""The form of a new job: what is chosen in it, and the spec document that this means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from beacon.domain.fleet import Fleet
from beacon.domain.persona import PersonaName
from beacon.domain.question import Question
from beacon.domain.spec import JobSpec, SpecDocument, to_document, validate_spec
from beacon.errors import DocumentError, InputError
from beacon.packs import load_pack, names
from beacon.runner.inputs import complete
from beacon.web.forms import Sent

SOURCE = "the job"
OWN = "own"
"""Questions that are typed into the form have ids that begin so."""
PERSONAS: dict[PersonaName, str] = {
    "none": "no system prompt",
    "regional": "a person who lives in the region",
    "placebo": "the same form as regional, and no place in it",
}
NUMBERS = ("repeats", "temperature", "max_tokens", "max_attempts", "max_cost_usd", "min_rate", "min_regions", "seed")
TEXTS = ("name", "own", "execution_deadline", "job_deadline", *NUMBERS)
PLACES = {
    "temperature": "sampling.temperature",
    "max_tokens": "sampling.max_tokens",
    "execution_deadline": "limits.execution_deadline",
    "job_deadline": "limits.job_deadline",
    "max_attempts": "limits.max_attempts",
    "max_cost_usd": "limits.max_cost_usd",
    "min_rate": "success.min_rate",
    "min_regions": "success.min_regions",
}
"""Where a field of the form stands in the spec, if not under its own name."""
FIELDS = ("name", "questions", "models", "regions", "personas", "languages", "repeats", "seed", *PLACES)
DEFAULTS = {
    "repeats": "5",
    "temperature": "0.7",
    "max_tokens": "400",
    "execution_deadline": "300s",
    "max_attempts": "3",
    "min_rate": "0.9",
}

FIRST_PACK = "identity"
"""What an empty form has chosen: few questions, with controls among them."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a form holds: texts as they were typed, and what was ticked. Questions are `PACK/ID`."""

    texts: Mapping[str, str]
    questions: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    personas: tuple[str, ...] = ("none",)
    languages: tuple[str, ...] = ("en",)
    allow_unknown_cost: bool = False
    search: str = ""
    category: str = ""

    def text(self, name: str) -> str:
        return self.texts.get(name, "")

    def document(self) -> dict[str, Any]:
        """The spec document, unchecked: what is no number stays the text that it is, and is refused by name."""
        given: dict[str, Any] = {"schema": "beacon.job/v1", "name": self.text("name").strip()}
        given["questions"] = [*_packs(self.questions), *_own(self.text("own"))]
        for name in ("models", "regions", "personas", "languages"):
            given[name] = list(getattr(self, name))
        for name in ("repeats", "temperature", "max_tokens", "execution_deadline", "job_deadline", *NUMBERS[3:]):
            typed = self.text(name).strip()
            if typed:
                _put(given, PLACES.get(name, name), _number(typed) if name in NUMBERS else typed)
        if self.allow_unknown_cost:
            _put(given, "limits.allow_unknown_cost", True)
        return given


def first_choice(fleet: Fleet) -> Choice:
    """What the form begins with: all of the fleet, and the questions of the first pack."""
    chosen = tuple(f"{FIRST_PACK}/{question.id}" for question in load_pack(FIRST_PACK).questions)
    everywhere = [model for model in fleet.models if all(fleet.serving(model, region) for region in fleet.regions)]
    return Choice(DEFAULTS, chosen, tuple(everywhere or fleet.models[:1]), fleet.regions)


def choice_of(sent: Sent) -> Choice:
    """What a form sent."""
    questions = _ticked(sent)
    texts = {name: sent.get(name, "") for name in TEXTS}
    if sent.get("use_repeats"):
        texts["repeats"] = sent["use_repeats"]
    several = {name: tuple(sent.getlist(name.removesuffix("s"))) for name in ("models", "regions", "personas")}
    return Choice(
        texts,
        tuple(questions),
        languages=tuple(sent.getlist("language")),
        allow_unknown_cost="allow_unknown_cost" in sent,
        search=sent.get("search", "")[:200],
        category=sent.get("category", "")[:100],
        **several,
    )


def _ticked(sent: Sent) -> dict[str, None]:
    """The chosen questions. Ticking a pack takes all of it and unticking it none; a pack that was `whole` when the form
    was made and is ticked still has said nothing new, so its questions speak for themselves."""
    questions = dict.fromkeys(sent.getlist("question"))
    whole, packs = set(sent.getlist("whole")), set(sent.getlist("pack"))
    for name in names():
        of_pack = [f"{name}/{question.id}" for question in load_pack(name).questions]
        if name in packs - whole:
            questions |= dict.fromkeys(of_pack)
        elif name in whole - packs:
            questions = {entry: None for entry in questions if entry not in of_pack}
    return questions


def choice_from(spec: JobSpec) -> Choice | None:
    """The form that means this spec, but for its seed; None where the form cannot say it."""
    if isinstance(spec.languages, dict):
        return None
    limits = spec.limits
    typed: dict[str, Any] = {
        "name": spec.name,
        "own": "\n".join(q.texts.get("en", "") for q in spec.questions if q.pack is None),
        "repeats": spec.repeats,
        "temperature": f"{spec.sampling.temperature:g}",
        "max_tokens": spec.sampling.max_tokens,
        "execution_deadline": f"{limits.execution_deadline:g}s",
        "job_deadline": None if limits.job_deadline is None else f"{limits.job_deadline:g}s",
        "max_attempts": limits.max_attempts,
        "max_cost_usd": limits.max_cost_usd,
        "min_rate": f"{spec.success.min_rate:g}",
        "min_regions": spec.success.min_regions,
    }
    choice = Choice(
        {name: str(value) for name, value in typed.items() if value is not None},
        tuple(f"{q.pack}/{q.id}" for q in spec.questions if q.pack is not None),
        spec.models,
        spec.regions,
        spec.personas,
        spec.languages,
        limits.allow_unknown_cost,
    )
    try:
        meant = complete(validate_spec(choice.document(), SOURCE), SOURCE)
    except (DocumentError, InputError):
        return None
    return choice if _without_seed(meant) == _without_seed(spec) else None


def _without_seed(spec: JobSpec) -> dict[str, Any]:
    return to_document(spec) | {"seed": 0}


def _packs(chosen: Sequence[str]) -> Iterator[dict[str, Any]]:
    """A reference to each pack of which something is chosen, with `only` where that is not all."""
    wanted: dict[str, list[str]] = {}
    for entry in chosen:
        pack, _, question = entry.partition("/")
        wanted.setdefault(pack, []).append(question)
    for pack, ids in wanted.items():
        known = [question.id for question in load_pack(pack).questions] if pack in names() else []
        yield {"pack": pack} if set(ids) == set(known) else {"pack": pack, "only": sorted(ids, key=_place(known))}


def _place(known: Sequence[str]) -> Any:
    places = {name: place for place, name in enumerate(known)}
    return lambda name: places.get(name, len(places))


def _own(text: str) -> Iterator[dict[str, Any]]:
    """Each line that says something is a question in English."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return ({"id": f"{OWN}-{place}", "text": line} for place, line in enumerate(lines, 1))


def _put(document: dict[str, Any], path: str, value: Any) -> None:
    *parents, name = path.split(".")
    for parent in parents:
        document = document.setdefault(parent, {})
    document[name] = value


def _number(typed: str) -> Any:
    for kind in (int, float):
        try:
            return kind(typed)
        except ValueError:
            continue
    return typed


@dataclass(frozen=True, slots=True)
class Faults:
    """What is wrong with a form, by the field at which it is said; `elsewhere` is said above them all."""

    at: dict[str, list[InputError]] = field(default_factory=dict)
    elsewhere: tuple[InputError, ...] = ()

    @property
    def count(self) -> int:
        return len(self.elsewhere) + sum(map(len, self.at.values()))


def faults_of(error: DocumentError) -> Faults:
    at: dict[str, list[InputError]] = {}
    elsewhere: list[InputError] = []
    for fault in error.faults:
        name = _field_at(fault.where or "")
        if name is None:
            elsewhere.append(fault)
        else:
            at.setdefault(name, []).append(fault)
    return Faults(at, tuple(elsewhere))


def _field_at(where: str) -> str | None:
    """The field of the form for a path such as `limits.max_cost_usd` or `models[1]`."""
    by_place = {place: name for name, place in PLACES.items()}
    if where in by_place:
        return by_place[where]
    head = where.split(".")[0].split("[")[0]
    return head if head in FIELDS else None


@dataclass(frozen=True, slots=True)
class PackView:
    """A pack with those of its questions that the list shows, each with whether it is chosen."""

    name: str
    title: str
    total: int
    chosen: int
    questions: tuple[tuple[Question, bool], ...]


def packs_shown(choice: Choice) -> list[PackView]:
    """All packs, with the questions that match the search, then those that are chosen without matching it. Packs in
    which something matches stand first."""
    chosen, wanted = set(choice.questions), choice.search.casefold().split()
    shown: list[PackView] = []
    rest: list[PackView] = []
    for name in names():
        pack = load_pack(name)
        marked = [(q, f"{name}/{q.id}" in chosen) for q in pack.questions]
        found = [(q, mark) for q, mark in marked if _matches(q, wanted, choice.category)]
        kept = [(q, mark) for q, mark in marked if mark and not _matches(q, wanted, choice.category)]
        view = PackView(name, pack.title, len(marked), sum(mark for _, mark in marked), (*found, *kept))
        (shown if found else rest).append(view)
    return shown + rest


def _matches(question: Question, wanted: Sequence[str], category: str) -> bool:
    if category and question.category != category:
        return False
    text = " ".join((question.id, question.category, *question.texts.values())).casefold()
    return all(word in text for word in wanted)


def categories() -> list[tuple[str, str]]:
    """Of all built-in questions, with how many each has."""
    counts: dict[str, int] = {}
    for name in names():
        for question in load_pack(name).questions:
            counts[question.category] = counts.get(question.category, 0) + 1
    return [(name, f"{name}, {count}") for name, count in sorted(counts.items())]


def languages() -> list[tuple[str, int]]:
    """In how many built-in questions each language has a text."""
    counts: dict[str, int] = {}
    for name in names():
        for question in load_pack(name).questions:
            for language in question.texts:
                counts[language] = counts.get(language, 0) + 1
    return sorted(counts.items(), key=lambda item: (-item[1], item[0] != "en", item[0]))


def read_choice(choice: Choice) -> SpecDocument:
    """Raises DocumentError with every fault."""
    return validate_spec(choice.document(), SOURCE)
