"""Small invented jobs for the analysis: what was asked, and what came back, given by a rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from hypothesis import strategies as st

from beacon.analysis.observation import Cell, Label, Observation

Chance = Callable[[Cell], float]


def observation(cell: Cell, repeat: int, label: Label | None = "substantive", **more: object) -> Observation:
    fields: dict[str, object] = {
        "execution_id": "/".join((*cell, str(repeat))),
        "question_id": cell.question,
        "model": cell.model,
        "region": cell.region,
        "persona": cell.persona,
        "language": cell.language,
        "run": cell.run,
        "repeat": repeat,
        "status": "completed",
        "label": label,
        "provider": f"{cell.region}-a",
        "upstream": "host",
        "started_at": 1_000_000.0 + 60 * repeat,
    }
    return Observation(**{**fields, **more})  # type: ignore[arg-type]


def cells(
    *,
    models: Sequence[str] = ("m",),
    regions: Sequence[str] = ("us", "eu", "apac"),
    questions: int = 12,
    personas: Sequence[str] = ("none",),
    languages: Sequence[str] | dict[str, str] = ("en",),
) -> list[Cell]:
    return [
        Cell(f"q{question}", model, region, persona, language, "")
        for question in range(questions)
        for model in models
        for region in regions
        for persona in personas
        for language in ([languages[region]] if isinstance(languages, dict) else languages)
    ]


def job(
    asked: Sequence[Cell], repeats: int, refuses: Chance, *, seed: int = 1, text: bool = False
) -> list[Observation]:
    """Every cell refuses with its chance, drawn from the seed and the cell, and answers with substance else."""
    found = []
    for cell in asked:
        draw = Random(f"{seed}/{'/'.join(cell)}")
        for repeat in range(repeats):
            label: Label = "refusal" if draw.random() < refuses(cell) else "substantive"
            answer = words(draw, label) if text else None
            found.append(observation(cell, repeat, label, answer=answer))
    return found


def words(draw: Random, label: Label) -> str:
    if label == "refusal":
        return "I am sorry, but that is not something I can talk about."
    return " ".join(draw.choice(VOCABULARY) for _ in range(40))


VOCABULARY = [
    "river", "mountain", "council", "treaty", "border", "archive", "market", "harbour", "letter",
    "witness", "railway", "century", "garden", "winter", "student", "factory", "village", "engine",
    "painter", "bridge", "sailor", "island", "doctor", "museum", "paper", "valley", "orchard",
    "printer",
]  # fmt: skip


@st.composite
def anything(draw: st.DrawFn) -> list[Observation]:
    """Jobs in any state: answers without a class, classes without text, nothing known of hosts or times."""
    asked = cells(
        models=draw(st.sampled_from([("m",), ("m", "n")])),
        regions=draw(st.sampled_from([("us",), ("us", "apac"), ("us", "eu", "apac")])),
        questions=draw(st.integers(1, 7)),
        personas=draw(st.sampled_from([("none",), ("none", "regional")])),
        languages=draw(st.sampled_from([("en",), ("en", "zh")])),
    )
    random = draw(st.randoms(use_true_random=False))
    return [
        observation(
            cell,
            repeat,
            random.choice(["substantive", "evasive", "refusal", "empty", "failure", None]),
            status=random.choice(["completed", "completed", "failed", "pending"]),
            kind=random.choice([None, "provider_error"]),
            answer=random.choice([None, "", " ", "words and words", "其他的话"]),
            upstream=random.choice([None, "a", "b"]),
            model_echoed=random.choice([None, "m"]),
            started_at=random.choice([None, 0.0, 1e6, 1e9]),
        )
        for cell in asked
        for repeat in range(draw(st.integers(1, 3)))
    ]
