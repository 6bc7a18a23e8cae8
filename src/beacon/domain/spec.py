"""The job spec (`beacon.job/v1`): what to ask, of whom, where, how often, within which limits.

A *spec document* is what a person writes; its questions may name packs. A *job spec* is the document with its
packs and personas read and inlined: it holds all that is needed to run the job and to check it later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Discriminator, Field, Tag, field_validator, model_validator

from beacon.domain.document import Seconds, load, refuse, validate
from beacon.domain.fleet import Fleet
from beacon.domain.names import suggest
from beacon.domain.persona import PersonaBook, PersonaName
from beacon.domain.question import Frozen, Identifier, Language, Question, QuestionPack
from beacon.domain.regions import normalise
from beacon.errors import DocumentError, InputError

SPEC_SCHEMA = "beacon.job/v1"
MAX_EXECUTIONS = 2_000_000
MAX_QUESTIONS = 10_000


class PackReference(Frozen):
    """A built-in pack by name or, where a client reads the document, a path; `only` selects questions by id."""

    pack: str = Field(min_length=1)
    only: tuple[Identifier, ...] | None = Field(default=None, min_length=1)

    @property
    def is_path(self) -> bool:
        return "/" in self.pack or "\\" in self.pack or self.pack.endswith((".yaml", ".yml", ".json"))


def _question_tag(value: Any) -> str:
    is_reference = isinstance(value, PackReference) or (
        isinstance(value, dict) and "pack" in value and not {"id", "text", "texts"} & value.keys()
    )
    return "<PackReference>" if is_reference else "<Question>"


QuestionEntry = Annotated[
    Annotated[PackReference, Tag("<PackReference>")] | Annotated[Question, Tag("<Question>")],
    Discriminator(_question_tag),
]


class Sampling(Frozen):
    temperature: float = Field(default=0.7, ge=0, le=2)
    max_tokens: int = Field(default=400, ge=1, le=1_000_000)
    top_p: float | None = Field(default=None, gt=0, le=1)


class Limits(Frozen):
    execution_deadline: Seconds = Field(default=300.0, gt=0, le=86_400)
    job_deadline: Seconds | None = Field(default=None, gt=0)
    max_attempts: int = Field(default=3, ge=1, le=20)
    on_unknown: Literal["retry", "fail"] = "retry"
    max_cost_usd: float | None = Field(default=None, gt=0)
    allow_unknown_cost: bool = False


class Success(Frozen):
    """A region passes when completed / total >= min_rate; the job needs min_regions of them (default: all)."""

    min_rate: float = Field(default=0.9, ge=0, le=1)
    min_regions: int | None = Field(default=None, ge=0)


def _no_repetition(values: tuple[str, ...]) -> tuple[str, ...]:
    for value in values:
        if values.count(value) > 1:
            raise refuse(f"{value!r} stands twice", "keep one")
    return values


class SpecDocument(Frozen):
    """A job spec as a person writes it."""

    schema_: Literal["beacon.job/v1"] = Field(alias="schema")
    name: str = Field(min_length=1, max_length=200)
    questions: tuple[QuestionEntry, ...] = Field(min_length=1, max_length=MAX_QUESTIONS)
    models: tuple[Identifier, ...] = Field(min_length=1)
    regions: tuple[str, ...] = Field(min_length=1)
    personas: tuple[PersonaName, ...] = Field(default=("none",), min_length=1)
    languages: tuple[Language, ...] | dict[str, Language] = Field(default=("en",), min_length=1)
    repeats: int = Field(default=1, ge=1, le=10_000)
    seed: int | None = Field(default=None, ge=0, lt=2**63)
    sampling: Sampling = Sampling()
    limits: Limits = Limits()
    success: Success = Success()

    @field_validator("languages", mode="before")
    @classmethod
    def _languages(cls, value: Any) -> Any:
        """Told apart here, so that a fault is told about the form that was meant."""
        if not isinstance(value, list | tuple | dict):
            raise refuse(f"expected a list of languages or a map of region to language, found {value!r}")
        if isinstance(value, dict):
            return {_canonical_region(str(region)): language for region, language in value.items()}
        return value

    @field_validator("regions")
    @classmethod
    def _regions(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return _no_repetition(tuple(_canonical_region(value) for value in values))

    @field_validator("models", "personas")
    @classmethod
    def _unique(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return _no_repetition(values)

    @model_validator(mode="after")
    def _consistent(self) -> SpecDocument:
        if isinstance(self.languages, dict):
            missing = [region for region in self.regions if region not in self.languages]
            if missing:
                raise refuse(f"languages has no entry for region {missing[0]!r}", "give each region its language")
            extra = [region for region in self.languages if region not in self.regions]
            if extra:
                raise refuse(f"languages names region {extra[0]!r}, which is not among regions")
        else:
            _no_repetition(self.languages)
        if self.success.min_regions is not None and self.success.min_regions > len(self.regions):
            raise refuse(
                f"success.min_regions is {self.success.min_regions}, but the job has {len(self.regions)} regions"
            )
        return self

    def languages_of(self, region: str) -> tuple[str, ...]:
        return (self.languages[region],) if isinstance(self.languages, dict) else self.languages


def _canonical_region(name: str) -> str:
    try:
        return normalise(name)
    except InputError as error:
        raise refuse(error.what, error.todo) from None


class JobSpec(SpecDocument):
    """A spec document whose packs and personas are inlined and whose seed is fixed.

    `persona_prompts[persona][region][language]` holds the system prompts that the job uses.
    """

    questions: tuple[Question, ...] = Field(min_length=1, max_length=MAX_QUESTIONS)  # type: ignore[assignment]
    seed: int = Field(ge=0, lt=2**63)
    persona_prompts: dict[str, dict[str, dict[str, str]]] = Field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many executions the job has."""
        per_question = sum(len(self.languages_of(region)) for region in self.regions)
        return len(self.questions) * len(self.models) * len(self.personas) * per_question * self.repeats

    @property
    def region_is_language(self) -> bool:
        """Whether region and language vary together, so that their effects cannot be told apart."""
        return isinstance(self.languages, dict) and len(set(self.languages.values())) > 1

    def question(self, question_id: str) -> Question:
        return next(question for question in self.questions if question.id == question_id)

    def system_prompt(self, persona: str, region: str, language: str) -> str | None:
        return None if persona == "none" else self.persona_prompts[persona][region][language]


