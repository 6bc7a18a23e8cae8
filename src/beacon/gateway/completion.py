"""An answer as a chat-completions document, or as the one chunk of a stream, where its own bytes are not at hand."""

from __future__ import annotations

import json
from typing import Any

from beacon.domain.answer import Answer

DONE = b"data: [DONE]\n\n"


def document_of(answer: Answer, key: str, model: str) -> dict[str, Any]:
    """What is known of the answer and no more: counts that were not stated are left out."""
    message = {"role": "assistant", "content": answer.text}
    choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason}
    document: dict[str, Any] = {
        "id": f"beacon-{key}",
        "object": "chat.completion",
        "created": int(answer.finished_at),
        "model": answer.model_echoed or model,
        "choices": [choice],
    }
    if answer.input_tokens is not None and answer.output_tokens is not None:
        document["usage"] = {
            "prompt_tokens": answer.input_tokens,
            "completion_tokens": answer.output_tokens,
            "total_tokens": answer.input_tokens + answer.output_tokens,
        }
    return document


def as_stream(document: dict[str, Any]) -> bytes:
    """The whole of a document as a stream of one chunk."""
    choices = document.get("choices")
    chunk = {name: value for name, value in document.items() if name != "choices"}
    chunk["object"] = "chat.completion.chunk"
    chunk["choices"] = [_delta(choice) for choice in choices if isinstance(choice, dict)] if choices else []
    return event(chunk) + DONE


def event(document: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(document).encode() + b"\n\n"


def _delta(choice: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in choice.items() if name != "message"}
    message = choice.get("message")
    delta = dict(message) if isinstance(message, dict) else {}
    calls = delta.get("tool_calls")
    if isinstance(calls, list):
        delta["tool_calls"] = [{"index": n, **call} for n, call in enumerate(calls) if isinstance(call, dict)]
    return {**kept, "delta": delta}
