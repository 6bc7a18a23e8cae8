"""The plan: a job spec expanded into executions in the order in which they are dispatched.

Order (invariant fair-order): a round is one repeat of all cells. Within a round the cells are shuffled by the
job's seed, and the order is the same in every region, so that time is not confounded with region or model.
The shuffle sorts by the first eight bytes of SHA-256 over seed, repeat and cell, which anyone can recompute
in any language; the order in which a spec names its questions, models and personas does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import prod

from beacon.domain.spec import JobSpec
from beacon.domain.value import value

SHARD_SIZE = 500


@value(frozen=True, slots=True)
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
    """At most `SHARD_SIZE` executions of one region; the shards of one `block` differ in region alone."""

    number: int
    region: str
    block: int
    executions: tuple[PlannedExecution, ...]


def execution_id(job_id: str, ordinal: int) -> str:
    """An execution's id: its job's, and its place in the plan."""
    return f"{job_id}-{ordinal:06d}"


def shards(spec: JobSpec, size: int = SHARD_SIZE) -> Iterator[PlannedShard]:
    """The job's shards, block by block and within a block region by region; one shard in memory at a time.

    Beside it stands the order of one round: 50 bytes a cell, for all regions together.
    """
    number = ordinal = 0
    for block, chunk in enumerate(_chunks(_sequence(spec), size)):
        for region in spec.regions:
            languages = spec.languages_of(region)
            executions = tuple(
                PlannedExecution(ordinal + offset, number, question_id, model, region, persona, languages[slot], repeat)
                for offset, (question_id, model, persona, slot, repeat) in enumerate(chunk)
            )
            yield PlannedShard(number, region, block, executions)
            number += 1
            ordinal += len(executions)


_Cell = tuple[str, str, str, int]
_Position = tuple[str, str, str, int, int]
_Axes = tuple[Sequence[str], Sequence[str], Sequence[str], Sequence[int]]


def _sequence(spec: JobSpec) -> Iterator[_Position]:
    """(question, model, persona, language slot, repeat) in dispatch order, the same for every region.

    A slot is a place in the region's list of languages; with a language per region there is but one.
    """
    axes: _Axes = (
        [question.id for question in spec.questions],
        spec.models,
        spec.personas,
        range(len(spec.languages_of(spec.regions[0]))),
    )
    cells = prod(map(len, axes))
    for repeat in range(spec.repeats):
        ranked = sorted(_rank(spec.seed, repeat, _cell(axes, index)) << 32 | index for index in range(cells))
        for packed in ranked:
            yield (*_cell(axes, packed & 0xFFFF_FFFF), repeat)


def _cell(axes: _Axes, index: int) -> _Cell:
    question_ids, models, personas, slots = axes
    index, slot = divmod(index, len(slots))
    index, persona = divmod(index, len(personas))
    question, model = divmod(index, len(models))
    return question_ids[question], models[model], personas[persona], slot


def _rank(seed: int, repeat: int, cell: _Cell) -> int:
    text = "\x1f".join(map(str, (seed, repeat, *cell)))
    return int.from_bytes(sha256(text.encode()).digest()[:8], "big")


def _chunks(sequence: Iterator[_Position], size: int) -> Iterator[list[_Position]]:
    chunk: list[_Position] = []
    for item in sequence:
        chunk.append(item)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
