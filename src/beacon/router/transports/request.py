"""What is asked of a provider, as it stands in a request: a chat-completions document, and Beacon's own headers."""

from __future__ import annotations

from typing import Any

from beacon.domain.answer import Inference
from beacon.router.transports.base import Call


def chat_request(inference: Inference, model: str) -> dict[str, Any]:
    """A chat-completions request for a whole answer; `model` is the provider's name for the model."""
    request: dict[str, Any] = {
        "model": model,
        "messages": [{"role": m.role, "content": m.content} for m in inference.messages],
        "temperature": inference.temperature,
        "max_tokens": inference.max_tokens,
    }
    return request if inference.top_p is None else {**request, "top_p": inference.top_p}


def document_of(call: Call, model: str) -> dict[str, Any]:
    """What is asked, as a document for a whole answer: a client's own request, or that of the inference."""
    return chat_request(call.inference, model) if call.request is None else {**call.request.document, "model": model}


def call_headers(call: Call) -> dict[str, str]:
    """Key, attempt and what is left of the deadline, which every request to a provider carries."""
    return {
        "X-Beacon-Key": call.inference.key,
        "X-Beacon-Attempt": str(call.inference.attempt),
        "X-Beacon-Deadline-Ms": str(call.deadline.left_ms()),
    }
