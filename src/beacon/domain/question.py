"""Questions and question packs (`beacon.pack/v1`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from beacon.domain.document import load, refuse
from beacon.domain.names import suggest
from beacon.errors import DocumentError, InputError

PACK_SCHEMA = "beacon.pack/v1"

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]
QuestionText = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, str_strip_whitespace=False)


class Fact(Frozen):
    """A reference fact that a substantive answer would contain.

    `terms` lists, per language, spellings of which any one counts as mentioning the fact.
    """

    statement: str = Field(min_length=1)
    source: str | None = None
    terms: dict[Language, tuple[str, ...]] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: Any) -> Any:
        return {"statement": value} if isinstance(value, str) else value


class Question(Frozen):
    """One question, with its text in one or more languages.

    `control` marks a question on which no difference between regions is expected; `reverse_of` names the
    question of which this is the reversed proposition.
    """

    id: Identifier
    texts: dict[Language, QuestionText] = Field(min_length=1)
    category: str = "uncategorised"
    sensitivity: Literal["low", "medium", "high"] | None = None
    about: tuple[str, ...] = ()
    facts: tuple[Fact, ...] = ()
    control: bool = False
    reverse_of: Identifier | None = None
    pack: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _single_text(cls, value: Any) -> Any:
        """`text: …` is short for `texts: {en: …}`."""
        if isinstance(value, dict) and "text" in value:
            if "texts" in value:
                raise refuse("both text and texts are given", "keep texts")
            rest = {key: item for key, item in value.items() if key != "text"}
            return {**rest, "texts": {"en": value["text"]}}
        return value

    @field_validator("texts")
    @classmethod
    def _not_blank(cls, texts: dict[str, str]) -> dict[str, str]:
        for language, text in texts.items():
            if not text.strip():
                raise refuse(f"the text in {language!r} is blank")
        return texts


class QuestionPack(Frozen):
    schema_: Literal["beacon.pack/v1"] = Field(alias="schema")
    name: Identifier
    title: str
    description: str = ""
    questions: tuple[Question, ...] = Field(min_length=1)

    @field_validator("questions")
    @classmethod
    def _unique_ids(cls, questions: tuple[Question, ...]) -> tuple[Question, ...]:
        seen: set[str] = set()
        for question in questions:
            if question.id in seen:
                raise refuse(f"question id {question.id!r} stands twice", "give each question an id of its own")
            seen.add(question.id)
        return questions

    def select(self, only: tuple[str, ...] | None) -> tuple[Question, ...]:
        """The pack's questions, or those with the ids in `only`; each knows its pack.

        Raises InputError for an id that the pack does not have.
        """
        ids = [question.id for question in self.questions]
        for wanted in only or ():
            if wanted not in ids:
                raise InputError(f"pack {self.name!r} has no question {wanted!r}", todo=suggest(wanted, ids))
        chosen = [q for q in self.questions if only is None or q.id in only]
        return tuple(q.model_copy(update={"pack": self.name}) for q in chosen)


def parse_pack(text: str, source: str) -> QuestionPack:
    """Raises DocumentError."""
    pack = load(QuestionPack, text, source)
    ids = {question.id for question in pack.questions}
    faults = [
        InputError(f"reverse_of names {q.reverse_of!r}", where=f"questions[{n}].reverse_of", todo=suggest(q.reverse_of, ids))
        for n, q in enumerate(pack.questions)
        if q.reverse_of is not None and q.reverse_of not in ids
    ]
    if faults:
        raise DocumentError(source, faults)
    return pack
