"""One request to a chat-completions endpoint and what came of it: an answer, or a failure by its cause."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Protocol

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientPayloadError,
    ClientResponseError,
)
from aiohttp.http_exceptions import ContentEncodingError, HttpProcessingError
from yarl import URL

from beacon.domain.answer import Answer, Outcome
from beacon.domain.clock import Clock
from beacon.domain.failure import Failure, FailureKind, Stage
from beacon.domain.fleet import Provider
from beacon.domain.regions import normalise
from beacon.errors import InputError
from beacon.router.failures import Where, expired, failure, quoted
from beacon.router.transports.base import Call
from beacon.router.transports.completion import Completion, Malformed, StatedError, stated_message
from beacon.router.transports.relay import Relay
from beacon.router.transports.text import whole

MAX_RETRY_AFTER_S = 86_400.0
"""The longest pause that a provider may ask for; what it says beyond is taken for this."""
_MAX_ERROR_BYTES = 2**16
_MAX_HEADER = 200


class Body(Protocol):
    """What is sent; `sent_at` is the moment at which it was handed to a connection, None before."""

    @property
    def sent_at(self) -> float | None: ...


class Content(Protocol):
    async def readany(self) -> bytes: ...

    def is_eof(self) -> bool: ...

    def on_eof(self, callback: Callable[[], None], /) -> None: ...


class Response(Protocol):
    """What an exchange reads, whoever brought it: aiohttp's `ClientResponse`, or `Posted`."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Mapping[str, str]: ...

    @property
    def content(self) -> Content: ...

    def close(self) -> None: ...


