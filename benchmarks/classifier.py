"""How well the classifier of answers does on models that it has not seen, beside a plain TF-IDF baseline.

    PYTHONPATH=. python benchmarks/classifier.py                             the shipped weights: speed, short answers
    PYTHONPATH=. python benchmarks/classifier.py --answers answers.jsonl.gz  all tables of docs/classifier.md

The second form trains about 50 classifiers, which takes a quarter of an hour of one core, and needs scikit-learn and
labelled answers as `tools/train_classifier.py` describes them; `--write-card` stores the figures with the weights.
Answers that a rule decides are left out on both sides.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression

from beacon.analysis.answer import TEXT_LABELS, AnswerText, TextLabel
from beacon.analysis.answer_card import CARD_FILE, shipped_card
from beacon.analysis.answer_model import OTHER_LANGUAGES, AnswerModel, decided, shipped_model, softmax
from beacon.analysis.answer_rules import ruling
from beacon.analysis.classify import classify_batch, text_of_row
from tools.train_classifier import (
    MODEL_DIRECTORY,
    ROOT,
    SPLITS,
    TRAINED_LANGUAGES,
    Corpus,
    Fold,
    calibrated_folds,
    fit,
    folds,
    languages_of,
    logits_of,
    models_of,
    read_rows,
    real_examples,
    short_examples,
    unseen_folds,
    unseen_language,
)

HELD_OUT = ROOT / "tools" / "classifier_data" / "short_heldout.yaml"
BASELINE_FEATURES = 300_000
BINS = 15

Confusion = NDArray[np.float64]
"""(given, found), in the order of TEXT_LABELS."""


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """What was found for answers: row numbers of a corpus, probabilities (row, label)."""

    rows: NDArray[np.int64]
    chances: NDArray[np.float64]
    plain: bool = False
    """Whether the label is simply the likeliest one, as the baseline has it."""

    @property
    def found(self) -> NDArray[np.intp]:
        return self.chances.argmax(axis=1) if self.plain else decided(self.chances)

    def only(self, chosen: NDArray[np.bool_]) -> Read:
        return Read(self.rows[chosen], self.chances[chosen], self.plain)

    def confusion(self, corpus: Corpus) -> Confusion:
        counts: Confusion = np.zeros((len(TEXT_LABELS), len(TEXT_LABELS)))
        np.add.at(counts, (corpus.labels[self.rows], self.found), 1)
        return counts

    def calibration_error(self, corpus: Corpus) -> float:
        """Mean distance of the found label's probability from how often it is right, over 15 equal bins."""
        top = self.chances[np.arange(self.rows.size), self.found]
        right = self.found == corpus.labels[self.rows]
        bins = np.minimum((top * BINS).astype(np.int64), BINS - 1)
        gaps = [abs(top[bins == b].sum() - right[bins == b].sum()) for b in range(BINS)]
        return float(sum(gaps) / top.size)


def f1_by_label(confusion: Confusion) -> NDArray[np.float64]:
    hits = confusion.diagonal()
    score: NDArray[np.float64] = 2 * hits / np.maximum(confusion.sum(axis=0) + confusion.sum(axis=1), 1)
    return score


def macro_f1(confusion: Confusion) -> float:
    """Over the labels that were given at all."""
    return float(f1_by_label(confusion)[confusion.sum(axis=1) > 0].mean())


def in_language(corpus: Corpus, read: Read, language: str) -> Read:
    return read.only(languages_of(corpus, read.rows) == language)


def read_by(model: AnswerModel, corpus: Corpus, rows: NDArray[np.int64], logits: NDArray[np.float64]) -> Read:
    languages = languages_of(corpus, rows)
    divisors = [model.temperatures.get(code, model.temperatures[OTHER_LANGUAGES]) for code in languages]
    return Read(rows, softmax(logits / np.array(divisors)[:, None]))


def joined(parts: Sequence[Read]) -> Read:
    chances = np.concatenate([p.chances for p in parts])
    return Read(np.concatenate([p.rows for p in parts]), chances, all(p.plain for p in parts))


