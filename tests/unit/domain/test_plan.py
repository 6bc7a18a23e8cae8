"""The plan: every repeat of every cell once, in an order that is fair and can be recomputed."""

import tracemalloc
from collections import Counter
from hashlib import sha256
from itertools import product
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from beacon.domain.plan import SHARD_SIZE, PlannedExecution, shards
from beacon.domain.prompt import messages
from beacon.domain.spec import JobSpec

LANGUAGES = ("en", "zh", "fi")


def job(questions: int = 2, models: int = 2, regions: int = 3, repeats: int = 2, seed: int = 7, **more: Any) -> JobSpec:
    return JobSpec.model_validate(
        {
            "schema": "beacon.job/v1",
            "name": "n",
            "questions": [{"id": f"q{n}", "texts": dict.fromkeys(LANGUAGES, "Why?")} for n in range(questions)],
            "models": [f"m{n}" for n in range(models)],
            "regions": ["us", "eu", "apac", "latam"][:regions],
            "repeats": repeats,
            "seed": seed,
            **more,
        }
    )


def executions(spec: JobSpec, size: int = SHARD_SIZE) -> list[PlannedExecution]:
    return [execution for shard in shards(spec, size) for execution in shard.executions]


@st.composite
def jobs(draw: st.DrawFn) -> JobSpec:
    regions = draw(st.integers(1, 4))
    names = ["us", "eu", "apac", "latam"][:regions]
    language = st.sampled_from(LANGUAGES)
    languages = draw(
        st.lists(language, min_size=1, unique=True) | st.fixed_dictionaries(dict.fromkeys(names, language))
    )
    personas = draw(st.lists(st.sampled_from(["none", "placebo", "regional"]), min_size=1, unique=True))
    return job(
        draw(st.integers(1, 5)),
        draw(st.integers(1, 3)),
        regions,
        draw(st.integers(1, 4)),
        draw(st.integers(0, 2**53 - 1)),
        languages=languages,
        personas=personas,
    )


sizes = st.integers(1, 12)


@given(jobs(), sizes)
def test_every_repeat_of_every_cell_is_planned_exactly_once(spec: JobSpec, size: int) -> None:
    planned = Counter(
        (e.question_id, e.model, e.region, e.persona, e.language, e.repeat) for e in executions(spec, size)
    )
    wanted = [
        (question.id, model, region, persona, language, repeat)
        for question, model, region, persona, repeat in product(
            spec.questions, spec.models, spec.regions, spec.personas, range(spec.repeats)
        )
        for language in spec.languages_of(region)
    ]
    assert planned == Counter(wanted)
    assert len(wanted) == spec.total


@given(jobs(), sizes)
def test_ordinals_and_shard_numbers_count_up_without_gaps(spec: JobSpec, size: int) -> None:
    planned = list(shards(spec, size))
    assert [shard.number for shard in planned] == list(range(len(planned)))
    assert [e.ordinal for shard in planned for e in shard.executions] == list(range(spec.total))
    assert all(e.shard == shard.number and e.region == shard.region for shard in planned for e in shard.executions)


@given(jobs(), sizes)
def test_no_shard_is_empty_or_larger_than_allowed_and_each_is_of_one_region(spec: JobSpec, size: int) -> None:
    for shard in shards(spec, size):
        assert 1 <= len(shard.executions) <= size


def test_shards_hold_at_most_five_hundred_unless_told_otherwise() -> None:
    planned = list(shards(job(questions=60, models=3, regions=2, repeats=5)))
    assert [len(shard.executions) for shard in planned] == [500, 500, 400, 400]


@given(jobs(), sizes)
def test_the_order_is_the_same_in_every_region(spec: JobSpec, size: int) -> None:
    """In position, question, model, persona and repeat; and in language, where all regions share the list."""
    orders: dict[str, list[tuple[Any, ...]]] = {region: [] for region in spec.regions}
    for shard in shards(spec, size):
        for e in shard.executions:
            slot = spec.languages_of(e.region).index(e.language)
            orders[e.region].append((shard.block, e.question_id, e.model, e.persona, slot, e.repeat))
    first, *others = orders.values()
    assert all(other == first for other in others)


