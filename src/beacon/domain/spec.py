"""The job spec (`beacon.job/v1`): what to ask, of whom, where, how often, within which limits.

A *spec document* is what a person writes; its questions may name packs. A *job spec* is the document with its
packs and personas read and inlined: it holds all that is needed to run the job and to check it later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator
from pydantic_core import PydanticCustomError

from beacon.domain.document import load, validate
from beacon.domain.faults import no_repetition, refuse, show
from beacon.domain.fleet import Fleet
from beacon.domain.frozen import Frozen
from beacon.domain.names import suggest
from beacon.domain.persona import PersonaBook, PersonaName
from beacon.domain.question import MAX_QUESTIONS, Identifier, Language, Question, QuestionPack
from beacon.domain.regions import normalise
from beacon.domain.scalars import (
    UNIQUE,
    Line,
    LongLine,
    ModelName,
    Number,
    RegionName,
    Seconds,
    Whole,
    YesOrNo,
    canonical_region,
)
from beacon.errors import DocumentError, InputError

SPEC_SCHEMA = "beacon.job/v1"
MAX_EXECUTIONS = 2_000_000
MAX_MODELS = 200
MAX_REGIONS = 100
MAX_LANGUAGES = 50
MAX_SEED = 2**53 - 1
"""The largest whole number that every JSON reader keeps exact and that canonical JSON (RFC 8785) can hold."""


class PackReference(Frozen):
    """A built-in pack by name, or by path where a client reads the document.

    `only` selects questions by id.
    """

    pack: LongLine
    only: tuple[Identifier, ...] | None = Field(
        default=None, min_length=1, max_length=MAX_QUESTIONS, json_schema_extra=UNIQUE
    )

    @field_validator("only")
    @classmethod
    def _each_once(cls, only: tuple[str, ...] | None) -> tuple[str, ...] | None:
        no_repetition(only or ())
        return only

    @property
    def is_path(self) -> bool:
        return "/" in self.pack or "\\" in self.pack or self.pack.endswith((".yaml", ".yml", ".json"))


def _question_tag(value: Any) -> str:
    """A map that names a pack and holds nothing of a question is a reference."""
    is_reference = isinstance(value, PackReference) or (
        isinstance(value, dict) and "pack" in value and not {"id", "text", "texts"} & value.keys()
    )
    return "<PackReference>" if is_reference else "<Question>"


def _question_or_pack(value: Any) -> Any:
    if not isinstance(value, dict | Frozen):
        what = f"expected a question or a pack, found {show(value)}"
        raise refuse(what, "write {pack: NAME}, or {id: NAME, text: …}")
    return value


QuestionEntry = Annotated[
    Annotated[PackReference, Tag("<PackReference>")] | Annotated[Question, Tag("<Question>")],
    Discriminator(_question_tag),
    BeforeValidator(_question_or_pack),
]

LanguageList = Annotated[tuple[Language, ...], Field(min_length=1, max_length=MAX_LANGUAGES)]
LanguageByRegion = Annotated[dict[RegionName, Language], Field(min_length=1, max_length=MAX_REGIONS)]
Languages = Annotated[
    Annotated[LanguageList, Tag("<list>")] | Annotated[LanguageByRegion, Tag("<map>")],
    Discriminator(lambda value: "<map>" if isinstance(value, dict) else "<list>"),
]


class Sampling(Frozen):
    """How answers are drawn; `top_p` is the provider's own where it is not given."""

    temperature: Number = Field(default=0.7, ge=0, le=2)
    max_tokens: Whole = Field(default=400, ge=1, le=1_000_000)
    top_p: Number | None = Field(default=None, gt=0, le=1)


class Limits(Frozen):
    """Deadlines in seconds, a ceiling in US dollars, and what follows an attempt whose outcome is unknown."""

    execution_deadline: Seconds = Field(default=300.0, gt=0, le=86_400)
    job_deadline: Annotated[Seconds, Field(gt=0, le=31 * 86_400)] | None = None
    max_attempts: Whole = Field(default=3, ge=1, le=20)
    on_unknown: Literal["retry", "fail"] = "retry"
    max_cost_usd: Number | None = Field(default=None, gt=0)
    allow_unknown_cost: YesOrNo = False


class Success(Frozen):
    """What a job must reach for the verdict `met`.

    A region passes when completed / total >= min_rate; the job needs min_regions of them (default: all).
    """

    min_rate: Number = Field(default=0.9, ge=0, le=1)
    min_regions: Whole | None = Field(default=None, ge=1)