def beacon_on_unseen_models(corpus: Corpus, split: int) -> Read:
    found = calibrated_folds(corpus, unseen_folds(corpus, split))
    return joined([read_by(fold.classifier, corpus, fold.rows, fold.logits) for fold in found])


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """Character 1-4-grams, the 300,000 most frequent of the training answers, sublinear TF-IDF, logistic
    regression with balanced classes and C = 10: the same as scikit-learn's TfidfVectorizer, counted once."""

    corpus: Corpus
    counts: Any

    @classmethod
    def of(cls, corpus: Corpus) -> Baseline:
        counter = CountVectorizer(analyzer="char", ngram_range=(1, 4), dtype=np.int32)
        return cls(corpus, counter.fit_transform(e.text for e in corpus.examples if not e.written).tocsr())

    def on_unseen_models(self, split: int) -> Read:
        parts = []
        for models in folds(models_of(self.corpus), split):
            unseen = self.corpus.where(models=models)
            seen = np.setdiff1d(self.corpus.where(), unseen)
            frequency = np.asarray(self.counts[seen].sum(axis=0)).ravel()
            kept = np.sort(np.argsort(-frequency, kind="stable")[:BASELINE_FEATURES])
            weighting = TfidfTransformer(sublinear_tf=True)
            solver = LogisticRegression(C=10.0, class_weight="balanced", max_iter=3_000)
            solver.fit(weighting.fit_transform(self.counts[seen][:, kept]), self.corpus.labels[seen])
            parts.append(
                Read(unseen, solver.predict_proba(weighting.transform(self.counts[unseen][:, kept])), plain=True)
            )
        return joined(parts)


def split_lines(name: str, corpus: Corpus, reads: Sequence[Read]) -> Iterator[str]:
    for split, read in zip(SPLITS, reads, strict=False):
        yield f"{name:26} split {split}  {figures(corpus, read)}"
    if len(reads) > 1:
        mean = np.mean([[float(x) for x in figures(corpus, read).split()] for read in reads], axis=0)
        yield f"{name:26} mean     {'  '.join(f'{x:.3f}' for x in mean)}"


def figures(corpus: Corpus, read: Read) -> str:
    """Macro-F1: all, by language; F1 by label; calibration error: all, by language."""
    spoken = [in_language(corpus, read, code) for code in TRAINED_LANGUAGES]
    confusion = read.confusion(corpus)
    numbers = [
        macro_f1(confusion),
        *(macro_f1(part.confusion(corpus)) for part in spoken),
        *f1_by_label(confusion),
        read.calibration_error(corpus),
        *(part.calibration_error(corpus) for part in spoken),
    ]
    return "  ".join(f"{x:.3f}" for x in numbers)


FIGURES_HEADER = "  ".join(
    [f"{'':35}", "F1   ", *(f"{c:5}" for c in TRAINED_LANGUAGES), *(f"{c[:5]:5}" for c in TEXT_LABELS), "ECE  "]
    + [f"{c:5}" for c in TRAINED_LANGUAGES]
)


def unseen_subjects(corpus: Corpus) -> Iterator[tuple[str, Read]]:
    """Each government's answers, read by a classifier that saw none about it."""
    everything = np.arange(len(corpus.examples))
    for subject in sorted({e.subject for e in corpus.examples if e.subject is not None}):
        about = np.array([i for i in everything if corpus.examples[i].subject == subject])
        classifier = fit(corpus, np.setdiff1d(everything, about))
        yield subject, read_by(classifier, corpus, about, logits_of(classifier, corpus, about))


def unseen_languages(corpus: Corpus) -> Iterator[tuple[str, Read]]:
    """Finnish and Chinese by classifiers without a real answer in them, calibrated as other languages are."""
    temperatures = {OTHER_LANGUAGES: shipped_model().temperatures[OTHER_LANGUAGES]}
    for language in ("fi", "zh"):
        fold: Fold = unseen_language(corpus, language)
        classifier = replace(fold.classifier, temperatures=temperatures)
        yield language, read_by(classifier, corpus, fold.rows, fold.logits)


def short_answers(model: AnswerModel) -> dict[str, dict[TextLabel, tuple[int, int]]]:
    """By language and label, how many of the held-out short answers are found, and of how many."""
    held_out: dict[str, dict[TextLabel, list[str]]] = yaml.safe_load(HELD_OUT.read_text("utf-8"))
    return {
        language: {
            label: (
                sum(c.label == label for c in classify_batch([_short(t, language) for t in texts], model)),
                len(texts),
            )
            for label, texts in by_label.items()
        }
        for language, by_label in held_out.items()
    }


def _short(text: str, language: str) -> AnswerText:
    return AnswerText(prompt="", answer=text, finish_reason="stop", language=language)


def short_lines(name: str, found: dict[str, dict[TextLabel, tuple[int, int]]]) -> Iterator[str]:
    for language, by_label in found.items():
        right, total = (sum(pair[i] for pair in by_label.values()) for i in (0, 1))
        detail = "  ".join(f"{label} {hit}/{count}" for label, (hit, count) in by_label.items())
        yield f"{name:26} {language}  {right / total:.2f}  {detail}"


def rule_lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    decided: dict[tuple[str, str], int] = {}
    for number, row in enumerate(rows, start=1):
        ruled = ruling(text_of_row(row, f"row {number}"))
        if ruled is not None:
            decided[row["label"], ruled.label] = decided.get((row["label"], ruled.label), 0) + 1
    for (given, found), count in sorted(decided.items()):
        yield f"by rule: given {given}, found {found}: {count}"
    missed = sum(row["label"] == "failure" for row in rows) - sum(n for (g, _), n in decided.items() if g == "failure")
    yield f"given failure, left to the model: {missed}"


