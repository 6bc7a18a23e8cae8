"""How long the analysis of classified answers takes, and how much memory it needs.

    python benchmarks/analysis.py                  10,000 answers in three shapes, and a job of 100
    python benchmarks/analysis.py --shape large    one shape

Each shape is analysed in a process of its own that is set up as Beacon's analyst is, from the observations to the
report's document; making the answers and importing modules is not counted. `cpu` is the processor time of all
threads, `wall` what a user waits for, which is the longer one on a busy machine; the memory is that of the whole
process. Exit code 1 where a limit is missed.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from random import Random

from beacon.analysis.observation import Observation
from beacon.analysis.report import analyse
from beacon.analysis.settings import AnalysisSettings
from beacon.runner.analyst import ONE_THREAD

REGIONS = ("us", "eu", "apac")
CHARACTERS = 3_600
"""Of an answer: the mean of the recorded answers of real models that the classifier learnt from."""
WORDS = 4_000


@dataclass(frozen=True, slots=True)
class Shape:
    """`limit_s` bounds the time and `limit_mb` the memory of the whole process, None where nothing is promised."""

    models: int
    questions: int
    repeats: int
    limit_s: float
    limit_mb: float | None = None

    @property
    def answers(self) -> int:
        return self.models * len(REGIONS) * self.questions * self.repeats


SHAPES = {
    "small": Shape(1, 11, 3, 0.1),
    "repeats": Shape(1, 60, 56, 4.0, 600),
    "large": Shape(9, 37, 10, 4.0, 600),
    "wide": Shape(18, 37, 5, 4.0, 600),
}


def observations(shape: Shape, seed: int = 1) -> list[Observation]:
    """Refusals, evasions and answers at rates that differ by question, with some missing and every field set."""
    draw = Random(seed)
    vocabulary = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 10))) for _ in range(WORDS)]
    frequency = [1 / (rank + 3) for rank in range(WORDS)]
    rates = [draw.betavariate(0.6, 2.4) for _ in range(shape.questions)]
    found = []
    for question, rate in enumerate(rates):
        for model in range(shape.models):
            for region in REGIONS:
                for repeat in range(shape.repeats):
                    withheld = draw.random() < rate + 0.15 * (region == "apac" and model == 0)
                    label = draw.choice(("refusal", "evasive")) if withheld else "substantive"
                    words = draw.choices(vocabulary, frequency, k=CHARACTERS // 7)
                    answered = draw.random() > 0.01
                    found.append(
                        Observation(
                            execution_id=f"{question}/{model}/{region}/{repeat}",
                            question_id=f"q{question}",
                            model=f"m{model}",
                            region=region,
                            persona="none",
                            language="en",
                            repeat=repeat,
                            status="completed" if answered else "timed_out",
                            kind=None if answered else "deadline_expired",
                            label=label if answered else None,
                            label_source="beacon" if answered else None,
                            answer=" ".join(words) if answered else None,
                            finish_reason="stop" if answered else None,
                            provider=f"{region}-a",
                            upstream=draw.choice(("host-a", "host-b")),
                            model_echoed=f"m{model}",
                            started_at=1e9 + 600 * draw.random(),
                            duration_ms=draw.uniform(200, 4_000),
                        )
                    )
    return found


def memory_mb() -> float:
    """The largest resident memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str) -> bool:
    shape = SHAPES[name]
    if name == "small":
        analyse(observations(Shape(1, 8, 2, 0.0), seed=2), AnalysisSettings()).to_document()
    rows = observations(shape)
    before = memory_mb()
    cpu, wall = time.process_time(), time.perf_counter()
    document = analyse(rows, AnalysisSettings()).to_document()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    limits = f"limit {shape.limit_s:g} s" + (f", {shape.limit_mb:g} MB" if shape.limit_mb else "")
    met = wall <= shape.limit_s and (shape.limit_mb is None or memory_mb() <= shape.limit_mb)
    print(
        f"{name:8} {len(rows):6,} answers ({shape.models} models, {shape.questions} questions, "
        f"{shape.repeats} repeats): "
        f"wall {wall:.3f} s, cpu {cpu:.3f} s, {memory_mb():.0f} MB ({before:.0f} before), "
        f"{len(document['findings'])} findings; {limits}: {'ok' if met else 'MISSED'}",
        flush=True,
    )
    return met


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, help="this shape alone, in this process")
    arguments = parser.parse_args()
    if arguments.shape:
        return 0 if measure(arguments.shape) else 1
    alone = [sys.executable, __file__, "--shape"]
    return max(subprocess.run([*alone, name], env=ONE_THREAD | os.environ, check=False).returncode for name in SHAPES)


if __name__ == "__main__":
    sys.exit(main())
