"""A provider's key, cut out of whatever that provider says before anybody else sees it.

Some servers repeat the request's headers in errors, in headers of their own, even in answers.
"""

from __future__ import annotations

from dataclasses import replace

from beacon.domain.answer import Outcome
from beacon.domain.failure import Failure

REDACTED = "[key]"
SHORTEST = 8
"""A shorter key is no secret, and its letters stand in honest answers."""


def without_key(outcome: Outcome, key: str | None) -> Outcome:
    """The outcome with the key replaced in every text of the provider; the digest of the bytes received stays."""
    if key is None or len(key) < SHORTEST:
        return outcome
    if isinstance(outcome, Failure):
        return replace(outcome, message=outcome.message.replace(key, REDACTED)) if key in outcome.message else outcome
    stated = (outcome.finish_reason, outcome.model_echoed, outcome.region_stated, outcome.upstream)
    if not any(key in text for text in (outcome.text, *stated) if text):
        return outcome
    finish_reason, model_echoed, region_stated, upstream = (
        None if text is None else text.replace(key, REDACTED) for text in stated
    )
    return replace(
        outcome,
        text=outcome.text.replace(key, REDACTED),
        finish_reason=finish_reason,
        model_echoed=model_echoed,
        region_stated=region_stated,
        upstream=upstream,
    )
