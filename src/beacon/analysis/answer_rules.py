"""Labels that need no reading, because the API itself states them (invariant empty-is-an-answer)."""

from __future__ import annotations

import re
from typing import NamedTuple

from beacon.analysis.answer import AnswerText, Label, in_reason

# The finish reasons of OpenAI-compatible servers and, as proxies pass them on, of Anthropic's and Google's
# APIs, in lower case.
BLOCKED = frozenset(
    {
        "blocklist",
        "content_filter",
        "content_filtered",
        "guardrail_intervened",
        "prohibited_content",
        "recitation",
        "refusal",
        "safety",
        "spii",
    }
)
CUT_SHORT = frozenset({"length", "max_output_tokens", "max_tokens", "model_length"})
BROKEN = frozenset({"abort", "cancelled", "error", "malformed_function_call"})

# Some proxies hand the code of a blocked answer on as if it were the text.
BLOCK_CODES = frozenset({"BLOCKLIST", "PROHIBITED_CONTENT", "RECITATION", "SAFETY", "SPII"})

# Anything but white space, control characters and the formatting characters that show nothing.
_VISIBLE = re.compile(r"[^\s\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")


class Ruling(NamedTuple):
    label: Label
    reason: str


def ruling(answer: AnswerText) -> Ruling | None:
    """The label that the record itself states, or None where the words have to be read."""
    finish = finish_of(answer)
    if finish in BLOCKED:
        return Ruling("refusal", f"The provider stopped the answer: finish reason {finish}.")
    if finish in BROKEN:
        return Ruling("failure", f"The provider broke off: finish reason {finish}.")
    if is_blank(answer.answer):
        return _ruling_on_nothing(answer, finish)
    if finish is None and answer.answer.strip() in BLOCK_CODES:
        return Ruling("refusal", f"The whole answer is the provider's block code {answer.answer.strip()}.")
    if answer.unfinished and finish is None:
        return Ruling("failure", "The record says that the answer never finished: its text broke off or was withdrawn.")
    return None


def _ruling_on_nothing(answer: AnswerText, finish: str | None) -> Ruling:
    if finish is None:
        return Ruling("failure", "No text came, and nothing says that the answer finished.")
    if is_cut_short(answer):
        return Ruling("empty", f"No text came before the token limit: finish reason {in_reason(finish)}.")
    return Ruling("empty", f"The answer finished normally ({in_reason(finish)}) and has no text.")


def finish_of(answer: AnswerText) -> str | None:
    """The finish reason in lower case; None where there is none."""
    return (answer.finish_reason or "").strip().lower() or None


def is_cut_short(answer: AnswerText) -> bool:
    return finish_of(answer) in CUT_SHORT


def is_blank(text: str) -> bool:
    """Whether a reader would see nothing."""
    return _VISIBLE.search(text) is None
