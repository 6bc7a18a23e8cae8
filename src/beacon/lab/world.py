"""The world (`beacon.world/v1`): what each simulated provider does, per region, model and kind of question.

A world is one list of rules. A rule applies where its `when` matches; of the rules that match, the last one
that gives a field decides that field, so a world reads from the general to the particular.
"""

from __future__ import annotations

import math
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from beacon.domain.document import Seconds, load, refuse
from beacon.domain.names import suggest
from beacon.domain.question import Frozen, Identifier, Question
from beacon.domain.regions import normalise
from beacon.errors import InputError
from beacon.lab.draw import Draws
from beacon.lab.toxics import Toxic

MODELS = {
    "llama3.2-1b": "meta-llama/Llama-3.2-1B-Instruct",
    "qwen2.5-1.5b": "Qwen/Qwen2.5-1.5B-Instruct",
    "mistral-7b": "mistralai/Mistral-7B-Instruct-v0.3",
}

FaultKind = Literal[
    "error",
    "reset",
    "cut",
    "truncated",
    "no_done",
    "error_event",
    "empty_body",
    "hang",
    "stall",
    "wrong_model",
    "wrong_region",
    "redirect",
]
Narrative = Literal["common", "other"]


class Lognormal(Frozen):
    """`sigma` is the standard deviation of the logarithm; draws above `max` are cut to it."""

    median: Seconds = Field(gt=0)
    sigma: float = Field(ge=0, le=3)
    max: Seconds | None = Field(default=None, gt=0)


class Latency(Frozen):
    """Time from the request to the first token; exactly one distribution. `latency: 50ms` is a constant."""

    constant: Seconds | None = Field(default=None, ge=0)
    uniform: tuple[Seconds, Seconds] | None = None
    lognormal: Lognormal | None = None

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        return value if isinstance(value, dict | Latency) else {"constant": value}

    @model_validator(mode="after")
    def _one_of(self) -> Latency:
        given = [d for d in (self.constant, self.uniform, self.lognormal) if d is not None]
        if len(given) != 1:
            raise refuse("a latency has exactly one of constant, uniform and lognormal")
        if self.uniform is not None and not 0 <= self.uniform[0] <= self.uniform[1]:
            raise refuse("uniform takes the smaller and the greater bound", "write for example [300ms, 900ms]")
        return self

    def draw(self, draws: Draws) -> float:
        """Seconds."""
        if self.constant is not None:
            return self.constant
        if self.uniform is not None:
            low, high = self.uniform
            return low + (high - low) * draws.uniform()
        assert self.lognormal is not None
        seconds = self.lognormal.median * math.exp(self.lognormal.sigma * draws.normal())
        return min(seconds, self.lognormal.max) if self.lognormal.max is not None else seconds


class Stream(Frozen):
    """How fast tokens follow the first one (at once where no rate is given), and how many share an event.

    The pace holds without streaming too: the whole answer then comes when its last token is due.
    """

    tokens_per_second: float | None = Field(default=None, gt=0)
    tokens_per_event: int = Field(default=4, ge=1, le=1000)


class Limit(Frozen):
    """What a provider accepts of one model; beyond it the answer is 429.

    `requests_per_second` fills a bucket of `burst` requests (default: one second's). With `retry_after` the
    429 says after how many seconds to come back.
    """

    requests_per_second: float | None = Field(default=None, gt=0)
    burst: int | None = Field(default=None, ge=1)
    concurrency: int | None = Field(default=None, ge=1)
    retry_after: bool = True

    @model_validator(mode="after")
    def _limits_something(self) -> Limit:
        if self.requests_per_second is None and self.concurrency is None:
            raise refuse("a limit gives requests_per_second, concurrency, or both")
        if self.burst is not None and self.requests_per_second is None:
            raise refuse("burst goes with requests_per_second")
        return self


class ColdStart(Frozen):
    """A model that sleeps at first, and again after `idle` without requests.

    The first request starts the warm-up of `seconds`; until it is over requests `wait` or get a `503`.
    """

    seconds: Seconds = Field(gt=0)
    idle: Seconds | None = Field(default=None, gt=0)
    meanwhile: Literal["wait", "503"] = "wait"


class Fault(Frozen):
    """One thing that goes wrong, with probability `rate`, only on attempts up to `first_attempts` if given.

    The number of an attempt is what `X-Beacon-Attempt` says, or 1. `status`, `message` and `retry_after`
    belong to the kind `error`.
    """

    kind: FaultKind
    rate: float = Field(default=1.0, gt=0, le=1)
    first_attempts: int | None = Field(default=None, ge=1)
    status: int = Field(default=500, ge=400, le=599)
    message: str = Field(default="simulated failure", min_length=1, max_length=1000)
    retry_after: Seconds | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _fits_kind(self) -> Fault:
        for name in ("status", "message", "retry_after"):
            if self.kind != "error" and name in self.model_fields_set:
                raise refuse(f"{name} belongs to faults of kind error, not {self.kind}")
        return self

    def strikes(self, attempt: int, draws: Draws) -> bool:
        """Draws once, whether or not it can strike, so that one fault does not move the draws of the next."""
        drawn = draws.uniform() < self.rate
        return drawn and (self.first_attempts is None or attempt <= self.first_attempts)


