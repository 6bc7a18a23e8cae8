"""Trains the classifier of answers and writes its weights into the package.

    python tools/train_classifier.py --answers answers.jsonl.gz --write
    python tools/train_classifier.py --answers answers.jsonl.gz --label-unseen labels.jsonl

The second form labels every answer by a classifier that never saw its model. The answers are JSON lines with
`answer`, `finish_reason`, `language`, `model`, `subject` and `label` (docs/classifier.md says which they were).
Needs scikit-learn (dev group). The same data, libraries and machine type give the same weights.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.sparse import csr_array
from sklearn.linear_model import LogisticRegression

from beacon.analysis.answer import TEXT_LABELS, TextLabel
from beacon.analysis.answer_card import CARD_FILE
from beacon.analysis.answer_features import BUCKETS, Counts, count_grams, gram_buckets, normalised
from beacon.analysis.answer_model import (
    OTHER_LANGUAGES,
    WEIGHTS_FILE,
    AnswerModel,
    packed,
    softmax,
    weights_digest,
)
from beacon.analysis.answer_rules import ruling
from beacon.analysis.classify import classify_rows, text_of_row

ROOT = Path(__file__).resolve().parents[1]
MODEL_DIRECTORY = ROOT / "src" / "beacon" / "analysis" / "model"
SHORT_ANSWERS = ROOT / "tools" / "classifier_data" / "short_answers.yaml"

MODEL_NAME = "beacon.answers/2"
KNOWN_BUCKETS = 300_000
"""Of a model, at most: those that most of its training texts fall into. With 2**18 buckets these are all of them."""
TRAINED_LANGUAGES = ("en", "fi", "zh")
FOLDS = 6
SPLITS = (0, 1, 2)
REGULARISATION = 10.0
"""C of scikit-learn: the inverse strength of the L2 penalty, with weights whose mean is 1."""
SHORT_EXAMPLES = 150
"""Short examples made for each language and label."""
CORE_PHRASES = (1, 1, 1, 2, 3)
"""How many phrases a short example has at its core: drawn from these."""
SHORT_WEIGHT = 0.5
"""What all short examples weigh together, where all real answers weigh 1."""


Phrases = dict[Literal["before", "core", "after"], list[str]]


@dataclass(frozen=True, slots=True)
class Example:
    """A text with its label. `model` and `subject` are None for an example that was written for Beacon."""

    text: str
    label: TextLabel
    language: str
    model: str | None
    subject: str | None

    @property
    def written(self) -> bool:
        return self.model is None


def read_rows(path: Path) -> list[dict[str, Any]]:
    content = path.read_bytes()
    lines = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
    return [json.loads(line) for line in lines.split("\n") if line]


def real_examples(rows: Sequence[dict[str, Any]]) -> list[Example]:
    """The answers whose label only their words can tell: those that a rule decides teach the model nothing."""
    return [
        Example(row["answer"], row["label"], row["language"], row["model"], row["subject"])
        for number, row in enumerate(rows, start=1)
        if ruling(text_of_row(row, f"row {number}")) is None
    ]


def short_examples(path: Path = SHORT_ANSWERS, count: int = SHORT_EXAMPLES) -> list[Example]:
    """`count` texts for each language and label, drawn from the phrases by a generator seeded with their names."""
    phrases: dict[str, dict[TextLabel, Phrases]] = yaml.safe_load(path.read_text("utf-8"))
    return [
        Example(text, label, language, None, None)
        for language, by_label in phrases.items()
        for label, own in by_label.items()
        for text in _drawn(own, count, "" if language == "zh" else " ", random.Random(f"{language}/{label}"))
    ]


def _drawn(phrases: Phrases, count: int, joiner: str, source: random.Random) -> Iterator[str]:
    """Texts, all different. Every label is drawn in the same lengths, so that length says nothing about it."""
    seen: set[str] = set()
    while len(seen) < count:
        first, *more = source.sample(phrases["core"], source.choice(CORE_PHRASES))
        before = source.choice(phrases["before"]) if phrases["before"] and source.random() < 0.6 else ""
        after = source.choice(phrases["after"]) if source.random() < 0.4 else ""
        begun = before + joiner + first if before else first
        text = joiner.join(_capitalised(phrase) for phrase in (begun, *more, after) if phrase)
        if text not in seen:
            seen.add(text)
            yield text


def _capitalised(text: str) -> str:
    return text[0].upper() + text[1:]


@dataclass(frozen=True, slots=True, eq=False)
class Corpus:
    """Examples with their damped n-gram counts, one row each, and the index of each one's label."""

    examples: list[Example]
    counts: csr_array
    labels: NDArray[np.int64]

    @classmethod
    def of(cls, examples: list[Example]) -> Corpus:
        counted: list[Counts] = [count_grams(gram_buckets(normalised(example.text))) for example in examples]
        starts = np.cumsum([0, *(c.buckets.size for c in counted)], dtype=np.int32)
        columns = np.concatenate([c.buckets for c in counted]).astype(np.int32)
        values = np.concatenate([c.weights for c in counted])
        counts = csr_array((values, columns, starts), shape=(len(examples), BUCKETS))
        return cls(examples, counts, np.array([TEXT_LABELS.index(e.label) for e in examples]))

    def where(self, *, models: frozenset[str] | None = None, written: bool = False) -> NDArray[np.int64]:
        """Row numbers of the real examples (of these models), or of the written ones."""
        return np.array(
            [i for i, e in enumerate(self.examples) if e.written == written and (models is None or e.model in models)],
            dtype=np.int64,
        )


