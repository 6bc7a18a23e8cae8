"""The OpenAI chat-completions format: requests read, answers, stream events and errors written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any

from beacon.lab.answers import FinishReason

FINGERPRINT = "beacon-lab"
ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})
DONE = b"data: [DONE]\n\n"


class BadRequestError(ValueError):
    """A body that is no chat-completions request; `param` names the field."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """`messages` are (role, content) pairs."""

    model: str
    messages: tuple[tuple[str, str], ...]
    stream: bool
    include_usage: bool
    max_tokens: int | None

    @property
    def question(self) -> str:
        """The last message of the user."""
        return next((content for role, content in reversed(self.messages) if role == "user"), "")

    @property
    def prompt(self) -> str:
        """The beginning of the digest of the messages: what makes two requests ask the same."""
        return sha256(json.dumps(self.messages).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer on its way out. `tokens` joined are the text."""

    id: str
    created: int
    model: str
    tokens: list[str]
    finish_reason: FinishReason
    input_tokens: int


def read_request(body: bytes) -> ChatRequest:
    """Raises BadRequestError."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequestError("the body is not valid JSON") from None
    if not isinstance(value, dict):
        raise BadRequestError("the body is not a JSON object")
    model, messages, stream = value.get("model"), value.get("messages"), value.get("stream") or False
    if not isinstance(model, str) or not model:
        raise BadRequestError("you must provide a model", "model")
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("messages must be a list of at least one message", "messages")
    if not isinstance(stream, bool):
        raise BadRequestError("stream must be true or false", "stream")
    options = value.get("stream_options") or {}
    if not isinstance(options, dict) or (options and not stream):
        raise BadRequestError("stream_options is an object, only allowed with stream", "stream_options")
    limit = value.get("max_completion_tokens", value.get("max_tokens"))
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise BadRequestError("max_tokens must be a positive whole number", "max_tokens")
    pairs = tuple(_message(message, index) for index, message in enumerate(messages))
    return ChatRequest(model, pairs, stream, bool(options.get("include_usage")), limit)


def _message(message: Any, index: int) -> tuple[str, str]:
    path = f"messages[{index}]"
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        raise BadRequestError(f"{path}.role must be one of {', '.join(sorted(ROLES))}", path)
    content = message.get("content")
    if isinstance(content, list):
        parts = [p.get("text") for p in content if isinstance(p, dict) and p.get("type") == "text"]
        content = "".join(part for part in parts if isinstance(part, str))
    if not isinstance(content, str):
        raise BadRequestError(f"{path}.content must be text", f"{path}.content")
    return message["role"], content


def body(completion: Completion) -> bytes:
    """The answer as one JSON object."""
    head, text = _head(completion, "chat.completion"), "".join(map(_escaped, completion.tokens))
    return (
        f'{head},"choices":[{{"index":0,"message":{{"role":"assistant","content":"{text}"}}'
        f',"finish_reason":"{completion.finish_reason}","logprobs":null}}],"usage":{_usage(completion)}}}'
    ).encode()


def events(completion: Completion, tokens_per_event: int, include_usage: bool) -> list[bytes]:
    """The answer as server-sent events: role, text, finish, usage if asked for, end marker.

    The list is as long as the text has events, plus the first one and the last ones.
    """
    head = _head(completion, "chat.completion.chunk")
    usage = ',"usage":null' if include_usage else ""
    before = f'data: {head},"choices":[{{"index":0,"delta":'
    after = f',"finish_reason":null}}]{usage}}}\n\n'
    written = [f'{before}{{"role":"assistant","content":""}}{after}'.encode()]
    tokens = list(map(_escaped, completion.tokens))
    for start in range(0, len(tokens), tokens_per_event):
        text = "".join(tokens[start : start + tokens_per_event])
        written.append(f'{before}{{"content":"{text}"}}{after}'.encode())
    written.append(f'{before}{{}},"finish_reason":"{completion.finish_reason}"}}]{usage}}}\n\n'.encode())
    if include_usage:
        written.append(f'data: {head},"choices":[],"usage":{_usage(completion)}}}\n\n'.encode())
    written.append(DONE)
    return written


def _head(completion: Completion, kind: str) -> str:
    """The fields that every object of an answer begins with; written by hand, as this is the hot path."""
    return (
        f'{{"id":"{completion.id}","object":"{kind}","created":{completion.created}'
        f',"model":"{_escaped(completion.model)}","system_fingerprint":"{FINGERPRINT}"'
    )


def _usage(completion: Completion) -> str:
    given, made = completion.input_tokens, len(completion.tokens)
    return f'{{"prompt_tokens":{given},"completion_tokens":{made},"total_tokens":{given + made}}}'


@lru_cache(maxsize=65_536)
def _escaped(text: str) -> str:
    """The text as it stands between the quotation marks of a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def error_body(message: str, type_: str, code: str | None = None, param: str | None = None) -> bytes:
    return json.dumps({"error": {"message": message, "type": type_, "param": param, "code": code}}).encode()


def error_event(message: str) -> bytes:
    """An error in the middle of a stream."""
    return b"data: " + error_body(message, "server_error", "internal_error") + b"\n\n"


ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
}


def error_type(status: int) -> str:
    return ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
