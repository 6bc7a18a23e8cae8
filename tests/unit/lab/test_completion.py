"""The chat-completions format, read and written."""

from __future__ import annotations

import json

import pytest

from beacon.lab.completion import BadRequestError, Completion, body, events, read_request

AWKWARD = ['He said "no" ', "back\\slash ", "line\nbreak ", "台湾", "\u2028", "😀"]


def completion(tokens=AWKWARD):
    return Completion("chatcmpl-lab-1", 1_700_000_000, 'a/"model"', list(tokens), "stop", 12)


def read_events(stream: bytes):
    parts = stream.decode().split("\n\n")
    assert parts.pop() == ""
    assert parts.pop() == "data: [DONE]"
    return [json.loads(part.removeprefix("data: ")) for part in parts]


def test_a_body_is_json_whatever_the_text_holds():
    value = json.loads(body(completion()))

    assert value["choices"][0]["message"] == {"role": "assistant", "content": "".join(AWKWARD)}
    assert value["model"] == 'a/"model"'
    assert value["usage"] == {"prompt_tokens": 12, "completion_tokens": 6, "total_tokens": 18}
    assert value["system_fingerprint"] == "beacon-lab"


@pytest.mark.parametrize("tokens_per_event", [1, 4, 100])
def test_the_events_joined_are_the_text(tokens_per_event):
    chunks = read_events(b"".join(events(completion(), tokens_per_event, include_usage=False)))

    assert "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks) == "".join(AWKWARD)
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert all("usage" not in chunk for chunk in chunks)


def test_usage_comes_in_an_event_of_its_own_if_asked_for():
    chunks = read_events(b"".join(events(completion(), 2, include_usage=True)))

    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] == 18
    assert all(chunk["usage"] is None for chunk in chunks[:-1])


def test_an_empty_answer_is_a_complete_stream():
    chunks = read_events(b"".join(events(completion([]), 2, include_usage=False)))

    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [{"role": "assistant", "content": ""}, {}]


def test_a_request_is_read():
    value = {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 9,
        "temperature": 0.7,
    }
    request = read_request(json.dumps(value).encode())

    assert (request.model, request.question, request.stream, request.include_usage) == ("m", "Why?", True, True)
    assert request.max_tokens == 9


def test_content_in_parts_is_joined():
    value = {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "Why?"}]}]}

    assert read_request(json.dumps(value).encode()).question == "Why?"


MESSAGES = [{"role": "user", "content": "Why?"}]


@pytest.mark.parametrize(
    ("value", "param"),
    [
        ({"messages": MESSAGES}, "model"),
        ({"model": "m"}, "messages"),
        ({"model": "m", "messages": []}, "messages"),
        ({"model": "m", "messages": [{"role": "king", "content": "x"}]}, "messages[0]"),
        ({"model": "m", "messages": [{"role": "user", "content": 3}]}, "messages[0].content"),
        ({"model": "m", "messages": MESSAGES, "stream": "yes"}, "stream"),
        ({"model": "m", "messages": MESSAGES, "stream_options": {"include_usage": True}}, "stream_options"),
        ({"model": "m", "messages": MESSAGES, "max_tokens": 0}, "max_tokens"),
        ({"model": "m", "messages": MESSAGES, "max_tokens": True}, "max_tokens"),
        ([], None),
    ],
)
def test_a_bad_request_names_its_field(value, param):
    with pytest.raises(BadRequestError) as caught:
        read_request(json.dumps(value).encode())

    assert caught.value.param == param


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_a_bad_request(text):
    with pytest.raises(BadRequestError):
        read_request(text)
