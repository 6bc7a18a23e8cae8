"""Recorded answers, served by the router."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from beacon.domain.failure import FailureKind
from beacon.errors import InputError
from beacon.router.router import Router
from tests.integration.router.conftest import answered, ask, failed, router_of

ROW: dict[str, Any] = {
    "region": "us",
    "model": "vendor/Alpha",
    "question_id": "q1",
    "language": "en",
    "answer": "Hello",
    "finish_reason": "stop",
    "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    "upstream": "Somewhere",
    "answered_at": 1743915387,
    "label": "ignored",
}


def row(**fields: Any) -> str:
    return json.dumps({**ROW, **fields}, ensure_ascii=False)


def replay(folder: Path, *lines: str, name: str = "answers.jsonl", regions: tuple[str, ...] = ("us",)) -> Router:
    text = "\n".join(lines) + "\n"
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    given = {"transport": "replay", "file": name, "models": {"alpha": "vendor/Alpha"}}
    cost = {"input_per_mtok": 1.0, "output_per_mtok": 1.0}
    providers = [{**given, "name": f"{region}-r", "region": region, "cost": cost} for region in regions]
    return router_of(*providers, base=folder)


@pytest.mark.parametrize("name", ["answers.jsonl", "answers.jsonl.gz"])
async def test_a_recorded_answer_is_served_as_it_was_recorded(tmp_path: Path, name: str) -> None:
    async with replay(tmp_path, row(answer="Où est 台湾?\u2028"), name=name) as router:
        answer = answered(await ask(router))
    assert (answer.text, answer.finish_reason, answer.upstream) == ("Où est 台湾?\u2028", "stop", "Somewhere")
    assert (answer.input_tokens, answer.output_tokens, answer.cost_usd) == (10, 5, pytest.approx(15e-6))
    assert (answer.replayed, answer.simulated, answer.served_at) == (True, False, 1743915387.0)
    assert (answer.provider, answer.model_echoed, answer.region_evidence) == ("us-r", "vendor/Alpha", "declared")
    assert answer.served_at is not None
    assert answer.served_at < answer.started_at <= answer.finished_at


async def test_rows_are_found_by_region_model_question_language_and_repeat(tmp_path: Path) -> None:
    lines = [
        row(answer="us 1"),
        row(region="US-East", answer="us 2"),
        row(region="asia-pacific", language="zh", answer="apac zh"),
        row(region="apac", answer="apac en"),
        row(question_id="q2", answer="q2"),
        row(model="vendor/Beta", answer="beta"),
        "",
        row(answer="us 3"),
    ]
    async with replay(tmp_path, *lines, regions=("us", "apac")) as router:
        repeats = [answered(await ask(router, repeat=n)).text for n in range(3)]
        assert repeats == ["us 1", "us 2", "us 3"]
        assert answered(await ask(router, region="apac", language="zh")).text == "apac zh"
        assert answered(await ask(router, region="apac")).text == "apac en"
        assert answered(await ask(router, question_id="q2")).text == "q2"
        for missing in ({"repeat": 3}, {"language": "zh"}, {"question_id": "q9"}, {"region": "apac", "repeat": 1}):
            failure = failed(await ask(router, **missing))
            assert (failure.kind, failure.retryable) == (FailureKind.PROVIDER_ERROR, False)
            assert "answers.jsonl" in failure.message
            assert "s into inference" in failure.message


async def test_what_was_not_recorded_is_unknown(tmp_path: Path) -> None:
    bare = json.dumps({name: ROW[name] for name in ("region", "model", "question_id", "language")})
    async with replay(tmp_path, bare, row(answer=None, finish_reason=None, usage=None)) as router:
        for repeat in range(2):
            answer = answered(await ask(router, repeat=repeat))
            assert (answer.text, answer.finish_reason) == ("", None)
            assert (answer.input_tokens, answer.output_tokens, answer.cost_usd) == (None, None, None)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "not valid JSON"),
        ("[]", "no JSON object"),
        ("{}", "region must be a text"),
        (row(region="???"), "cannot be a region name"),
        (row(model=None), "model must be a text"),
        (row(question_id=7), "question_id must be a text"),
        (row(language=""), "language must be a text"),
        (row(answer=["Hello"]), "answer must be a str or null"),
        (row(usage="many"), "usage must be a dict or null"),
        (row(usage={"prompt_tokens": True}), "prompt_tokens must be a int or null"),
        (row(answered_at="today"), "answered_at must be seconds"),
        (row(answered_at=float("nan")), "answered_at must be seconds"),
    ],
)
def test_a_bad_row_is_refused_at_the_start_with_its_line(tmp_path: Path, line: str, says: str) -> None:
    with pytest.raises(InputError) as refused:
        replay(tmp_path, row(), "", line)
    for words in ("us-r", "answers.jsonl, line 3", says):
        assert words in str(refused.value)


def test_a_recording_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for broken in (b"", gzip.compress(row().encode())[:-12], b"no gzip"):
        (tmp_path / "bad.jsonl.gz").write_bytes(broken)
        given = {"name": "us-r", "region": "us", "transport": "replay", "file": "bad.jsonl.gz", "models": ["alpha"]}
        with pytest.raises(InputError, match=r"bad\.jsonl\.gz"):
            router_of(given, base=tmp_path)
    with pytest.raises(InputError, match=r"missing\.jsonl"):
        router_of({**given, "file": "missing.jsonl"}, base=tmp_path)


def test_every_provider_that_cannot_be_used_is_named_at_once(tmp_path: Path) -> None:
    openai = {"name": "us-a", "region": "us", "transport": "openai", "url": "http://127.0.0.1:9", "models": ["alpha"]}
    missing = {"name": "us-r", "region": "us", "transport": "replay", "file": "missing.jsonl", "models": ["alpha"]}
    with pytest.raises(InputError) as refused:
        router_of({**openai, "api_key_env": "US_KEY"}, missing, base=tmp_path)
    assert "US_KEY" in str(refused.value)
    assert "missing.jsonl" in str(refused.value)


async def test_half_a_surrogate_pair_in_a_recording_is_replaced(tmp_path: Path) -> None:
    escaped = json.dumps({**ROW, "answer": "a\ud83db", "finish_reason": "\udc00", "upstream": "\ud800x"})
    async with replay(tmp_path, escaped) as router:
        answer = answered(await ask(router))
    assert (answer.text, answer.finish_reason, answer.upstream) == ("a\ufffdb", "\ufffd", "\ufffdx")
