"""What the lab knows of the questions it is asked: the built-in packs, looked up by text in any language."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from beacon import packs
from beacon.domain.question import Question

_HAN = re.compile(r"[\u3400-\u9fff]")


def built_in_questions() -> list[Question]:
    """Of every built-in pack."""
    return [question for name in packs.names() for question in packs.load_pack(name).select(None)]


@dataclass(frozen=True, slots=True)
class Asked:
    """One question as it was asked; `question` is None where no pack has it."""

    text: str
    language: str
    question: Question | None


class QuestionBook:
    def __init__(self, questions: Iterable[Question]) -> None:
        self._by_text: dict[str, tuple[str, Question]] = {}
        for question in questions:
            for language, text in question.texts.items():
                self._by_text.setdefault(_normal(text), (language, question))

    def look_up(self, text: str) -> Asked:
        found = self._by_text.get(_normal(text))
        if found is None:
            return Asked(text, "zh" if _HAN.search(text) else "en", None)
        language, question = found
        return Asked(text, language, question)


def _normal(text: str) -> str:
    return " ".join(text.split()).casefold()