def example_weights(examples: Sequence[Example]) -> NDArray[np.float64]:
    """Every pair of label and language weighs the same among the real answers; the mean weight is 1."""
    cells = [(e.written, e.label, e.language) for e in examples]
    size = {cell: cells.count(cell) for cell in set(cells)}
    number = {written: sum(cell[0] == written for cell in size) for written in (False, True)}
    share = {False: 1.0, True: SHORT_WEIGHT}
    weights = np.array([share[cell[0]] / number[cell[0]] / size[cell] for cell in cells])
    weights /= weights.mean()
    return weights


def fit(corpus: Corpus, rows: NDArray[np.int64]) -> AnswerModel:
    """A model of these rows, its weights rounded as they are stored, not yet calibrated."""
    counts = corpus.counts[rows]
    documents = np.bincount(counts.indices, minlength=BUCKETS)
    known = np.sort(np.argsort(-documents, kind="stable")[:KNOWN_BUCKETS])
    rarity = (np.log((1 + rows.size) / (1 + documents[known])) + 1).astype(np.float16).astype(np.float32)
    vectors = counts[:, known]
    vectors.data *= rarity[vectors.indices]
    lengths = np.sqrt(np.add.reduceat(vectors.data**2, vectors.indptr[:-1]))
    vectors.data /= np.repeat(lengths, np.diff(vectors.indptr))
    solver = LogisticRegression(C=REGULARISATION, max_iter=3_000, tol=1e-4)
    solver.fit(vectors, corpus.labels[rows], sample_weight=example_weights([corpus.examples[i] for i in rows]))
    table = np.zeros((known.size + 1, len(TEXT_LABELS) + 1), dtype=np.float32)
    table[:-1, : len(TEXT_LABELS)] = solver.coef_.T.astype(np.float16)
    table[:-1, len(TEXT_LABELS)] = rarity
    return AnswerModel(
        known.astype(np.uint32), table, np.asarray(solver.intercept_, dtype=np.float64), {OTHER_LANGUAGES: 1.0}
    )


def folds(models: Sequence[str], split: int) -> list[frozenset[str]]:
    """The models in FOLDS groups of equal size, drawn by the number of the split."""
    order = sorted(models)
    random.Random(split).shuffle(order)
    size = len(order) // FOLDS
    return [frozenset(order[i * size : (i + 1) * size]) for i in range(FOLDS)]


def models_of(corpus: Corpus) -> list[str]:
    return sorted({e.model for e in corpus.examples if e.model is not None})


@dataclass(frozen=True, slots=True, eq=False)
class Fold:
    """A group of models, a classifier that has seen none of them, and the logits that it gives their answers."""

    models: frozenset[str]
    classifier: AnswerModel
    rows: NDArray[np.int64]
    logits: NDArray[np.float64]


def unseen_folds(corpus: Corpus, split: int) -> list[Fold]:
    """For each group of models a classifier trained on all the others and on the written examples, if any."""
    everything = frozenset(models_of(corpus))
    written = corpus.where(written=True)
    found = []
    for models in folds(models_of(corpus), split):
        classifier = fit(corpus, np.concatenate([corpus.where(models=everything - models), written]))
        rows = corpus.where(models=models)
        found.append(Fold(models, classifier, rows, logits_of(classifier, corpus, rows)))
    return found


def calibrated_folds(corpus: Corpus, found: Sequence[Fold]) -> list[Fold]:
    """The folds, each classifier calibrated on the answers of the other folds: never on its own."""
    return [
        replace(fold, classifier=calibrated(fold.classifier, corpus, [other for other in found if other is not fold]))
        for fold in found
    ]


