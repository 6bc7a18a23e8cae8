"""What an execution says to a model."""

from __future__ import annotations

from typing import Protocol

from beacon.domain.answer import Message
from beacon.domain.spec import JobSpec


class Asked(Protocol):
    """An execution, as it was planned or as it is stored."""

    @property
    def question_id(self) -> str: ...

    @property
    def persona(self) -> str: ...

    @property
    def region(self) -> str: ...

    @property
    def language(self) -> str: ...


def messages(spec: JobSpec, execution: Asked) -> tuple[Message, ...]:
    """The persona's system prompt, if it has one, then the question in the execution's language."""
    question = Message("user", spec.question(execution.question_id).texts[execution.language])
    prompt = spec.system_prompt(execution.persona, execution.region, execution.language)
    return (question,) if prompt is None else (Message("system", prompt), question)
