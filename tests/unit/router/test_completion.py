"""What a chat-completions body or stream says, and what is no answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beacon.router.transports import completion as module
from beacon.router.transports.completion import Completion, Malformed, StatedError, stated_message


def chunk(text: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {} if text is None else {"content": text}, "finish_reason": finish}
    return b"data: " + json.dumps({"model": "m", "choices": [choice], **more}).encode() + b"\n\n"


def document(content: Any, finish: str | None = "stop", **more: Any) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}
    return json.dumps({"model": "m", "choices": [choice], **more}).encode()


DONE = b"data: [DONE]\n\n"


def read(*chunks: bytes) -> Completion:
    completion = Completion(lambda: 7.0)
    for part in chunks:
        completion.feed(part)
    completion.finish()
    return completion


def test_a_stream_is_its_deltas_its_usage_and_its_end_marker() -> None:
    usage = {"model": "m", "choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}
    last = b"data: " + json.dumps(usage).encode() + b"\n\n"
    got = read(chunk(""), chunk("Hel"), chunk("lo"), chunk(finish="stop"), last, DONE)
    assert (got.text, got.finish_reason, got.echoes) == ("Hello", "stop", ["m"])
    assert (got.input_tokens, got.output_tokens) == (5, 2)
    assert (got.streamed, got.ended, got.first_token_at) == (True, True, 7.0)


def test_a_document_is_one_answer() -> None:
    got = read(document("Hello", usage={"prompt_tokens": 5, "completion_tokens": 2}))
    assert (got.text, got.finish_reason, got.input_tokens) == ("Hello", "stop", 5)
    assert (got.streamed, got.first_token_at) == (False, None)


@settings(deadline=None)
@given(text=st.text(min_size=1), cuts=st.lists(st.integers(0, 10_000), max_size=10), stream=st.booleans())
def test_the_text_survives_any_split_of_the_bytes(text: str, cuts: list[int], stream: bool) -> None:
    body = chunk(text[:3]) + chunk(text[3:], "stop") + DONE if stream else document(text)
    places = sorted(cut % (len(body) + 1) for cut in cuts)
    got = read(*(body[a:b] for a, b in zip([0, *places], [*places, len(body)], strict=True)))
    assert got.text == text
    assert got.finish_reason == "stop"


def test_a_character_that_two_deltas_share_is_joined_and_a_lone_half_is_replaced() -> None:
    assert read(chunk("\ud83d"), chunk("\ude00"), DONE).text == "\U0001f600"
    assert read(chunk("a\ud83db"), DONE).text == "a\ufffdb"


def test_nothing_that_a_provider_says_holds_half_a_surrogate_pair() -> None:
    got = read(document("Hello", "sto\ud83dp", model="m\udc00"))
    assert (got.finish_reason, got.echoes) == ("sto\ufffdp", ["m\ufffd"])


def test_padding_before_a_document_is_no_stream() -> None:
    assert read(b" ", b"\n\n", b"  " + document("Hello")).text == "Hello"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": None}, ""),
        ({"content": None, "reasoning_content": "let me think"}, ""),
        ({"content": "answer", "reasoning_content": "let me think"}, "answer"),
        ({"content": None, "refusal": "I will not"}, "I will not"),
        ({"content": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]}, "ab"),
        ({"content": 5}, ""),
        ({}, ""),
    ],
)
def test_the_text_is_what_the_asker_would_see(message: dict[str, Any], text: str) -> None:
    choice = {"message": message, "finish_reason": "stop"}
    assert read(json.dumps({"choices": [choice]}).encode()).text == text
    delta = {"choices": [{"delta": message, "finish_reason": "stop"}]}
    assert read(b"data: " + json.dumps(delta).encode() + b"\n\n" + DONE).text == text


@pytest.mark.parametrize(
    ("chunks", "says"),
    [
        ([], "an empty body"),
        ([b" \n"], "neither JSON nor the events of a stream"),
        ([b"<html>Bad gateway</html>"], "neither JSON nor the events of a stream"),
        ([b": keep-alive\n\n"], "neither JSON nor the events of a stream"),
        ([chunk("Hel")], "without its end marker"),
        ([chunk("Hello", "stop")], "without its end marker"),
        ([DONE], "no choices"),
        ([b"{}"], "no choices"),
        ([b'{"choices": []}'], "no choices"),
        ([b'{"choices": [{"finish_reason": "stop"}]}'], "without a message"),
        ([document("Hello")[:-4]], "no valid JSON"),
        ([b"{" * 100_000], "no valid JSON"),
        ([b'{"a":' * 100_000], "no valid JSON"),
        ([b'{"choices": "\xff"}'], "no valid JSON"),
        ([chunk("Hel"), b'data: {"choices": [{"del\n\n'], "no valid JSON"),
        ([b"data: 5\n\n"], "no JSON object"),
    ],
)
def test_what_is_no_whole_answer_is_malformed(chunks: list[bytes], says: str) -> None:
    with pytest.raises(Malformed, match=says):
        read(*chunks)


def test_an_endless_answer_is_given_up_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BODY_BYTES", 2**20)
    with pytest.raises(Malformed, match="more than 1 MiB"):
        read(*[chunk("x" * 2**15)] * 40)


@pytest.mark.parametrize(
    "chunks",
    [
        [chunk("Hel"), b'data: {"error": {"message": "out of memory", "code": 500}}\n\n', DONE],
        [chunk("Hel"), b'event: error\ndata: {"message": "out of memory"}\n\n'],
        [chunk("Hel"), b'error: {"message": "out of memory"}\n\n'],
        [chunk("Hel"), b"event: error\ndata: out of memory\n\n"],
        [b'{"error": "out of memory"}'],
    ],
)
def test_an_error_that_was_stated_is_the_providers_own(chunks: list[bytes]) -> None:
    with pytest.raises(StatedError, match=r"^out of memory$"):
        read(*chunks)


@pytest.mark.parametrize("count", [-1, True, 1.5, "7", None, 2**60, [1]])
def test_a_token_count_that_is_none_is_unknown(count: Any) -> None:
    assert read(document("Hello", usage={"prompt_tokens": count})).input_tokens is None


def test_every_model_that_is_named_in_a_stream_is_noted_once() -> None:
    assert read(chunk("a"), chunk("b", model="other"), chunk("c"), DONE).echoes == ["m", "other"]


def test_only_a_whole_document_counts_after_a_cut() -> None:
    def cut(*chunks: bytes) -> bool:
        completion = Completion(lambda: 0.0)
        for part in chunks:
            completion.feed(part)
        return completion.finish_cut()

    assert cut(document("Hello"))
    assert not cut(document("Hello")[:-1])
    assert cut(chunk("Hello", "stop"), DONE)
    assert not cut(chunk("Hello", "stop"))
    assert not cut()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (b'{"error": {"message": "no", "type": "x"}}', "no"),
        (b'{"error": "no"}', "no"),
        (b'{"detail": [{"loc": ["body"], "msg": "no"}]}', "no"),
        (b'{"code": 7}', "7"),
        (b"plain words", "plain words"),
        (b"\xff", "\ufffd"),
        (b"{}", ""),
        (b"[]", ""),
        (b'{"error": ' * 50 + b'"deep"' + b"}" * 50, ""),
    ],
)
def test_the_sentence_in_an_error(error: bytes, sentence: str) -> None:
    assert stated_message(error) == sentence