class Exchange:
    """`response` is there once its head has come; `whole` once a whole answer was read from it.

    `stage` is what the wait for the answer counts as, `hop` where it is waited.
    """

    def __init__(
        self,
        provider: Provider,
        call: Call,
        body: Body,
        key: str | None,
        clock: Clock,
        stage: Stage = Stage.INFERENCE,
    ) -> None:
        self.call = call
        self.body = body
        self.response: Response | None = None
        self.whole = False
        self._hop: str | None = None
        self._stage = stage
        self._provider = provider
        self._key = key
        self._clock = clock
        self._completion = Completion(clock.monotonic)
        self._relay = None if call.sink is None else Relay(call.sink, key)
        self._began = clock.monotonic()
        self._began_wall = clock.wall()

    @property
    def hop(self) -> str:
        """Where the answer is waited for."""
        return self._hop or f"router to {URL(self._provider.url or '').origin()}"

    @hop.setter
    def hop(self, told: str) -> None:
        self._hop = told

    async def run(self, post: Callable[[], Awaitable[Response]]) -> Outcome:
        """Sends the request by `post` and reads the response. Raises nothing but what cancels it."""
        try:
            response = await post()
            left_behind = self._provider.concurrency
            while self.body.sent_at is None and left_behind:
                # A response to what was not sent yet was left on a connection that was used before: it answers
                # something else. So many connections may hold one; a server that speaks first has others without end.
                left_behind -= 1
                response.close()
                response = await post()
            self.response = response
            if response.status >= 300:
                return self._refusal(response, await _error_text(response))
            if self.body.sent_at is None:
                raise Malformed("an answer to what had not been sent to it yet")
            region = self._region_fault(response)
            if region is not None:
                return region
            fault = await self._read(response)
            if fault is not None:
                return fault
            outcome = self._answer(response)
            if self._relay is not None and isinstance(outcome, Answer):
                await self._relay.end(self._completion)
            return outcome
        except Malformed as fault:
            return self._fail(FailureKind.PROTOCOL_ERROR, f"answered with {fault}")
        except StatedError as error:
            return self._fail(FailureKind.PROVIDER_ERROR, f"broke off with an error{self._words(str(error))}")
        except (ClientError, HttpProcessingError) as error:
            return self._broken(error)

    def read_anew(self) -> None:
        """Another response to the same inference is going to be read; what came of the last one does not count."""
        if self.response is not None:
            self.response.close()
        self.response, self.whole, self._completion = None, False, Completion(self._clock.monotonic)

    def lost(self, what: str, http_status: int) -> Failure:
        """The provider had the inference, and its result is gone."""
        return self._fail(FailureKind.RESULT_LOST, what, http_status=http_status)

    def at_deadline(self) -> Outcome:
        """What is to be said when the deadline has passed and the request was cut off by it."""
        response = self.response
        if response is not None and response.status >= 300:
            return self._refusal(response, "")
        if response is not None and self._completion.finish_cut():
            return self._answer(response)
        characters = len(self._completion.text)
        progress = f"had sent {characters} characters of its answer" if characters else "had not answered"
        return expired(self._where(), self.hop, starting=self._starting(), progress=progress)

    async def _read(self, response: Response) -> Failure | None:
        """A failure where another model states its name before the answer is whole and has been passed on."""
        completion, content, relay = self._completion, response.content, self._relay
        while not completion.ended:
            chunk = await content.readany()
            if not chunk:
                break
            completion.feed(chunk)
            if relay is not None:
                fault = self._echo_fault()
                if fault is not None:
                    return fault
                await relay.pass_on(completion, chunk)
        completion.finish()
        return None

    def _echo_fault(self) -> Failure | None:
        provider, model = self._provider, self.call.inference.model
        for echo in self._completion.echoes:
            if not provider.accepts_echo(model, echo):
                what = f'says that "{quoted(echo)}" answered where "{provider.models[model]}" was asked'
                return self._fail(FailureKind.MODEL_MISMATCH, what)
        return None

    def _answer(self, response: Response) -> Outcome:
        completion, provider = self._completion, self._provider
        self.whole = True
        fault = self._echo_fault()
        if fault is not None:
            return fault
        stated = _header(response, provider.region_header)
        now = self._clock.monotonic()
        sent_at = self._began if self.body.sent_at is None else self.body.sent_at
        text = completion.text
        return Answer(
            text=text,
            finish_reason=completion.finish_reason,
            provider=provider.name,
            model_echoed=completion.echoes[0] if completion.echoes else None,
            region_stated=stated,
            region_evidence="declared" if stated is None else "stated",
            upstream=_header(response, provider.upstream_header),
            input_tokens=completion.input_tokens,
            output_tokens=completion.output_tokens,
            cost_usd=provider.cost.of(completion.input_tokens, completion.output_tokens),
            simulated=provider.simulated or response.headers.get("X-Beacon-Simulated", "").lower() == "true",
            replayed=False,
            started_at=self._wall(sent_at),
            first_token_at=None if completion.first_token_at is None else self._wall(completion.first_token_at),
            finished_at=self._wall(now),
            duration_ms=1000 * (now - sent_at),
            stages_ms=self._stages(now),
            retracted=completion.streamed and completion.finish_reason == "content_filter" and bool(text),
            raw_sha256=completion.raw_sha256,
        )

    def _region_fault(self, response: Response) -> Failure | None:
        """The failure of a response that states another region; its body is not worth waiting for."""
        stated = _header(response, self._provider.region_header)
        if stated is None:
            return None
        try:
            if normalise(stated) == self._provider.region:
                return None
        except InputError:
            pass  # what cannot be a region's name is not the name of this one
        what = f'says that it ran in "{quoted(stated)}" where "{self._provider.region}" was asked'
        return self._fail(FailureKind.REGION_MISMATCH, what)

    def _refusal(self, response: Response, text: str) -> Failure:
        """A status other than success is the provider's own verdict, whatever becomes of its body."""
        status = response.status
        words = self._words(stated_message(text.encode()))
        if status < 400:
            return self._redirect(response)
        retry_after = retry_after_s(response, self._clock.wall()) if status in {429, 503} else None
        if status == 429:
            what = f"answered HTTP 429, too many requests{words}"
            return self._fail(FailureKind.RATE_LIMITED, what, http_status=429, retry_after_s=retry_after)
        if status == 503 and self.call.may_be_cold:
            what = f"is still starting: HTTP 503{words}"
            return failure(
                FailureKind.PROVIDER_ERROR,
                what,
                self._where(Stage.COLD_START),
                todo=f"ask again; its cold start may take {self._provider.cold_start:g} s",
                http_status=503,
                retry_after_s=retry_after,
                counts=False,
            )
        return self._fail(
            FailureKind.PROVIDER_ERROR,
            f"answered HTTP {status}{words}",
            todo=self._todo(status),
            retryable=status >= 500,
            http_status=status,
            retry_after_s=retry_after,
        )

    def _redirect(self, response: Response) -> Failure:
        target = _header(response, "Location")
        to = f'to "{quoted(target.partition("?")[0], self._key)}"' if target else "to nowhere"
        return self._fail(
            FailureKind.PROTOCOL_ERROR,
            f"answered HTTP {response.status}, a redirect {to}, which is not followed",
            todo="put the final address into the fleet, or use the transport that follows it",
            http_status=response.status,
        )

    def _todo(self, status: int) -> str | None:
        provider = self._provider
        if status in {401, 403}:
            source = provider.api_key_env or provider.api_key_file
            return f"check the key in {source}" if source else "give it a key by api_key_env or api_key_file"
        if status == 404:
            return f"check its url and the model's name there, {provider.models[self.call.inference.model]}"
        return None if status >= 500 else "its own words say what it does not accept"

    def _broken(self, error: ClientError | HttpProcessingError) -> Outcome:
        """The connection failed, or what came over it was no HTTP."""
        if self.response is not None and self._completion.finish_cut():
            return self._answer(self.response)
        if isinstance(error, ClientConnectorError) or self.body.sent_at is None:
            return self._fail(FailureKind.REFUSED_CONNECTION, f"could not be reached: {reason(error)}")
        if _no_http(error):
            return self._fail(FailureKind.PROTOCOL_ERROR, f"answered with broken HTTP: {quoted(str(error))}")
        came = self._completion.size
        after = f"after {came} bytes of the answer" if came else "before any answer"
        what = f"was cut off after the request was sent, {after} (hop: {self.hop}; {reason(error)})"
        return self._fail(FailureKind.OUTCOME_UNKNOWN, what)

    def _fail(
        self,
        kind: FailureKind,
        what: str,
        *,
        todo: str | None = None,
        retryable: bool | None = None,
        http_status: int | None = None,
        retry_after_s: float | None = None,
    ) -> Failure:
        return failure(
            kind,
            what,
            self._where(),
            todo=todo,
            retryable=retryable,
            http_status=http_status,
            retry_after_s=retry_after_s,
        )

    def _words(self, text: str) -> str:
        said = quoted(text, self._key)
        return f' ("{said}")' if said else ""

    def _starting(self) -> bool:
        """Whether the provider may still be starting: not known to be warm, it has said nothing yet."""
        return self.call.may_be_cold and self.body.sent_at is not None and self.response is None

    def _where(self, waiting_in: Stage | None = None) -> Where:
        if self.body.sent_at is None:
            stage = Stage.CONNECT
        elif self._starting():
            stage = Stage.COLD_START
        else:
            stage = waiting_in or self._stage
        return Where(self._provider.name, stage, self._stages(self._clock.monotonic(), stage))

    def _stages(self, now: float, waiting_in: Stage | None = None) -> dict[str, float]:
        sent_at = self.body.sent_at
        stages = dict(self.call.stages_ms)
        stages[Stage.CONNECT.value] = 1000 * ((now if sent_at is None else sent_at) - self._began)
        if sent_at is not None:
            stage = (waiting_in or self._stage).value
            stages[stage] = stages.get(stage, 0.0) + 1000 * (now - sent_at)
        return stages

    def _wall(self, moment: float) -> float:
        return self._began_wall + moment - self._began


