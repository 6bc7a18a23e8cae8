"""The mailbox contract (DESIGN section 6): what an agent or a gateway is sent under a key, and what it tells of it.

Both sides read the other's documents tolerantly: a field that is not known is passed over, so that an agent and a
router of different versions understand each other.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from beacon.domain.answer import RegionEvidence

MAX_WAIT_S = 25.0
"""The longest that a read waits. Common proxies cut a silent connection after 30 s at the earliest (60 s: nginx and
AWS load balancers; 30 s: Heroku and HAProxy's usual settings)."""

KEY_FORM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,199}\Z")
"""Keys travel as one segment of a path."""

UNKNOWN_KEY = "unknown_key"
"""The kind of the refusal (404) that says that nothing is known under a key."""


class MailboxState(StrEnum):
    ACCEPTED = "accepted"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    EXPIRED = "expired"
    LOST = "lost"
    CANCELLED = "cancelled"


UNDER_WAY = frozenset({MailboxState.ACCEPTED, MailboxState.RUNNING})


class _Read(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Submission(_Read):
    """The body of `PUT /v1/inferences/{key}`: `request` is a chat-completions request, `deadline_ms` what is left.

    `provider` asks a gateway for one provider of the cell by name; an agent has one and passes it over.
    """

    region: str = Field(min_length=1, max_length=200)
    model: str = Field(min_length=1, max_length=2_000)
    request: dict[str, Any]
    deadline_ms: int = Field(ge=0, le=7 * 86_400_000)
    provider: str | None = Field(default=None, min_length=1, max_length=200)


class MailboxError(_Read):
    """Why there is no answer. `message` continues a sentence that begins with the mailbox's name and "says that".

    `http_status` and `retry_after_s` are what the inference server answered, where it did; where the mailbox has no
    room itself, `retry_after_s` is its own word. A gateway also says whether a further attempt may help, and whether
    this one counts.
    """

    kind: str
    stage: str
    message: str
    http_status: int | None = None
    retry_after_s: float | None = Field(default=None, ge=0)
    retryable: bool | None = None
    counts: bool = True


class MailboxEntry(_Read):
    """What `GET /v1/inferences/{key}` tells.

    `model` is the name that was asked for, `upstream_model` the one that the inference server was asked for in its
    place. `finished_ago_ms` is the age of the outcome, a duration, so that the two clocks need not agree.
    `response_sha256` is the digest of the inference server's own bytes. `how_known` says how the mailbox knows its
    region and model.

    A gateway tells more of the way of an answer: `region_evidence` and `region_stated`, who the provider says that it
    was served by (`upstream`), whether the text was withdrawn, and `first_token_ms` after the request was sent.
    """

    key: str
    state: MailboxState
    response: dict[str, Any] | None = None
    response_sha256: str | None = None
    error: MailboxError | None = None
    stages_ms: dict[str, float] = Field(default_factory=dict)
    region: str | None = None
    model: str | None = None
    provider: str | None = None
    upstream_model: str | None = None
    how_known: str | None = None
    simulated: bool = False
    finished_ago_ms: float | None = Field(default=None, ge=0)
    region_stated: str | None = None
    region_evidence: RegionEvidence | None = None
    upstream: str | None = None
    retracted: bool = False
    first_token_ms: float | None = Field(default=None, ge=0)

    @property
    def under_way(self) -> bool:
        return self.state in UNDER_WAY