@given(jobs())
def test_a_round_of_all_cells_is_over_before_the_next_begins(spec: JobSpec) -> None:
    for region in spec.regions:
        repeats = [e.repeat for e in executions(spec) if e.region == region]
        assert repeats == sorted(repeats)


@given(jobs(), sizes, sizes)
def test_the_order_depends_on_the_seed_and_on_nothing_else(spec: JobSpec, size: int, other_size: int) -> None:
    def order(of: JobSpec, size: int) -> list[tuple[Any, ...]]:
        region = of.regions[0]
        return [
            (e.question_id, e.model, e.persona, e.language, e.repeat)
            for e in executions(of, size)
            if e.region == region
        ]

    assert order(spec, size) == order(spec, other_size)
    turned = spec.model_copy(
        update={
            "questions": spec.questions[::-1],
            "models": spec.models[::-1],
            "personas": spec.personas[::-1],
        }
    )
    assert order(turned, size) == order(spec, size)


def test_different_seeds_and_different_repeats_give_different_orders() -> None:
    def order(seed: int, repeat: int) -> tuple[tuple[str, str], ...]:
        planned = executions(job(questions=10, models=3, regions=1, repeats=2, seed=seed))
        return tuple((e.question_id, e.model) for e in planned if e.repeat == repeat)

    assert len({order(seed, repeat) for seed in range(20) for repeat in range(2)}) == 40


def test_models_and_questions_are_interleaved() -> None:
    """No model waits for the end of the other, as it would in the order of the document."""
    planned = executions(job(questions=50, models=2, regions=1, repeats=1))
    early = Counter(e.model for e in planned[:50])
    assert min(early.values()) >= 15


def test_the_order_can_be_recomputed_from_its_description_alone() -> None:
    spec = job(questions=4, models=2, regions=1, repeats=2, seed=11)

    def rank(repeat: int, question: str, model: str) -> bytes:
        return sha256("\x1f".join(["11", str(repeat), question, model, "none", "0"]).encode()).digest()[:8]

    expected = [
        (question, model, repeat)
        for repeat in range(2)
        for question, model in sorted(
            product(["q0", "q1", "q2", "q3"], ["m0", "m1"]), key=lambda cell: rank(repeat, *cell)
        )
    ]
    assert [(e.question_id, e.model, e.repeat) for e in executions(spec)] == expected


def peak_while_expanding(spec: JobSpec) -> int:
    tracemalloc.start()
    try:
        assert sum(len(shard.executions) for shard in shards(spec)) == spec.total
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_expansion_holds_one_shard_and_one_round_and_no_more() -> None:
    few, many = job(200, 2, 3, repeats=2), job(200, 2, 3, repeats=20)
    peak = peak_while_expanding(many)
    assert peak < 1.5 * peak_while_expanding(few)
    assert peak < 1_000_000


def test_an_execution_says_the_persona_and_then_the_question_in_its_language() -> None:
    prompts = {"regional": {"us": {"en": "You are in the US."}, "eu": {"fi": "Olet Euroopassa."}}}
    spec = job(
        questions=1,
        models=1,
        regions=2,
        repeats=1,
        languages={"us": "en", "eu": "fi"},
        personas=["none", "regional"],
        persona_prompts=prompts,
    ).model_copy()
    said = {(e.region, e.persona): [(m.role, m.content) for m in messages(spec, e)] for e in executions(spec)}
    assert said[("us", "none")] == [("user", "Why?")]
    assert said[("us", "regional")] == [("system", "You are in the US."), ("user", "Why?")]
    assert said[("eu", "regional")] == [("system", "Olet Euroopassa."), ("user", "Why?")]