class SpecDocument(Frozen):
    """A job spec as a person writes it."""

    schema_: Literal["beacon.job/v1"] = Field(alias="schema")
    name: Line
    questions: tuple[QuestionEntry, ...] = Field(min_length=1, max_length=MAX_QUESTIONS)
    models: tuple[ModelName, ...] = Field(min_length=1, max_length=MAX_MODELS, json_schema_extra=UNIQUE)
    regions: tuple[RegionName, ...] = Field(min_length=1, max_length=MAX_REGIONS, json_schema_extra=UNIQUE)
    personas: tuple[PersonaName, ...] = Field(default=("none",), min_length=1, json_schema_extra=UNIQUE)
    languages: Languages = ("en",)
    repeats: Whole = Field(default=1, ge=1, le=10_000)
    seed: Whole | None = Field(default=None, ge=0, le=MAX_SEED)
    sampling: Sampling = Sampling()
    limits: Limits = Limits()
    success: Success = Success()

    @field_validator("models", "regions", "personas")
    @classmethod
    def _each_once(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        no_repetition(values)
        return values

    @field_validator("languages", mode="before")
    @classmethod
    def _each_region_once(cls, value: Any) -> Any:
        """Two spellings of one region would become one entry when the map is read."""
        if isinstance(value, dict):
            seen: dict[str, str] = {}
            for spelling in filter(_is_region, value):
                region = normalise(spelling)
                if region in seen:
                    what = f"{spelling!r} and {seen[region]!r} are the same region"
                    raise refuse(what, "keep one of the two", at=(spelling,))
                seen[region] = spelling
        return value

    @field_validator("languages")
    @classmethod
    def _each_language_once(cls, value: Any) -> Any:
        if isinstance(value, tuple):
            no_repetition(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> SpecDocument:
        if isinstance(self.languages, dict):
            for region in self.regions:
                if region not in self.languages:
                    todo = "give each region its language"
                    raise refuse(f"has no entry for region {region!r}", todo, at=("languages",))
            for region in self.languages:
                if region not in self.regions:
                    todo = suggest(region, self.regions)
                    raise refuse(f"region {region!r} is not among regions", todo, at=("languages", region))
        needed, available = self.success.min_regions, len(self.regions)
        if needed is not None and needed > available:
            todo = f"write at most {available}"
            what = f"must be at most the number of regions, which is {available}, found {needed}"
            raise refuse(what, todo, at=("success", "min_regions"))
        return self

    @property
    def executions_per_question(self) -> int:
        places = sum(len(self.languages_of(region)) for region in self.regions)
        return len(self.models) * len(self.personas) * places * self.repeats

    def languages_of(self, region: str) -> tuple[str, ...]:
        return (self.languages[region],) if isinstance(self.languages, dict) else self.languages


def _is_region(name: Any) -> bool:
    try:
        canonical_region(name)
    except (PydanticCustomError, AttributeError):
        return False
    return True


class JobSpec(SpecDocument):
    """A spec document whose packs and personas are inlined and whose seed is fixed.

    `persona_prompts[persona][region][language]` holds the system prompts that the job uses.
    """

    questions: tuple[Question, ...] = Field(min_length=1, max_length=MAX_QUESTIONS)
    seed: Whole = Field(ge=0, le=MAX_SEED)
    persona_prompts: dict[str, dict[str, dict[str, str]]] = Field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many executions the job has."""
        return len(self.questions) * self.executions_per_question

    @property
    def region_is_language(self) -> bool:
        """Whether region and language vary together, so that their effects cannot be told apart."""
        return isinstance(self.languages, dict) and len(set(self.languages.values())) > 1

    @cached_property
    def _by_id(self) -> dict[str, Question]:
        return {question.id: question for question in self.questions}

    def question(self, question_id: str) -> Question:
        """Raises KeyError for an id that the job does not have."""
        return self._by_id[question_id]

    def system_prompt(self, persona: str, region: str, language: str) -> str | None:
        return None if persona == "none" else self.persona_prompts[persona][region][language]


def parse_spec(text: str, source: str) -> SpecDocument:
    """Raises DocumentError."""
    return load(SpecDocument, text, source)


def validate_spec(value: Any, source: str) -> SpecDocument:
    """Raises DocumentError."""
    return validate(SpecDocument, value, source)


def inline(
    document: SpecDocument,
    *,
    source: str,
    read_pack: Callable[[PackReference], QuestionPack],
    personas: PersonaBook,
    seed: int,
) -> JobSpec:
    """The job spec that `document` means; `seed`, from 0 to `MAX_SEED`, is used where it names none.

    `read_pack` raises InputError for a pack that cannot be read. Raises DocumentError with every fault; a
    pack that is itself a faulty document is reported alone.
    """
    faults: list[InputError] = []
    placed = _questions(document, read_pack, faults)
    questions = tuple(question for _, question in placed)
    faults += _repeated_ids(placed)
    faults += _missing_texts(document, questions)
    prompts = _persona_prompts(document, personas, faults)
    faults += _too_much(document, len(questions))
    if faults:
        raise DocumentError(source, faults)
    inlined = {"questions", "seed"}
    fields = {name: getattr(document, name) for name in SpecDocument.model_fields if name not in inlined}
    job_seed = seed if document.seed is None else document.seed
    return JobSpec(**fields, questions=questions, seed=job_seed, persona_prompts=prompts)


def _questions(
    document: SpecDocument, read_pack: Callable[[PackReference], QuestionPack], faults: list[InputError]
) -> list[tuple[int, Question]]:
    """Each question with the index of the entry that it comes from."""
    placed: list[tuple[int, Question]] = []
    for index, entry in enumerate(document.questions):
        if isinstance(entry, Question):
            placed.append((index, entry))
            continue
        place = f"questions[{index}]"
        try:
            pack = read_pack(entry)
        except DocumentError:
            raise
        except InputError as error:
            faults.append(InputError(error.what, where=f"{place}.pack", todo=error.todo))
            continue
        try:
            placed += [(index, question) for question in pack.select(entry.only)]
        except InputError as error:
            faults.append(InputError(error.what, where=f"{place}.{error.where}", todo=error.todo))
    return placed


def _repeated_ids(placed: list[tuple[int, Question]]) -> Iterator[InputError]:
    seen: dict[str, int] = {}
    for index, question in placed:
        if question.id in seen:
            what = f"question id {question.id!r} stands twice, first in questions[{seen[question.id]}]"
            todo = "give each question an id of its own, or select with only"
            yield InputError(what, where=f"questions[{index}]", todo=todo)
        seen.setdefault(question.id, index)


def _missing_texts(document: SpecDocument, questions: tuple[Question, ...]) -> Iterator[InputError]:
    for language, where in _language_places(document).items():
        without = [question.id for question in questions if language not in question.texts]
        if without:
            common = set.intersection(*(set(question.texts) for question in questions))
            named = ", ".join(without[:5]) + (", …" if len(without) > 5 else "")
            which = f"question {named} has" if len(without) == 1 else f"{len(without)} questions have"
            what = f"{which} no text in {language!r}" + ("" if len(without) == 1 else f": {named}")
            todo = f"every question has {', '.join(sorted(common))}" if common else "leave them out, or the language"
            yield InputError(what, where=where, todo=todo)


def _language_places(document: SpecDocument) -> dict[str, str]:
    """The languages that the job needs, each with the path where it is asked for."""
    languages = document.languages
    if isinstance(languages, dict):
        # The first region that asks for a language is named.
        return {language: f"languages.{region}" for region, language in reversed(languages.items())}
    if "languages" not in document.model_fields_set:
        return dict.fromkeys(languages, "languages")
    return {language: f"languages[{index}]" for index, language in enumerate(languages)}


def _persona_prompts(
    document: SpecDocument, personas: PersonaBook, faults: list[InputError]
) -> dict[str, dict[str, dict[str, str]]]:
    prompts: dict[str, dict[str, dict[str, str]]] = {}
    for persona, region, language in _persona_cells(document):
        prompt = personas.prompt(persona, region, language)
        if prompt is not None:
            prompts.setdefault(persona, {}).setdefault(region, {})[language] = prompt
            continue
        known = personas.languages(persona, region)
        what = f"persona {persona!r} has no prompt for region {region!r} in language {language!r}"
        todo = f"for {region} it has {', '.join(known)}" if known else "leave the persona or the region out"
        faults.append(InputError(what, where=f"personas[{document.personas.index(persona)}]", todo=todo))
    return prompts


def _persona_cells(document: SpecDocument) -> Iterator[tuple[PersonaName, str, str]]:
    for persona in document.personas:
        if persona != "none":
            for region in document.regions:
                for language in document.languages_of(region):
                    yield persona, region, language


def _too_much(document: SpecDocument, questions: int) -> Iterator[InputError]:
    if questions > MAX_QUESTIONS:
        what = f"the job would have {questions:,} questions, at most {MAX_QUESTIONS:,} are allowed"
        yield InputError(what, where="questions", todo="select with only, or split it into several jobs")
    total = questions * document.executions_per_question
    if total > MAX_EXECUTIONS:
        what = f"the job would have {total:,} executions, at most {MAX_EXECUTIONS:,} are allowed"
        yield InputError(what, where="repeats", todo="ask less, or split it into several jobs")


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


def to_document(spec: SpecDocument) -> dict[str, Any]:
    """The spec as plain JSON values, as it is stored and shown."""
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True)
