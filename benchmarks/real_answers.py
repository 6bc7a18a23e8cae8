"""Findings on recorded answers of real models: by the labels that come with them, and by unseeing classifiers.

    python benchmarks/real_answers.py --answers answers.jsonl.gz                     by the given labels
    PYTHONPATH=. python benchmarks/real_answers.py --answers answers.jsonl.gz --unseen   also by unseen labels

The whole way is taken: a job over `replay` providers, one region a language, its labels imported with their source, a
further report. `--unseen` trains a classifier for each group of models without them, which takes minutes and needs
scikit-learn, and imports its labels into a job of their own. The answers (tools/train_classifier.py describes them)
are no part of the repository.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

SOURCE = "the published language-model judge"
SUBJECT = "china"
ZH_FI, ZH_EN, FI_EN = ("apac", "eu"), ("apac", "us"), ("eu", "us")
Calls = dict[tuple[str, tuple[str, str]], int]
"""By model and pair of regions: 0 for no difference, else whether the second region's withheld rate is higher."""

DIFFERENCES: dict[str, dict[tuple[str, str], int]] = {
    "deepseek_deepseek-chat": {ZH_FI: -1, ZH_EN: -1, FI_EN: 1},
    "qwen_qwen-2.5-7b-instruct": {ZH_FI: 1, ZH_EN: -1, FI_EN: -1},
    "qwen_qwen-max": {ZH_FI: -1, ZH_EN: -1, FI_EN: 1},
    "qwen_qwen3-235b-a22b": {ZH_FI: -1, ZH_EN: -1, FI_EN: 1},
    "anthropic_claude-3-5-sonnet-20241022": {ZH_FI: -1, ZH_EN: -1},
    "anthropic_claude-3-7-sonnet-20250219": {ZH_FI: -1, ZH_EN: -1},
    "deepseek_deepseek-chat-v3-0324": {ZH_FI: -1, ZH_EN: -1},
    "meta-llama_llama-3.1-70b-instruct": {ZH_FI: -1, ZH_EN: -1},
    "openai_gpt-4o-2024-11-20": {ZH_FI: -1, ZH_EN: -1},
    "openrouter_horizon-beta": {ZH_FI: -1, ZH_EN: -1},
    "qwen_qwen-2.5-72b-instruct": {ZH_FI: -1, ZH_EN: -1},
    "deepseek_deepseek-r1": {ZH_FI: -1, FI_EN: 1},
    "qwen_qwen3-14b": {ZH_EN: -1},
    "thudm_glm-4-32b-0414": {FI_EN: -1},
}
"""By which pairs the withheld rate is known to differ, and whether the second region's is lower (-1) or higher (1)."""

NONE = {
    "x-ai_grok-2-1212",
    "meta-llama_llama-3.3-70b-instruct",
    "google_gemini-1.5-pro-002",
    "openai_gpt-oss-120b",
}


def read_rows(answers: Path) -> list[dict[str, Any]]:
    with gzip.open(answers, "rt", encoding="utf-8") as lines:
        return [row for row in map(json.loads, lines) if row["subject"] == SUBJECT]


def house_label(row: Mapping[str, Any]) -> str:
    """The label that came with the answer; what the API itself calls filtered is a refusal."""
    return "refusal" if row["finish_reason"] == "content_filter" else str(row["label"])


