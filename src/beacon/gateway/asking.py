"""What a client asks: headers and body of a request, read and checked before anybody is bothered with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json
from starlette.types import Receive

from beacon.domain.fleet import Fleet
from beacon.domain.mailbox import KEY_FORM
from beacon.domain.names import suggest
from beacon.domain.regions import resolve
from beacon.domain.spec import Limits
from beacon.errors import InputError
from beacon.gateway.refusal import Refused
from beacon.mailbox.reading import MAX_BODY_BYTES
from beacon.router.router import Router

DEFAULT_DEADLINE_S: float = Limits.model_fields["execution_deadline"].default
"""An inference's deadline where the client states none in X-Beacon-Deadline-Ms; the same as a job's."""
MAX_DEADLINE_MS = 7 * 86_400_000
REGION = b"x-beacon-region"
_READ = frozenset(
    {REGION, b"x-beacon-key", b"x-beacon-attempt", b"x-beacon-deadline-ms", b"authorization", b"host", b"origin"}
)
Headers = dict[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Asked:
    """A chat-completions request for one cell. `key` is the client's own, under which the answer is to be kept."""

    document: dict[str, Any]
    body: bytes
    model: str
    region: str
    stream: bool
    key: str | None
    attempt: str | None
    deadline_ms: int


def read_headers(raw: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Those that mean something here. Raises Refused where one of them stands twice: nobody could say which counts."""
    found: Headers = {}
    for name, value in raw:
        if name in _READ:
            if name in found:
                told = name.decode("ascii").title()
                raise Refused(400, f"the header {told} stands twice; send it once", code="bad_header", param=told)
            found[name] = value
    return found


async def read_body(receive: Receive) -> bytes:
    """Raises Refused for one that is too large."""
    message = await receive()
    body: bytes = message.get("body", b"")
    parts, size = [body], len(body)
    while size <= MAX_BODY_BYTES and message.get("more_body", False):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        parts.append(message.get("body", b""))
        size += len(parts[-1])
    if size > MAX_BODY_BYTES:
        raise Refused(413, f"a body holds at most {MAX_BODY_BYTES // 2**20} MiB", code="too_large")
    return body if len(parts) == 1 else b"".join(parts)


class ClientGone(Exception):
    """Nobody waits for the response any more."""


class Reader:
    """Knows the regions and models that are served, by whatever fleet the router has now."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._learn(router.fleet)

    def _learn(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._cells = {(model, p.region) for p in fleet.providers for model in p.models}
        self._spelled: dict[bytes, str] = {}

    def read(self, headers: Headers, body: bytes) -> Asked:
        """Raises Refused."""
        region = self.region(headers.get(REGION))
        document = _parse(body)
        model = document.get("model")
        if not isinstance(model, str) or (model, region) not in self._cells:
            raise self._no_model(model, region)
        stream = document.get("stream", False)
        if stream is not None and not isinstance(stream, bool):
            raise Refused(400, "stream takes true or false", code="bad_request", param="stream")
        if not isinstance(document.get("messages"), list) or not document["messages"]:
            raise Refused(400, "messages takes a list of at least one message", code="bad_request", param="messages")
        key = headers.get(b"x-beacon-key")
        attempt = headers.get(b"x-beacon-attempt", b"")
        return Asked(
            document=document,
            body=body,
            model=model,
            region=region,
            stream=bool(stream),
            key=None if key is None else _key(key),
            attempt=attempt.decode() if attempt.isdigit() else None,
            deadline_ms=_deadline_ms(headers.get(b"x-beacon-deadline-ms")),
        )

    def region(self, given: bytes | None) -> str:
        """The canonical region that a header means. Without one, the only region there is; never a default else.

        Raises Refused that names the regions served.
        """
        if self._router.fleet is not self._fleet:
            self._learn(self._router.fleet)
        regions = self._fleet.regions
        if given is None:
            if len(regions) == 1:
                return regions[0]
            what = f"the header X-Beacon-Region is missing; this gateway serves {', '.join(regions)}"
            raise Refused(400, what, code="region_missing", param="X-Beacon-Region")
        known = self._spelled.get(given)
        if known is not None:
            return known
        try:
            region = resolve(given.decode("utf-8", "replace"), regions)
        except InputError as error:
            what = f"{error.what}; this gateway serves {', '.join(regions)}" + (
                f" ({error.todo})" if error.todo else ""
            )
            raise Refused(400, what, code="region_unknown", param="X-Beacon-Region") from None
        if len(self._spelled) < 1_000:
            self._spelled[given] = region
        return region

    def _no_model(self, model: object, region: str) -> Refused:
        if not isinstance(model, str) or not model:
            return Refused(400, "model takes the name of a model", code="bad_request", param="model")
        here = sorted({known for known, where in self._cells if where == region})
        there = sorted({where for known, where in self._cells if known == model})
        shown = repr(model[:100])
        if there:
            what = f"the model {shown} is not served in {region}; it is in {', '.join(there)}"
        else:
            what = f"there is no model {shown} in {region} ({suggest(model[:100], here)})"
        return Refused(404, f"{what}; {region} serves {', '.join(here)}", code="model_not_found", param="model")


def _parse(body: bytes) -> dict[str, Any]:
    try:
        document = from_json(body)
    except ValueError as error:
        raise Refused(400, f"the body is no JSON: {error}", code="bad_json") from None
    if not isinstance(document, dict):
        raise Refused(400, "the body is no JSON object", code="bad_json")
    return document


def _key(given: bytes) -> str:
    key = given.decode("latin-1")
    if not KEY_FORM.match(key):
        what = "a key has up to 200 letters, digits, dots, colons, hyphens and underscores"
        raise Refused(400, what, code="bad_key", param="X-Beacon-Key")
    return key


def _deadline_ms(given: bytes | None) -> int:
    if given is None:
        return int(1000 * DEFAULT_DEADLINE_S)
    if not given.isdigit() or len(given) > 12 or int(given) > MAX_DEADLINE_MS:
        what = f"X-Beacon-Deadline-Ms takes milliseconds that are left, at most {MAX_DEADLINE_MS}"
        raise Refused(400, what, code="bad_deadline", param="X-Beacon-Deadline-Ms")
    return int(given)
