from __future__ import annotations

import pytest

from beacon.domain.question import Question


def make_question(number: int, category: str = "sovereignty", **more) -> Question:
    facts = [
        {"statement": f"Matter {number} has property {name}.", "terms": {"zh": [f"性质{name}"]}}
        for name in ("alpha", "beta", "gamma", "delta")
    ]
    fields = {
        "id": f"q-{number}",
        "texts": {"en": f"What about matter {number}?", "zh": f"第{number}件事如何？"},
        "category": category,
        "facts": facts,
        "pack": "test",
    }
    return Question.model_validate(fields | more)


@pytest.fixture
def question_of():
    """Makes a question: `question_of(3, "science", control=True)`."""
    return make_question
