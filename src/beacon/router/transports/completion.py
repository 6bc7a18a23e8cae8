"""What a chat-completions answer says, read from its body or from its stream of chunks.

Source: the OpenAI API reference, "Chat Completions". Whether a body is one document or a stream is told by
its first byte, not by its content type or by what was asked for: servers get both wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from pydantic_core import from_json

from beacon.router.transports.sse import Event, SseParser
from beacon.router.transports.text import whole

MAX_BODY_BYTES = 16 * 2**20
_MAX_TOKENS_STATED = 2**31 - 1
"""What the database's integers hold; a provider that states more states nonsense, which is unknown."""
_MAX_REASON = 200
_MESSAGE_FIELDS = ("error", "message", "detail", "msg", "code", "type")
_MAX_ECHOES = 8
_BOM = b"\xef\xbb\xbf"


class Malformed(Exception):
    """The body is not what the protocol says it should be; the text says how."""


class StatedError(Exception):
    """The provider stated an error inside a body or stream that it had begun as a success."""


class Completion:
    """Feed it the body's bytes as they arrive; read it when `ended`, or after `finish`.

    `echoes` are the distinct model names that the provider stated, in order. `first_token_at` is on the
    clock given. Only the first choice counts: one answer is asked for.
    """

    __slots__ = (
        "_digest", "_document", "_now", "_parser", "_text", "echoes", "ended", "finish_reason",
        "first_token_at", "has_choice", "input_tokens", "output_tokens", "size",
    )  # fmt: skip

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._digest = sha256()
        self._document: list[bytes] | None = None
        self._parser: SseParser | None = None
        self._text: list[str] = []
        self.size = 0
        self.ended = False
        self.has_choice = False
        self.finish_reason: str | None = None
        self.first_token_at: float | None = None
        self.echoes: list[str] = []
        self.input_tokens: int | None = None
        self.output_tokens: int | None = None

    @property
    def streamed(self) -> bool:
        return self._parser is not None

    @property
    def text(self) -> str:
        """The answer so far. Halves of a surrogate pair that two chunks share are joined."""
        return whole("".join(self._text))

    @property
    def raw_sha256(self) -> str:
        """Hex digest of the bytes received."""
        return self._digest.hexdigest()

    def feed(self, chunk: bytes) -> None:
        """Raises Malformed or StatedError."""
        self.size += len(chunk)
        if self.size > MAX_BODY_BYTES:
            raise Malformed(f"more than {MAX_BODY_BYTES // 2**20} MiB of answer")
        self._digest.update(chunk)
        if self._parser is not None:
            self._take_events(self._parser.feed(chunk))
        elif self._document is not None:
            self._document.append(chunk)
        else:
            self._sniff(chunk)

    def _sniff(self, chunk: bytes) -> None:
        start = chunk.removeprefix(_BOM).lstrip()  # some servers write blanks to keep the connection open
        if not start:
            return
        if start[:1] == b"{":
            self._document = [start]
        else:
            self._parser = SseParser()
            self._take_events(self._parser.feed(start))

    def finish(self) -> None:
        """The body ended cleanly. Raises Malformed or StatedError if it is no whole answer."""
        if self._document is not None and not self.ended:
            self._take_document(_parse(b"".join(self._document), "its body"))
            self.ended = True
        elif self._parser is not None and not self.ended:
            self._take_events(self._parser.finish())
        if not self.size:
            raise Malformed("an empty body")
        if not self.ended:
            raise Malformed(self._unended())
        if not self.has_choice:
            raise Malformed("a body without an answer in it (no choices)")

    def finish_cut(self) -> bool:
        """Whether what arrived before a cut is a whole answer nonetheless: a document that is complete.

        A stream is whole when its end marker came; nothing else is taken for one.
        """
        if self._document is None:
            return self.ended and self.has_choice
        try:
            self.finish()
        except (Malformed, StatedError):
            return False
        return True

    def _unended(self) -> str:
        if self._parser is not None and (self.has_choice or self.echoes):
            return "a stream that ended without its end marker [DONE]"
        return "a body that holds neither JSON nor the events of a stream"

    def _take_events(self, events: list[Event]) -> None:
        for name, data in events:
            if self.ended:
                return
            if data[:1] == b"[" and data.strip() == b"[DONE]":
                self.ended = True
            elif name == b"error":
                raise StatedError(stated_message(data))
            else:
                self._take_chunk(_parse(data, "a chunk of its stream"))

    def _take_chunk(self, chunk: dict[str, Any]) -> None:
        choice = self._take_common(chunk)
        if choice is None:
            return
        delta = choice.get("delta")
        if isinstance(delta, dict):
            text = _visible_text(delta)
            if text:
                if self.first_token_at is None:
                    self.first_token_at = self._now()
                self._text.append(text)

    def _take_document(self, document: dict[str, Any]) -> None:
        choice = self._take_common(document)
        if choice is None:
            return
        message = choice.get("message")
        if not isinstance(message, dict):
            raise Malformed("a choice without a message")
        self._text.append(_visible_text(message))

    def _take_common(self, document: dict[str, Any]) -> dict[str, Any] | None:
        """Echo, usage and finish reason; returns the first choice, if this document has it."""
        error = document.get("error")
        if error:
            raise StatedError(stated_message(error))
        echo = document.get("model")
        if isinstance(echo, str) and echo and echo not in self.echoes and len(self.echoes) < _MAX_ECHOES:
            self.echoes.append(whole(echo))
        usage = document.get("usage")
        if usage is not None and isinstance(usage, dict):
            self.input_tokens = _count(usage.get("prompt_tokens"))
            self.output_tokens = _count(usage.get("completion_tokens"))
        choices = document.get("choices")
        if not isinstance(choices, list):
            return None
        for choice in choices:
            if isinstance(choice, dict) and choice.get("index", 0) == 0:
                self.has_choice = True
                reason = choice.get("finish_reason")
                if reason and isinstance(reason, str):
                    self.finish_reason = whole(reason[:_MAX_REASON])
                return choice
        return None


def loads(data: bytes) -> Any:
    """JSON as fast as it can be had; the standard parser takes the rest, such as a lone surrogate.

    Raises ValueError or RecursionError.
    """
    try:
        return from_json(data)
    except ValueError:
        return json.loads(data)


def _parse(data: bytes, what: str) -> dict[str, Any]:
    try:
        value = loads(data)
    except (ValueError, RecursionError):
        raise Malformed(f"{what} is no valid JSON") from None
    if not isinstance(value, dict):
        raise Malformed(f"{what} is no JSON object")
    return value


def _visible_text(message: dict[str, Any]) -> str:
    """What the asker would see: the content, or the refusal that stands in its place. No reasoning."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if content is None:
        content = message.get("refusal")
        if isinstance(content, str):
            return content
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return "".join(text for text in texts if isinstance(text, str))
    return ""


def _count(value: Any) -> int | None:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_TOKENS_STATED:
        return value
    return None


def stated_message(error: Any) -> str:
    """The sentence in an error that a provider stated, in any of the usual shapes; may be empty."""
    said: Any = error
    if isinstance(error, bytes):
        try:
            said = json.loads(error)
        except (ValueError, RecursionError):
            return error.decode("utf-8", "replace")
    for _ in range(6):  # {"error": {"message": …}}, {"detail": [{"msg": …}]}, and gateways that wrap others
        if isinstance(said, dict):
            said = next((said[field] for field in _MESSAGE_FIELDS if said.get(field)), None)
        elif isinstance(said, list):
            said = said[0] if said else None
        else:
            break
    return str(said) if isinstance(said, str | int | float) else ""