def speed(items: Sequence[AnswerText]) -> float:
    """Answers a second of one core, from text to classification; the best of five passes."""
    classify_batch(items[:100])
    best = 0.0
    for _ in range(5):
        begun = time.process_time()
        classify_batch(items)
        best = max(best, len(items) / (time.process_time() - begun))
    return best


def texts_of_usual_length() -> list[AnswerText]:
    """500 texts of about 3,500 characters, as long as models' answers are, made of the written examples."""
    examples = short_examples()
    return [
        _short(" ".join(e.text for e in examples[i:] + examples[:i])[:3_500], examples[i].language) for i in range(500)
    ]


def measured(corpus: Corpus, reads: Sequence[Read], baselines: Sequence[Read]) -> dict[str, Any]:
    """The part of the card that findings carry: errors on unseen models, averaged over the splits."""
    return {
        "protocol": f"leave-models-out: 6 groups of 3 unseen models, means over {len(reads)} groupings",
        "macro_f1": round(float(np.mean([macro_f1(r.confusion(corpus)) for r in reads])), 4),
        "baseline_macro_f1": round(float(np.mean([macro_f1(r.confusion(corpus)) for r in baselines])), 4),
        "calibration_error": round(float(np.mean([r.calibration_error(corpus) for r in reads])), 4),
        "languages": {code: _of_language(corpus, reads, code) for code in TRAINED_LANGUAGES},
    }


def _of_language(corpus: Corpus, reads: Sequence[Read], language: str) -> dict[str, Any]:
    spoken = [in_language(corpus, read, language) for read in reads]
    confusions = [read.confusion(corpus) for read in spoken]
    mean = np.mean(confusions, axis=0)
    return {
        "answers": int(spoken[0].rows.size),
        "macro_f1": round(float(np.mean([macro_f1(c) for c in confusions])), 4),
        "calibration_error": round(float(np.mean([read.calibration_error(corpus) for read in spoken])), 4),
        "confusion": {
            given: {found: round(float(mean[i, j]), 2) for j, found in enumerate(TEXT_LABELS)}
            for i, given in enumerate(TEXT_LABELS)
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--answers", type=Path, help="labelled answers, JSON lines, also .gz")
    parser.add_argument("--write-card", action="store_true", help="store the measured errors with the weights")
    arguments = parser.parse_args()
    say(f"speed: {speed(texts_of_usual_length()):.0f} answers of 3,500 characters a second of one core")
    say(*short_lines("short, shipped", short_answers(shipped_model())))
    if arguments.answers is not None:
        evaluate(read_rows(arguments.answers), arguments.write_card)


def evaluate(rows: Sequence[dict[str, Any]], write_card: bool) -> None:
    real = real_examples(rows)
    corpus = Corpus.of(real + short_examples())
    say(*rule_lines(rows), f"speed: {speed([_short(e.text, e.language) for e in real]):.0f} of these answers a second")
    say(FIGURES_HEADER)
    reads = [beacon_on_unseen_models(corpus, split) for split in SPLITS]
    say(*split_lines("unseen models", corpus, reads))
    baseline = Baseline.of(corpus)
    baselines = [baseline.on_unseen_models(split) for split in SPLITS]
    say(*split_lines("baseline", corpus, baselines))
    if write_card:
        card = {**shipped_card(), "measured": measured(corpus, reads, baselines)}
        (MODEL_DIRECTORY / CARD_FILE).write_text(json.dumps(card, indent=1) + "\n", "utf-8")
    for language, read in unseen_languages(corpus):
        score = macro_f1(read.confusion(corpus))
        say(f"unseen language {language}: F1 {score:.3f}, calibration error {read.calibration_error(corpus):.3f}")
    for subject, read in unseen_subjects(corpus):
        say(f"unseen subject {subject}: {figures_by_language(corpus, read)}")
    say(*without_written_examples(Corpus.of(real)))


def figures_by_language(corpus: Corpus, read: Read) -> str:
    spoken = [(code, in_language(corpus, read, code)) for code in TRAINED_LANGUAGES]
    told = [f"F1 {macro_f1(read.confusion(corpus)):.3f} of {read.rows.size} answers"]
    told += [f"{code} {macro_f1(part.confusion(corpus)):.3f}" for code, part in spoken if part.rows.size]
    return ", ".join(told)


def without_written_examples(corpus: Corpus) -> Iterator[str]:
    yield from split_lines("without written examples", corpus, [beacon_on_unseen_models(corpus, SPLITS[0])])
    yield from short_lines("short, without written", short_answers(fit(corpus, np.arange(len(corpus.examples)))))


def say(*lines: str) -> None:
    for line in lines:
        print(line, flush=True)


if __name__ == "__main__":
    main()
