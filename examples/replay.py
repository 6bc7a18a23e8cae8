"""Runs the whole main path on recorded answers of real models: `python examples/replay.py`.

The recording asks 18 models the same 50 questions about China in English, Finnish and Chinese. Here English stands
for the us, Finnish for the eu and Chinese for apac, as the recording itself has it; Beacon's report says that region
and language cannot be told apart in it. The recording is not part of this repository; by default it is looked for
in `../shared/data/answers.jsonl.gz` beside the checkout. A spec and a fleet are written beside each other into a
folder of their own, and then it is one command: `beacon run spec.yaml --fleet fleet.yaml`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parent.parent
ANSWERS = REPOSITORY.parent / "shared" / "data" / "answers.jsonl.gz"
LANGUAGES = {"us": "en", "eu": "fi", "apac": "zh"}
SUBJECT = "china"


def read(answers: Path) -> tuple[dict[str, dict[str, str]], list[str]]:
    """The texts of each question by language, and the models, in the order of the recording."""
    questions: dict[str, dict[str, str]] = {}
    models: dict[str, None] = {}
    with gzip.open(answers, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            models[row["model"]] = None
            if row["subject"] == SUBJECT:
                questions.setdefault(row["question_id"], {})[row["language"]] = row["prompt"]
    return questions, list(models)


def spec(questions: dict[str, dict[str, str]], models: list[str]) -> dict[str, Any]:
    return {
        "schema": "beacon.job/v1",
        "name": "Recorded answers about China",
        "questions": [
            {"id": question_id, "texts": texts, "category": "criticism", "about": [SUBJECT]}
            for question_id, texts in questions.items()
        ],
        "models": models,
        "regions": list(LANGUAGES),
        "languages": LANGUAGES,
        "repeats": 1,
        "seed": 7,
    }


def fleet(answers: Path, models: list[str]) -> dict[str, Any]:
    providers = [
        {
            "name": f"recorded-{region}",
            "region": region,
            "transport": "replay",
            "file": str(answers.resolve()),
            "models": list(models),
        }
        for region in LANGUAGES
    ]
    return {"schema": "beacon.fleet/v1", "providers": providers}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=Path, default=ANSWERS, help="the recording; default beside the checkout")
    parser.add_argument("--into", type=Path, help="where spec.yaml and fleet.yaml are written; default a new folder")
    parser.add_argument("--write-only", action="store_true", help="write the two files, run nothing")
    arguments, further = parser.parse_known_args()
    if not arguments.answers.is_file():
        sys.exit(f"there is no recording at {arguments.answers}: name one, JSON lines as a replay provider takes them")
    folder = arguments.into or Path(tempfile.mkdtemp(prefix="beacon-replay-"))
    folder.mkdir(parents=True, exist_ok=True)
    questions, models = read(arguments.answers)
    for name, document in (("spec", spec(questions, models)), ("fleet", fleet(arguments.answers, models))):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False), "utf-8")
    command = ["run", str(folder / "spec.yaml"), "--fleet", str(folder / "fleet.yaml"), *further]
    print(f"beacon {shlex.join(command)}", file=sys.stderr, flush=True)
    if not arguments.write_only:
        os.execv(sys.executable, [sys.executable, "-m", "beacon.cli.main", *command])


if __name__ == "__main__":
    main()
