"""The plan: a job spec expanded into executions in the order in which they are dispatched.

Order (invariant fair-order): a block is one repeat of all cells. Within a block the cells are shuffled by the
job's seed, and the order is the same in every region, so that time is not confounded with region or model.
The shuffle sorts by SHA-256 of seed, repeat and cell, so that anyone can recompute it in any language.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from beacon.domain.spec import JobSpec

SHARD_SIZE = 500


@dataclass(frozen=True, slots=True)
class PlannedExecution:
    """One repeat of one cell. `ordinal` counts from 0 over the job; `shard` over the job's shards."""

    ordinal: int
    shard: int
    question_id: str
    model: str
    region: str
    persona: str
    language: str
    repeat: int


@dataclass(frozen=True, slots=True)
class PlannedShard:
    """A block of at most `SHARD_SIZE` executions of one region; `block` is equal in every region."""

    number: int
    region: str
    block: int
    executions: tuple[PlannedExecution, ...]


def shards(spec: JobSpec, size: int = SHARD_SIZE) -> Iterator[PlannedShard]:
    """The job's shards, block by block and within a block region by region; one shard in memory at a time.

    Blocks hold the same cells in the same order in every region, whatever each region's language.
    """
    number = ordinal = 0
    for block, chunk in enumerate(_chunks(_sequence(spec), size)):
        for region in spec.regions:
            languages = spec.languages_of(region)
            executions = []
            for question_id, model, persona, slot, repeat in chunk:
                executions.append(
                    PlannedExecution(ordinal, number, question_id, model, region, persona, languages[slot], repeat)
                )
                ordinal += 1
            yield PlannedShard(number, region, block, tuple(executions))
            number += 1


_Position = tuple[str, str, str, int, int]


def _sequence(spec: JobSpec) -> Iterator[_Position]:
    """(question, model, persona, language slot, repeat) in dispatch order, the same for every region."""
    slots = len(spec.languages_of(spec.regions[0]))
    cells = [
        (question.id, model, persona, slot)
        for question in spec.questions
        for model in spec.models
        for persona in spec.personas
        for slot in range(slots)
    ]
    for repeat in range(spec.repeats):
        for question_id, model, persona, slot in sorted(cells, key=lambda cell: _rank(spec.seed, repeat, cell)):
            yield question_id, model, persona, slot, repeat


def _rank(seed: int, repeat: int, cell: tuple[str, str, str, int]) -> bytes:
    return sha256("\x1f".join(map(str, (seed, repeat, *cell))).encode()).digest()


def _chunks(sequence: Iterator[_Position], size: int) -> Iterator[list[_Position]]:
    chunk: list[_Position] = []
    for item in sequence:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
