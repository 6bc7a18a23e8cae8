"""What one seed stands for: a fleet, jobs, how badly everything behaves, and what people do meanwhile."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import cached_property

from beacon.domain.fleet import Cost, Fleet
from beacon.domain.spec import JobSpec

MODELS = ("alpha", "beta", "gamma")
SPELLINGS = {"us": ("us", "US", "us-east-1"), "eu": ("eu", "EU", "eu-west"), "apac": ("apac", "asia-pacific")}
FAULTS_END_S = 90.0
"""From then on nothing breaks any more: whatever is not over some time later is stuck."""


@dataclass(frozen=True)
class Rates:
    """Probabilities; of a request for the network's, of an inference for the provider's, of a write for `database`."""

    refused: float
    lost: float
    cut: float
    cut_late: float
    hang: float
    error_500: float
    error_429: float
    error_503: float
    slow: float
    other_region: float
    other_model: float
    empty: float
    nothing: float
    truncated: float
    redirect: float
    broke_off: float
    forgotten: float
    misrouted: float
    database: float
    analyst: float


@dataclass(frozen=True)
class PlannedPause:
    """`name` is a provider's or a region's."""

    name: str
    since_s: float
    lasts_s: float


class Scenario:
    """`favour` is a kind of trouble that it has for certain.

    `zombies`: runners are frozen while slow answers are under way, and jobs are cancelled meanwhile. `disk`: what is
    written fails, again and again, and nothing else. `late`: mailboxes answer after the deadlines of executions that
    are retried, by runners that are killed as they commit. `limits`: every job has a cost ceiling or a deadline that it
    reaches, and asks nothing anew of which the outcome is unknown. `jumps`: the wall clock is set while jobs run.
    """

    def __init__(self, seed: int, favour: str | None = None) -> None:
        self.seed = seed
        self.rng = random.Random(f"scenario/{seed}")
        draw = self.rng
        self.regions = tuple(draw.sample(("us", "eu", "apac"), draw.choice((1, 2, 2, 3))))
        self.models = MODELS[: draw.choice((1, 1, 2, 3))]
        self.rates = _rates(draw)
        self.shard_size = draw.choice((2, 3, 5, 8, 500))
        self.hosts = draw.choice((1, 1, 2, 2, 3))
        self.same_host = draw.random() < 0.5
        self.kills_by_step = draw.choice((0, 1, 1, 2, 4))
        self.kills_at_commit = draw.choice((0, 1, 1, 2, 4))
        self.freezes = draw.choice((0, 0, 1, 2)) if self.hosts > 1 else draw.choice((0, 0, 0, 1))
        self.clean_stops = draw.choice((0, 0, 0, 1))
        self.fleet = Fleet.model_validate({"providers": [p for r in self.regions for p in self._providers(r)]})
        self.jobs = tuple(self._job(n) for n in range(draw.choice((1, 2, 3, 4, 6))))
        self.pauses = self._pauses(random.Random(f"pauses/{seed}"))
        self.only_writes_fail = False
        self.jumps: tuple[tuple[float, float], ...] = ()
        if favour == "zombies":
            self._favour_zombies()
        elif favour == "disk":
            self._favour_disk()
        elif favour == "late":
            self._favour_late_answers()
        elif favour == "limits":
            self._favour_limits()
        elif favour == "jumps":
            self.jumps = tuple((draw.uniform(0, 30), draw.choice((-1, 1)) * draw.uniform(1, 60)) for _ in range(3))

    def _pauses(self, draw: random.Random) -> tuple[PlannedPause, ...]:
        """In every third seed; each name at most once, so that nothing is resumed for another's sake."""
        names = [*self.regions, *(provider.name for provider in self.fleet.providers)]
        chosen = draw.sample(names, draw.choice((0, 0, 0, 0, 1, min(2, len(names)))))
        return tuple(PlannedPause(name, draw.uniform(0, 15), draw.uniform(8, 40)) for name in chosen)

    def _providers(self, region: str) -> list[dict[str, object]]:
        draw = self.rng
        return [
            {
                "name": f"{region}-{letter}",
                "region": region,
                "transport": draw.choice(("openai", "agent", "agent", "modal")),
                "url": f"http://{region}-{letter}.invalid/v1",
                "models": {model: f"maker/{model}" for model in self.models},
                "echoes": {self.models[0]: ["maker/alpha-2409"]},
                "concurrency": draw.choice((1, 2, 3, 8)),
                "stream": draw.random() < 0.5,
                "region_header": "X-Region",
                "cold_start": draw.choice((0, 0, 0, 6)),
                "keep_warm": draw.choice(("never", "prewarm")),
                "cost": draw.choice(({}, {"input_per_mtok": 1000, "output_per_mtok": 2000})),
            }
            for letter in ("a", "b")[: draw.choice((1, 2))]
        ]

    def _job(self, number: int) -> PlannedJob:
        draw = self.rng
        cells = len(self.models) * len(self.regions)
        questions = draw.choice((1, 2, 3))
        repeats = max(-(-6 // (cells * questions)), draw.choice((1, 1, 2)))
        limits: dict[str, object] = {
            "execution_deadline": draw.choice((4, 12, 40)),
            "max_attempts": draw.choice((1, 2, 3, 4)),
            "on_unknown": draw.choice(("retry", "retry", "fail")),
            "allow_unknown_cost": True,
        }
        if draw.random() < 0.1:
            limits["job_deadline"] = draw.choice((3, 15))
        if draw.random() < 0.1:
            limits["max_cost_usd"] = draw.choice((0.02, 0.05))
        document = {
            "schema": "beacon.job/v1",
            "name": f"Job {number}",
            "questions": [{"id": f"q{n}", "text": f"Question {n}?"} for n in range(questions)],
            "models": list(self.models),
            "regions": list(self.regions),
            "repeats": repeats,
            "seed": draw.randrange(2**31),
            "limits": limits,
        }
        return PlannedJob(
            spec=JobSpec.model_validate(document),
            submitted_s=draw.uniform(0, 10),
            stopped_s=draw.uniform(0.1, 8) if draw.random() < 0.2 else None,
            stop_kind=draw.choice(("cancelled", "cancelled", "cancelled", "straggler")),
            reopened=draw.choice((0, 0, 1, 2)),
        )

    def _favour_zombies(self) -> None:
        """Nothing breaks, but runners are frozen while slow answers are under way, and jobs are cancelled meanwhile."""
        self.rates = _quiet(slow=0.9)
        self.hosts, self.same_host, self.freezes = 2, False, 2
        self.kills_by_step = self.kills_at_commit = self.clean_stops = 0
        self.jobs = tuple(self._cancelled_late(job) for job in self.jobs)
        self.pauses = ()

    def _favour_disk(self) -> None:
        self.rates = _quiet(database=0.05)
        self.only_writes_fail = True
        self.kills_by_step = self.kills_at_commit = self.clean_stops = self.freezes = 0

    def _favour_late_answers(self) -> None:
        self.rates = _quiet(slow=0.9)
        self.kills_by_step, self.kills_at_commit, self.clean_stops, self.freezes = 0, 12, 0, 0
        mailboxes = [provider.model_copy(update={"transport": "agent"}) for provider in self.fleet.providers]
        self.fleet = self.fleet.model_copy(update={"providers": tuple(mailboxes)})
        self.jobs = tuple(self._answered_late(job) for job in self.jobs)

    def _answered_late(self, job: PlannedJob) -> PlannedJob:
        hasty = job.spec.limits.model_copy(update={"execution_deadline": 4.0, "job_deadline": None})
        return replace(job, spec=job.spec.model_copy(update={"limits": hasty}), stopped_s=None, reopened=3)

    def _favour_limits(self) -> None:
        cost = Cost.model_validate({"input_per_mtok": 1000, "output_per_mtok": 2000})
        priced = [provider.model_copy(update={"cost": cost}) for provider in self.fleet.providers]
        self.fleet = self.fleet.model_copy(update={"providers": tuple(priced)})
        self.jobs = tuple(self._limited(job, number) for number, job in enumerate(self.jobs))

    def _limited(self, job: PlannedJob, number: int) -> PlannedJob:
        limit = {"max_cost_usd": 0.02} if number % 2 else {"job_deadline": 3.0}
        limits = job.spec.limits.model_copy(update={**limit, "on_unknown": "fail"})
        return replace(job, spec=job.spec.model_copy(update={"limits": limits}))

    def _cancelled_late(self, job: PlannedJob) -> PlannedJob:
        patient = job.spec.limits.model_copy(update={"execution_deadline": 60.0, "job_deadline": None})
        spec = job.spec.model_copy(update={"limits": patient})
        return replace(job, spec=spec, stopped_s=self.rng.uniform(4, 16), stop_kind="cancelled")

    @cached_property
    def total(self) -> int:
        return sum(job.spec.total for job in self.jobs)


@dataclass(frozen=True)
class PlannedJob:
    """`stopped_s` is how long after its submission somebody stops it; `reopened` how often its failures are retried."""

    spec: JobSpec
    submitted_s: float
    stopped_s: float | None
    stop_kind: str
    reopened: int


def _quiet(**rates: float) -> Rates:
    """Nothing goes wrong but what is named."""
    return Rates(**{**dict.fromkeys(Rates.__dataclass_fields__, 0.0), **rates})


def _rates(draw: random.Random) -> Rates:
    """A third of the seeds knows little trouble, a third some, a third a lot; each kind may be absent altogether."""
    level = draw.choice((0.01, 0.04, 0.12))
    rare = {"error_503", "database", "analyst", "forgotten"}
    names = Rates.__dataclass_fields__
    return Rates(**{n: draw.choice((0, 1, 1, 2)) * level * (0.3 if n in rare else 1.0) for n in names})
