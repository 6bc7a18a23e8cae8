from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
import pytest

from beacon.analysis.embeddings import Embeddings, text_digest
from beacon.analysis.finding import Finding
from beacon.analysis.ngrams import squared_distances, vector
from beacon.analysis.observation import Observation
from beacon.analysis.report import analyse
from beacon.analysis.settings import AnalysisSettings
from beacon.errors import InputError
from tests.unit.analysis.invented import VOCABULARY, cells, job

SETTINGS = AnalysisSettings(draws=499)


def words(random: Random, vocabulary: list[str]) -> str:
    return " ".join(random.choice(vocabulary) for _ in range(50))


def texts(rows: list[Observation], vocabulary: dict[str, list[str]]) -> list[Observation]:
    return [replace(o, answer=words(Random(o.execution_id), vocabulary.get(o.region, VOCABULARY))) for o in rows]


def compared(rows: list[Observation]) -> dict[tuple[str, str], Finding]:
    report = analyse(rows, SETTINGS)
    return {f.groups: f for f in report.findings if f.measure == "text_distance"}


@pytest.fixture
def rows() -> list[Observation]:
    return job(cells(questions=10), 4, lambda _: 0.0)


def test_other_words_in_one_region_are_seen_there_only(rows: list[Observation]) -> None:
    found = compared(texts(rows, {"apac": VOCABULARY[:14]}))
    assert {groups for groups, f in found.items() if f.call == "difference"} == {("apac", "eu"), ("apac", "us")}
    finding = found["apac", "us"]
    assert finding.effect > 0
    assert finding.checks["between"] > max(finding.checks["within"])
    assert "words its answers differently" in finding.sentence
    assert any("says nothing of content" in caveat for caveat in finding.caveats)


def test_the_same_words_everywhere_are_no_difference(rows: list[Observation]) -> None:
    assert {f.call for f in compared(texts(rows, {})).values()} == {"undecided"}


def test_identical_texts_are_at_no_distance(rows: list[Observation]) -> None:
    found = compared([replace(o, answer="the same words") for o in rows])
    assert {(f.effect, f.p, f.call) for f in found.values()} == {(0.0, 1.0, "undecided")}


def test_names_of_regions_do_not_change_a_draw(rows: list[Observation]) -> None:
    written = texts(job(cells(questions=8), 8, lambda _: 0.0), {"apac": VOCABULARY[:26]})
    names = {"us": "a", "eu": "b", "apac": "c"}
    found, renamed = compared(written), compared([replace(o, region=names[o.region]) for o in written])
    for (a, b), finding in found.items():
        other = renamed[min(names[a], names[b]), max(names[a], names[b])]
        assert (other.p, other.effect) == (finding.p, finding.effect)


def test_one_text_a_cell_is_not_compared() -> None:
    report = analyse(texts(job(cells(questions=10), 1, lambda _: 0.0), {}), SETTINGS)
    reasons = {item.reason for item in report.not_tested if item.measure == "text_distance"}
    assert reasons == {"needs 6 questions with two texts or more in both"}


def test_texts_in_different_languages_are_not_compared() -> None:
    asked = cells(questions=8, languages={"us": "en", "eu": "en", "apac": "zh"})
    report = analyse(texts(job(asked, 3, lambda _: 0.0), {}), SETTINGS)
    assert [f.groups for f in report.findings if f.measure == "text_distance"] == [("eu", "us")]
    reasons = {item.reason for item in report.not_tested if item.measure == "text_distance"}
    assert reasons == {"the groups were asked in different languages"}


def test_distance_runs_from_none_to_nothing_in_common() -> None:
    rows = np.array([vector(text, "en") for text in ("abcd efgh", "abcd  efgh", "一二三四五六")])
    distances = squared_distances(rows)
    assert distances[0, 1] == 0
    assert distances[0, 2] == pytest.approx(2, abs=1e-6)


@pytest.mark.parametrize("text", ["a", "é", "我", "ab\ud800cd", "x" * 10_000])
def test_any_text_has_a_vector_of_length_one(text: str) -> None:
    for language in ("en", "zh-Hans"):
        found = vector(text, language)
        assert float(found @ found) == pytest.approx(1, abs=1e-5)


def test_embeddings_of_any_size_are_compared_like_words() -> None:
    draw = np.random.default_rng(5)
    rows = job(cells(questions=8, regions=("us", "apac")), 3, lambda _: 0.0, text=True)
    apart = {text_digest(o.answer or ""): draw.normal(size=7) + 3 * (o.region == "apac") for o in rows}
    same = {digest: draw.normal(size=7) for digest in apart}
    for vectors, call in ((apart, "difference"), (same, "undecided")):
        known = Embeddings("m", {digest: v.astype(np.float32) for digest, v in vectors.items()})
        report = analyse(rows, AnalysisSettings(draws=499), known)
        (found,) = [f for f in report.findings if f.measure == "embedding_distance"]
        assert found.call == call
        assert report.embedding_model == "m"
    with pytest.raises(InputError, match="has no embedding by m"):
        analyse(rows, AnalysisSettings(draws=499), Embeddings("m", {}))