def parse_spec(text: str, source: str) -> SpecDocument:
    """Raises DocumentError."""
    return load(SpecDocument, text, source)


def validate_spec(value: Any, source: str) -> SpecDocument:
    """Raises DocumentError."""
    return validate(SpecDocument, value, source)


def inline(
    document: SpecDocument, *, source: str, read_pack: Callable[[PackReference], QuestionPack], personas: PersonaBook,
    seed: int,
) -> JobSpec:
    """The job spec that `document` means; `seed` is used where it names none.

    `read_pack` raises InputError for a pack that cannot be read. Raises DocumentError with every fault.
    """
    faults: list[InputError] = []
    questions: list[Question] = []
    for index, entry in enumerate(document.questions):
        try:
            questions += read_pack(entry).select(entry.only) if isinstance(entry, PackReference) else [entry]
        except DocumentError:
            raise
        except InputError as error:
            faults.append(InputError(error.what, where=f"questions[{index}].pack", todo=error.todo))
    faults += _repeated_ids(questions)
    faults += _missing_texts(document, questions)
    prompts: dict[str, dict[str, dict[str, str]]] = {}
    for persona, region, language in _persona_cells(document):
        prompt = personas.prompt(persona, region, language)
        if prompt is None:
            what = f"persona {persona!r} has no text for region {region!r} in language {language!r}"
            faults.append(InputError(what, where="personas", todo="leave this persona, region or language out"))
        else:
            prompts.setdefault(persona, {}).setdefault(region, {})[language] = prompt
    if faults:
        raise DocumentError(source, faults)
    fields = {name: getattr(document, name) for name in SpecDocument.model_fields if name not in {"questions", "seed"}}
    job_seed = document.seed if document.seed is not None else seed
    spec = JobSpec(**fields, questions=tuple(questions), seed=job_seed, persona_prompts=prompts)
    if spec.total > MAX_EXECUTIONS:
        what = f"the job would have {spec.total:,} executions, at most {MAX_EXECUTIONS:,} are allowed"
        raise DocumentError(source, [InputError(what, where="repeats", todo="ask less, or split it into several jobs")])
    return spec


def _repeated_ids(questions: list[Question]) -> Iterator[InputError]:
    seen: set[str] = set()
    for question in questions:
        if question.id in seen:
            todo = "give each question an id of its own, or select with only"
            yield InputError(f"question id {question.id!r} stands twice", where="questions", todo=todo)
        seen.add(question.id)


def _missing_texts(document: SpecDocument, questions: list[Question]) -> Iterator[InputError]:
    needed = dict.fromkeys(language for region in document.regions for language in document.languages_of(region))
    for question in questions:
        for language in needed:
            if language not in question.texts:
                todo = suggest(language, question.texts)
                yield InputError(f"question {question.id!r} has no text in {language!r}", where="languages", todo=todo)


def _persona_cells(document: SpecDocument) -> Iterator[tuple[str, str, str]]:
    for persona in document.personas:
        if persona != "none":
            for region in document.regions:
                for language in document.languages_of(region):
                    yield persona, region, language


def check_against_fleet(spec: SpecDocument, fleet: Fleet, source: str) -> None:
    """Every region and model of the spec is served; raises DocumentError that names the nearest that is."""
    faults: list[InputError] = []
    for index, region in enumerate(spec.regions):
        if region not in fleet.regions:
            todo = suggest(region, fleet.regions)
            faults.append(InputError(f"unknown region {region!r}", where=f"regions[{index}]", todo=todo))
    for index, model in enumerate(spec.models):
        if model not in fleet.models:
            todo = suggest(model, fleet.models)
            faults.append(InputError(f"unknown model {model!r}", where=f"models[{index}]", todo=todo))
            continue
        served = [p.region for p in fleet.providers if model in p.models]
        for region in spec.regions:
            if region in fleet.regions and region not in served:
                what = f"no provider serves {model!r} in region {region!r}"
                todo = f"it is served in {', '.join(sorted(set(served)))}; add a provider or leave it out"
                faults.append(InputError(what, where=f"models[{index}]", todo=todo))
    faults += _cost_faults(spec, fleet)
    if faults:
        raise DocumentError(source, faults)


def _cost_faults(spec: SpecDocument, fleet: Fleet) -> Iterator[InputError]:
    if spec.limits.max_cost_usd is None or spec.limits.allow_unknown_cost:
        return
    for provider in fleet.providers:
        used = provider.region in spec.regions and set(provider.models) & set(spec.models)
        priced = provider.cost.input_per_mtok is not None and provider.cost.output_per_mtok is not None
        if used and not priced and not provider.replayed:
            what = f"the job has a cost ceiling, but the price of provider {provider.name!r} is unknown"
            todo = "add cost to the provider, or set limits.allow_unknown_cost: true"
            yield InputError(what, where="limits.max_cost_usd", todo=todo)


def to_document(spec: BaseModel) -> dict[str, Any]:
    """The spec as plain JSON values, as it is stored and shown."""
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True)
