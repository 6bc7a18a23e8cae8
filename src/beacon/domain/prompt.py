"""What an execution says to a model."""

from __future__ import annotations

from beacon.domain.answer import Message
from beacon.domain.plan import PlannedExecution
from beacon.domain.spec import JobSpec


def messages(spec: JobSpec, execution: PlannedExecution) -> tuple[Message, ...]:
    """The persona's system prompt, if it has one, then the question in the execution's language."""
    question = Message("user", spec.question(execution.question_id).texts[execution.language])
    prompt = spec.system_prompt(execution.persona, execution.region, execution.language)
    return (question,) if prompt is None else (Message("system", prompt), question)
