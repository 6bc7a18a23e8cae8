"""Questions and question packs (`beacon.pack/v1`)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any, Literal

from pydantic import Field, GetJsonSchemaHandler, field_validator, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from beacon.domain.document import load
from beacon.domain.faults import no_repetition, refuse, show
from beacon.domain.frozen import Frozen
from beacon.domain.names import suggest
from beacon.domain.scalars import MAX_TEXT, UNIQUE, Identifier, Language, Line, LongLine, Text, YesOrNo
from beacon.errors import InputError

__all__ = [
    "MAX_QUESTIONS",
    "PACK_SCHEMA",
    "Fact",
    "Frozen",
    "Identifier",
    "Language",
    "Question",
    "QuestionPack",
    "QuestionText",
    "parse_pack",
]

PACK_SCHEMA = "beacon.pack/v1"
MAX_QUESTIONS = 10_000
MAX_FACTS = 100
MAX_TERMS = 100

QuestionText = Text


class Fact(Frozen):
    """A reference fact that a substantive answer would contain.

    `terms` lists, per language, spellings of which any one counts as mentioning the fact. A term is looked
    for in the answer without regard to case, and not at word boundaries: stems serve languages that inflect.
    """

    statement: Text
    source: LongLine | None = None
    terms: dict[Language, tuple[Line, ...]] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"statement": value} if isinstance(value, str) else value

    @field_validator("terms")
    @classmethod
    def _some_terms(cls, terms: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
        for language, spellings in terms.items():
            if not 1 <= len(spellings) <= MAX_TERMS:
                raise refuse(f"has {len(spellings)} terms, needs 1 to {MAX_TERMS}", at=(language,))
        return terms

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        fields = handler.resolve_ref_schema(handler(core))
        return {"title": cls.__name__, "anyOf": [{"type": "string", "minLength": 1}, fields]}


class Question(Frozen):
    """One question, with its text in one or more languages.

    `text` is short for `texts` with English alone. `about` says whose sensitivities the question touches.
    `control` marks a question on which no difference between regions is expected; `reverse_of` names the
    question of which this is the reversed proposition: the two are averaged first, and count as one. `pack` is set
    as a pack is read into a spec.
    """

    id: Identifier
    texts: dict[Language, QuestionText] = Field(min_length=1)
    category: Line = "uncategorised"
    sensitivity: Literal["low", "medium", "high"] | None = None
    about: tuple[Identifier, ...] = Field(default=(), max_length=MAX_FACTS, json_schema_extra=UNIQUE)
    facts: tuple[Fact, ...] = Field(default=(), max_length=MAX_FACTS)
    control: YesOrNo = False
    reverse_of: Identifier | None = None
    pack: Identifier | None = None

    @classmethod
    def written_keys(cls) -> list[str]:
        return ["text", *(key for key in super().written_keys() if key != "pack")]

    @model_validator(mode="before")
    @classmethod
    def _single_text(cls, value: Any) -> Any:
        if isinstance(value, dict) and "text" in value:
            if "texts" in value:
                raise refuse("both text and texts are given", "keep texts", at=("text",))
            rest = {key: item for key, item in value.items() if key != "text"}
            return {**rest, "texts": {"en": value["text"]}}
        return value

    @field_validator("about")
    @classmethod
    def _each_once(cls, about: tuple[str, ...]) -> tuple[str, ...]:
        no_repetition(about)
        return about

    @model_validator(mode="after")
    def _not_its_own_reverse(self) -> Question:
        if self.reverse_of == self.id:
            raise refuse(f"{self.id!r} is the question itself", "name another question", at=("reverse_of",))
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema with `text` beside `texts`, of which one must be given."""
        schema = handler.resolve_ref_schema(handler(core))
        text: JsonSchemaValue = {"description": "Short for texts: {en: …}.", "type": "string"}
        text |= {"minLength": 1, "maxLength": MAX_TEXT}
        required = [name for name in schema["required"] if name != "texts"]
        return {
            **schema,
            "properties": {**schema["properties"], "text": text},
            "required": required,
            "oneOf": [{"required": ["text"]}, {"required": ["texts"]}],
        }


class QuestionPack(Frozen):
    """Questions that belong together."""

    schema_: Literal["beacon.pack/v1"] = Field(alias="schema")
    name: Identifier
    title: Line
    description: Text | None = None
    questions: tuple[Question, ...] = Field(min_length=1, max_length=MAX_QUESTIONS)

    @model_validator(mode="after")
    def _ids_and_references(self) -> QuestionPack:
        for fault in chain(_id_faults(self.questions), _pair_faults(self.questions)):
            raise fault
        return self

    def select(self, only: tuple[str, ...] | None) -> tuple[Question, ...]:
        """The pack's questions, or those with the ids in `only`; each knows its pack.

        Raises InputError for an id that the pack does not have, with the place of the id in `only`.
        """
        ids = {question.id for question in self.questions}
        for index, wanted in enumerate(only or ()):
            if wanted not in ids:
                what = f"pack {self.name!r} has no question {wanted!r}"
                raise InputError(what, where=f"only[{index}]", todo=suggest(wanted, ids))
        chosen = [question for question in self.questions if only is None or question.id in only]
        return tuple(question.model_copy(update={"pack": self.name}) for question in chosen)


def _id_faults(questions: tuple[Question, ...]) -> Iterator[Exception]:
    ids: set[str] = set()
    for index, question in enumerate(questions):
        if question.id in ids:
            what = f"question id {question.id!r} stands twice"
            yield refuse(what, "give each question an id of its own", at=("questions", index, "id"))
        ids.add(question.id)


def _pair_faults(questions: tuple[Question, ...]) -> Iterator[Exception]:
    ids = {question.id for question in questions}
    paired = {question.id for question in questions if question.reverse_of is not None}
    for index, question in enumerate(questions):
        if question.reverse_of is None:
            continue
        place = ("questions", index, "reverse_of")
        if question.reverse_of not in ids:
            what = f"no question has the id {show(question.reverse_of)}"
            yield refuse(what, suggest(question.reverse_of, ids), at=place)
        elif question.reverse_of in paired:
            yield refuse(f"{show(question.reverse_of)} has a reverse already, or is one", "a pair is two", at=place)
        paired.add(question.reverse_of)


def parse_pack(text: str, source: str) -> QuestionPack:
    """Raises DocumentError."""
    return load(QuestionPack, text, source)