def logits_of(model: AnswerModel, corpus: Corpus, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.array([model.logits(gram_buckets(normalised(corpus.examples[i].text))) for i in rows])


def temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """The one divisor of the logits under which the labels are likeliest (Guo et al. 2017)."""

    def loss(log_temperature: float) -> float:
        chances = softmax(logits / np.exp(log_temperature))
        return -float(np.log(chances[np.arange(labels.size), labels] + 1e-12).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-2.0, 2.0), method="bounded").x))


def calibrated(model: AnswerModel, corpus: Corpus, unseen: Sequence[Fold]) -> AnswerModel:
    """The model with a temperature for each trained language, from answers whose models were unseen."""
    rows = np.concatenate([fold.rows for fold in unseen])
    logits = np.concatenate([fold.logits for fold in unseen])
    languages = languages_of(corpus, rows)
    labels = corpus.labels[rows]
    found = {code: temperature(logits[languages == code], labels[languages == code]) for code in TRAINED_LANGUAGES}
    return replace(model, temperatures={**model.temperatures, **found})


def languages_of(corpus: Corpus, rows: NDArray[np.int64]) -> NDArray[np.str_]:
    return np.array([corpus.examples[i].language for i in rows])


def unseen_language(corpus: Corpus, language: str) -> Fold:
    """A classifier that saw only written examples of this language, and its logits of the real answers in it."""
    real = corpus.where()
    spoken = languages_of(corpus, real) == language
    classifier = fit(corpus, np.concatenate([real[~spoken], corpus.where(written=True)]))
    return Fold(frozenset(), classifier, real[spoken], logits_of(classifier, corpus, real[spoken]))


def label_unseen(corpus: Corpus, rows: Sequence[dict[str, Any]], split: int) -> Iterator[dict[str, Any]]:
    """Every row, labelled by rule or by a classifier that never saw the row's model nor was calibrated on it."""
    for fold in calibrated_folds(corpus, unseen_folds(corpus, split)):
        yield from classify_rows((row for row in rows if row["model"] in fold.models), fold.classifier)


def train(corpus: Corpus) -> AnswerModel:
    """The model of all examples, calibrated on answers of models, and for others of languages, not seen."""
    model = calibrated(fit(corpus, np.arange(len(corpus.examples))), corpus, unseen_folds(corpus, SPLITS[0]))
    foreign = [unseen_language(corpus, language) for language in ("fi", "zh")]
    other = temperature(
        np.concatenate([fold.logits for fold in foreign]),
        corpus.labels[np.concatenate([fold.rows for fold in foreign])],
    )
    return replace(model, temperatures={**model.temperatures, OTHER_LANGUAGES: other})


def write_model(model: AnswerModel, corpus: Corpus, directory: Path = MODEL_DIRECTORY) -> None:
    """Stores the weights and the part of the card that describes them; what was measured before is dropped."""
    directory.mkdir(exist_ok=True)
    np.save(directory / WEIGHTS_FILE, packed(model), allow_pickle=False)
    described = {
        "name": MODEL_NAME,
        "labels": list(TEXT_LABELS),
        "intercept": [round(float(x), 6) for x in model.intercept],
        "temperatures": {code: round(t, 4) for code, t in model.temperatures.items()},
        "weights_sha256": weights_digest((directory / WEIGHTS_FILE).read_bytes()),
        "trained_on": {
            "answers": int(corpus.where().size),
            "models": models_of(corpus),
            "written_examples": int(corpus.where(written=True).size),
        },
        "settings": {
            "C": REGULARISATION,
            "short_weight": SHORT_WEIGHT,
            "known_buckets": KNOWN_BUCKETS,
            "scikit-learn": version("scikit-learn"),
        },
    }
    (directory / CARD_FILE).write_text(json.dumps({"model": described}, indent=1) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=Path, required=True, help="labelled answers, JSON lines, also .gz")
    parser.add_argument("--write", action="store_true", help="write the weights into the package")
    parser.add_argument("--label-unseen", type=Path, metavar="FILE", help="label the answers, each model unseen")
    parser.add_argument("--split", type=int, default=SPLITS[0], help="which grouping of the models")
    arguments = parser.parse_args()
    rows = read_rows(arguments.answers)
    corpus = Corpus.of(real_examples(rows) + short_examples())
    if arguments.label_unseen is not None:
        with arguments.label_unseen.open("w", encoding="utf-8") as output:
            for row in label_unseen(corpus, rows, arguments.split):
                output.write(json.dumps(row, ensure_ascii=False) + "\n")
    if arguments.write:
        write_model(train(corpus), corpus)


if __name__ == "__main__":
    main()