class ReplayedJob:
    """A job over recorded answers in a folder of its own, driven by the command line."""

    def __init__(self, folder: Path, rows: list[dict[str, Any]]) -> None:
        self.folder = folder
        self.rows = rows
        self.job_id = ""

    def run(self) -> None:
        self.folder.mkdir(exist_ok=True)
        regions = {row["region"]: row["language"] for row in self.rows}
        models = sorted({row["model"] for row in self.rows})
        questions: dict[str, dict[str, str]] = {}
        for row in self.rows:
            questions.setdefault(row["question_id"], {})[row["language"]] = row["prompt"]
        spec = {
            "schema": "beacon.job/v1",
            "name": "Recorded answers",
            "questions": [{"id": name, "texts": texts} for name, texts in questions.items()],
            "models": models,
            "regions": sorted(regions),
            "languages": regions,
            "repeats": 1,
            "seed": 0,
        }
        providers = [
            {"name": f"replay-{r}", "region": r, "transport": "replay", "file": "answers.jsonl", "models": models}
            for r in sorted(regions)
        ]
        self._write("answers.jsonl", self.rows)
        (self.folder / "spec.json").write_text(json.dumps(spec))
        (self.folder / "fleet.json").write_text(json.dumps({"schema": "beacon.fleet/v1", "providers": providers}))
        self.job_id = self._beacon("run", "spec.json", "--fleet", "fleet.json", "--json")["job_id"]

    def report_by(self, labels: Iterable[str], source: str) -> dict[str, Any]:
        """The report once the labels, in the order of the rows, are imported as `source`."""
        named = ("question_id", "model", "region", "language", "answer")
        given = [
            {name: row[name] for name in named} | {"label": label} for row, label in zip(self.rows, labels, strict=True)
        ]
        self._write("labels.jsonl", given)
        self._beacon("label", self.job_id, "--import", "labels.jsonl", "--source", source, "--json")
        return self._beacon("report", self.job_id, "--again", "--json")

    def _write(self, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        (self.folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    def _beacon(self, *arguments: str) -> dict[str, Any]:
        place = {"BEACON_DATABASE_URL": f"sqlite:///{self.folder / 'b.db'}", "XDG_DATA_HOME": str(self.folder / "data")}
        command = [sys.executable, "-m", "beacon.cli.main", *arguments]
        ran = subprocess.run(command, cwd=self.folder, env=os.environ | place, capture_output=True, check=False)
        if not ran.stdout:
            raise SystemExit(ran.stderr.decode())
        document: dict[str, Any] = json.loads(ran.stdout)
        return document


def calls_of(report: Mapping[str, Any]) -> Calls:
    """The family of all models and pairs of regions, by the withheld rate."""
    return {
        (f["model"], tuple(f["groups"])): (0 if f["call"] != "difference" else 1 if f["effect"] > 0 else -1)
        for f in report["findings"]
        if f["measure"] == "withheld_rate" and f["level"] == "overall" and f["factor"] == "region"
    }


def expected(calls: Calls) -> Calls:
    return {(model, pair): DIFFERENCES.get(model, {}).get(pair, 0) for model, pair in calls}


def compared(found: Calls, known: Calls) -> dict[str, int]:
    pairs = [(found[key], known[key]) for key in known]
    return {
        "pairs": len(pairs),
        "differences": sum(one != 0 for one, _ in pairs),
        "same_call": sum(one == other for one, other in pairs),
        "opposite": sum(one * other < 0 for one, other in pairs),
        "missed": sum(one == 0 != other for one, other in pairs),
        "false": sum(one != 0 == other for one, other in pairs),
        "differences_of_models_without_any": sum(one != 0 for (model, _), one in found.items() if model in NONE),
    }


def unseen_labels(answers: Path, rows: list[dict[str, Any]], folder: Path, split: int) -> list[str]:
    """Each row's label by rule, or by a classifier that never saw the row's model."""
    output = folder / f"unseen-{split}.jsonl"
    command = [sys.executable, "-m", "tools.train_classifier", "--answers", str(answers)]
    subprocess.run([*command, "--label-unseen", str(output), "--split", str(split)], check=True)
    keys = ("question_id", "model", "language")
    with output.open(encoding="utf-8") as lines:
        found = {tuple(row[key] for key in keys): row["label"] for row in map(json.loads, lines)}
    return [found[tuple(row[key] for key in keys)] for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=Path, required=True)
    parser.add_argument("--unseen", action="store_true", help="also by a classifier that saw none of the models")
    parser.add_argument("--splits", type=int, nargs="*", help="which groupings of the models; default the first")
    arguments = parser.parse_args()
    rows = read_rows(arguments.answers)
    with tempfile.TemporaryDirectory() as name:
        job = ReplayedJob(Path(name), rows)
        job.run()
        given = calls_of(job.report_by(map(house_label, rows), SOURCE))
        print("by the given labels:", json.dumps(compared(given, expected(given))))
        for split in (arguments.splits or [0]) if arguments.unseen else []:
            labels = unseen_labels(arguments.answers.resolve(), rows, Path(name), split)
            apart = ReplayedJob(Path(name) / f"split-{split}", rows)
            apart.run()
            found = calls_of(apart.report_by(labels, "a classifier that saw none of the models"))
            print(f"by a classifier that saw none of the models, split {split}:", json.dumps(compared(found, given)))


if __name__ == "__main__":
    main()
