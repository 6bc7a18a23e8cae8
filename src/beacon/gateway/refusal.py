"""What a client is told in place of an answer, in the shape of OpenAI's errors, with Beacon's kind and stage."""

from __future__ import annotations

import json
from typing import Any

from beacon.domain.failure import Failure, FailureKind

_STATUS = {
    FailureKind.RATE_LIMITED: 429,
    FailureKind.DEADLINE_EXPIRED: 504,
    FailureKind.COLD_START_EXPIRED: 504,
    FailureKind.CANCELLED: 409,
}
_NOTHING_RAN = frozenset({FailureKind.RATE_LIMITED, FailureKind.REFUSED_CONNECTION})


class Refused(Exception):
    """An error as it is sent: `status`, and the fields of `error` (OpenAI API reference, "Error codes").

    `again` tells clients of the official library whether to send the request again by themselves; None leaves it to
    them.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str,
        kind: str = "invalid_request_error",
        param: str | None = None,
        again: bool | None = False,
        retry_after_s: float | None = None,
        more: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.error = {"message": message, "type": kind, "param": param, "code": code, **(more or {})}
        self.again = again
        self.retry_after_s = retry_after_s

    @property
    def document(self) -> bytes:
        return json.dumps({"error": self.error}).encode()

    def headers(self) -> list[tuple[bytes, bytes]]:
        found = [(b"content-type", b"application/json")]
        if self.again is not None:
            found.append((b"x-should-retry", b"true" if self.again else b"false"))
        if self.retry_after_s is not None:
            found.append((b"retry-after", f"{self.retry_after_s:.0f}".encode()))
        if self.status == 401:
            found.append((b"www-authenticate", b"Bearer"))
        return found


def of_failure(failure: Failure, *, provider: str | None, region: str, model: str, key: str | None = None) -> Refused:
    """A provider's failure. Where it may have run, a client must not send the request again unasked."""
    status = 503 if failure.http_status == 503 else _STATUS.get(failure.kind, 502)
    more = {
        "kind": failure.kind.value,
        "stage": failure.stage.value,
        "provider": provider,
        "region": region,
        "model": model,
        "http_status": failure.http_status,
        "stages_ms": failure.stages_ms,
        "key": key,
    }
    nothing_ran = failure.kind in _NOTHING_RAN or not failure.counts
    return Refused(
        status,
        failure.message,
        code=failure.kind.value,
        kind="provider_error",
        again=None if nothing_ran else False,
        retry_after_s=failure.retry_after_s,
        more={name: value for name, value in more.items() if value is not None},
    )
