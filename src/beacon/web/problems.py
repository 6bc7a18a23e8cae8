"""Every error in one shape: problem documents (RFC 9457) for programs, a page of the same content for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from beacon.domain.document import field_path
from beacon.errors import (
    BeaconError,
    ConflictError,
    DocumentError,
    InputError,
    NotFoundError,
    UnavailableError,
    VerificationError,
)

MEDIA_TYPE = "application/problem+json"
API_PREFIX = "/api/"


class Fault(BaseModel):
    """One field that is wrong: its path, a sentence that names the value, and what to do."""

    path: str | None = None
    message: str
    hint: str | None = None


class Problem(BaseModel):
    """RFC 9457, with `code`, `where`, `todo` and `faults` of Beacon's own errors."""

    type: str = Field(examples=["urn:beacon:problem:not_found"])
    title: str = Field(examples=["Not Found"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["no job 'k3v9'"])
    instance: str
    code: str = Field(examples=["not_found"])
    where: str | None = None
    todo: str | None = None
    faults: list[Fault] = Field(default_factory=list)


class RefusedError(BeaconError):
    """A request that is refused before it reaches what it asks for; `status` is its HTTP status."""

    code = "refused"

    def __init__(
        self,
        status: int,
        what: str,
        *,
        where: str | None = None,
        todo: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(what, where=where, todo=todo)
        self.status = status
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Told:
    """A problem and the headers that go with it."""

    problem: Problem
    headers: Mapping[str, str]

    @property
    def status(self) -> int:
        return self.problem.status

    def response(self) -> Response:
        text = self.problem.model_dump_json(exclude_none=True)
        return Response(text, self.status, headers=dict(self.headers), media_type=MEDIA_TYPE)


def of_error(error: BeaconError, instance: str) -> Told:
    status = _status_of(error)
    faults = [_fault(fault) for fault in error.faults] if isinstance(error, DocumentError) else []
    headers = {"Retry-After": "5"} if status == HTTPStatus.SERVICE_UNAVAILABLE else {}
    if isinstance(error, RefusedError) and error.retry_after_s is not None:
        headers = {"Retry-After": str(error.retry_after_s)}
    problem = _problem(status, error.what, instance, error.code, where=error.where, todo=error.todo, faults=faults)
    return Told(problem, headers)


def of_http(error: HTTPException, path: str) -> Told:
    """What routing itself refuses: an unknown address, a method that is not offered."""
    status = HTTPStatus(error.status_code)
    detail = error.detail if error.detail != status.phrase else _ROUTING.get(status, error.detail).format(path=path)
    return Told(_problem(status, detail, path, status.name.lower()), error.headers or {})


_ROUTING = {
    HTTPStatus.NOT_FOUND: "nothing is at {path}",
    HTTPStatus.METHOD_NOT_ALLOWED: "{path} does not take this method",
}


def of_validation(error: RequestValidationError, path: str) -> Told:
    """Parameters or a body that do not fit what the address takes."""
    faults = []
    for detail in error.errors():
        message = f"{detail['msg'][:1].lower()}{detail['msg'][1:]}, found {detail.get('input')!r}"
        faults.append(Fault(path=field_path(detail["loc"][1:] or detail["loc"]), message=message))
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    status = HTTPStatus.UNPROCESSABLE_ENTITY
    return Told(_problem(status, f"the request has {count}", path, "bad_input", faults=faults), {})


def of_crash(request: Request) -> Told:
    """An error that nobody foresaw; what it was stands in the server's log only."""
    todo = "the server's log has the details; if it happens again, report it with them"
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return Told(_problem(status, "the server failed while answering", request.url.path, "internal", todo=todo), {})


def wants_document(request: Request) -> bool:
    return request.url.path.startswith(API_PREFIX)


def _problem(
    status: int,
    detail: str,
    instance: str,
    code: str,
    *,
    where: str | None = None,
    todo: str | None = None,
    faults: list[Fault] | None = None,
) -> Problem:
    return Problem(
        type=f"urn:beacon:problem:{code}",
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=instance,
        code=code,
        where=where,
        todo=todo,
        faults=faults or [],
    )


def _status_of(error: BeaconError) -> int:
    match error:
        case RefusedError():
            return error.status
        case NotFoundError():
            return HTTPStatus.NOT_FOUND
        case ConflictError():
            return HTTPStatus.CONFLICT
        case InputError():
            return HTTPStatus.UNPROCESSABLE_ENTITY
        case VerificationError():
            # What the database holds does not bear out what was sealed: the request is sound, its subject is not.
            return HTTPStatus.CONFLICT
        case UnavailableError():
            return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.INTERNAL_SERVER_ERROR


def _fault(fault: InputError) -> Fault:
    return Fault(path=fault.where, message=fault.what, hint=fault.todo)