async def _error_text(response: Response) -> str:
    """The beginning of an error's body, as far as it comes."""
    data = b""
    try:
        while len(data) < _MAX_ERROR_BYTES:
            chunk = await response.content.readany()
            if not chunk:
                break
            data += chunk
    except (ClientError, HttpProcessingError):
        pass  # the status is the verdict; its explanation was cut
    return data[:_MAX_ERROR_BYTES].decode("utf-8", "replace")


def _header(response: Response, name: str | None) -> str | None:
    """A header's value, None where it is absent or blank."""
    value = response.headers.get(name, "").strip() if name else ""
    return whole(value[:_MAX_HEADER]) or None


def retry_after_s(response: Response, now: float) -> float | None:
    """Seconds that the provider asks to wait (RFC 9110, section 10.2.3: seconds or a date), at most a day."""
    value = response.headers.get("Retry-After", "").strip()
    try:
        wait = float(value) if value[:1].isdigit() and value[-1:].isdigit() and "," not in value else None
    except ValueError:
        return None
    if wait is None:
        try:
            date = parsedate_to_datetime(value)
        except (ValueError, IndexError):
            return None
        wait = date.replace(tzinfo=date.tzinfo or UTC).timestamp() - now
    return min(max(wait, 0.0), MAX_RETRY_AFTER_S)


def reason(error: Exception) -> str:
    """The cause in a few words, without the library's own."""
    if isinstance(error, ClientConnectorDNSError):
        return f"the name {error.host} was not found"
    if isinstance(error, ClientConnectorCertificateError | ClientConnectorSSLError):
        return f"TLS failed, {quoted(str(error))}"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return quoted(str(error)) or type(error).__name__


def _no_http(error: Exception) -> bool:
    if isinstance(error, ClientPayloadError):
        return isinstance(error.__cause__, ContentEncodingError)
    return isinstance(error, ClientResponseError | HttpProcessingError)