class Answers(Frozen):
    """Probabilities of what an answer is; the rest is substantive."""

    refusal: float = Field(default=0.0, ge=0, le=1)
    evasive: float = Field(default=0.0, ge=0, le=1)
    empty: float = Field(default=0.0, ge=0, le=1)
    length: float = Field(default=0.0, ge=0, le=1)
    content_filter: float = Field(default=0.0, ge=0, le=1)
    retracted: float = Field(default=0.0, ge=0, le=1)

    @model_validator(mode="after")
    def _at_most_one(self) -> Answers:
        total = sum(getattr(self, name) for name in Answers.model_fields)
        if total > 1 + 1e-9:
            raise refuse(f"the probabilities add up to {total:g}, more than 1")
        return self


class When(Frozen):
    """Where a rule applies. A selector that is left out matches everything.

    `categories`, `about` and `controls` select by the question, which the lab knows if it is in a built-in
    pack; `about` matches if any of the question's subjects is listed.
    """

    regions: tuple[str, ...] | None = Field(default=None, min_length=1)
    models: tuple[Identifier, ...] | None = Field(default=None, min_length=1)
    categories: tuple[str, ...] | None = Field(default=None, min_length=1)
    about: tuple[str, ...] | None = Field(default=None, min_length=1)
    controls: bool | None = None

    @field_validator("regions")
    @classmethod
    def _canonical(cls, regions: tuple[str, ...] | None) -> tuple[str, ...] | None:
        try:
            return None if regions is None else tuple(normalise(region) for region in regions)
        except InputError as error:
            raise refuse(error.what, error.todo) from None

    @property
    def by_question(self) -> bool:
        return self.categories is not None or self.about is not None or self.controls is not None

    def matches(self, region: str, model: str, question: Question | None) -> bool:
        if self.regions is not None and region not in self.regions:
            return False
        if self.models is not None and model not in self.models:
            return False
        if not self.by_question:
            return True
        if question is None:
            return False
        return (
            (self.categories is None or question.category in self.categories)
            and (self.about is None or not set(self.about).isdisjoint(question.about))
            and (self.controls is None or self.controls == question.control)
        )


class Rule(Frozen):
    when: When = When()
    latency: Latency = Latency(constant=0.0)
    stream: Stream = Stream()
    limit: Limit | None = None
    cold_start: ColdStart | None = None
    faults: tuple[Fault, ...] = ()
    answers: Answers = Answers()
    narrative: Narrative = "common"
    upstream: Identifier = "beacon-lab"
    network: tuple[Toxic, ...] = ()

    @model_validator(mode="after")
    def _network_by_region_only(self) -> Rule:
        if "network" in self.model_fields_set and (self.when.models is not None or self.when.by_question):
            raise refuse("network is a matter of the region; a connection carries every model and question")
        return self

    @model_validator(mode="after")
    def _by_model_only(self) -> Rule:
        for name in ("limit", "cold_start"):
            if name in self.model_fields_set and self.when.by_question:
                raise refuse(f"{name} is a matter of region and model; it cannot depend on the question")
        return self


class World(Frozen):
    """`models` maps Beacon's names to the provider's.

    `question_spread` is the standard deviation, in logits, by which questions differ in how often they are
    withheld; a question's deviation is the same in every region and for every model.
    """

    schema_: Literal["beacon.world/v1"] = Field(alias="schema")
    name: Identifier
    description: str = ""
    models: dict[Identifier, str] = Field(default=MODELS, min_length=1)
    question_spread: float = Field(default=0.0, ge=0, le=3)
    rules: tuple[Rule, ...] = ()

    @field_validator("models")
    @classmethod
    def _different(cls, models: dict[str, str]) -> dict[str, str]:
        if len(set(models.values())) != len(models):
            raise refuse("two models have the same name at the provider")
        return models

    @model_validator(mode="after")
    def _known_models(self) -> World:
        for index, rule in enumerate(self.rules):
            for model in rule.when.models or ():
                if model not in self.models:
                    raise refuse(f"rules[{index}].when.models: unknown model {model!r}", suggest(model, self.models))
        return self


def network(world: World, region: str) -> tuple[Toxic, ...]:
    """What happens to connections to a provider of the region: the last matching rule decides."""
    given = [
        rule.network
        for rule in world.rules
        if "network" in rule.model_fields_set and (rule.when.regions is None or region in rule.when.regions)
    ]
    return given[-1] if given else ()


def parse_world(text: str, source: str) -> World:
    """Raises DocumentError."""
    return load(World, text, source)


def built_in_worlds() -> tuple[str, ...]:
    directory = resources.files("beacon.lab") / "worlds"
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in directory.iterdir()))


def read_world(name: str) -> World:
    """A built-in world by name, or the world in a file.

    Raises InputError for a name that is neither, DocumentError for a file that is no world.
    """
    if name in built_in_worlds():
        return parse_world((resources.files("beacon.lab") / "worlds" / f"{name}.yaml").read_text("utf-8"), name)
    path = Path(name)
    try:
        return parse_world(path.read_text("utf-8"), name)
    except FileNotFoundError:
        todo = f"{suggest(name, built_in_worlds())}; or give the path of a world file"
        raise InputError(f"there is no world {name!r}", where="--world", todo=todo) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the world: {error}", where=name) from None
