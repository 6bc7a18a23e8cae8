"""The web application: routes, what they share, and how every error is told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException

from beacon import __version__
from beacon.domain.clock import Clock, SystemClock
from beacon.domain.fleet import Fleet
from beacon.errors import BeaconError, DatabaseError
from beacon.store.database import Database
from beacon.web import api, evidence, operating, problems, readiness
from beacon.web.access import Access, Key
from beacon.web.actions import Actions
from beacon.web.assets import PREFIX, Assets
from beacon.web.boards import Boards
from beacon.web.comparisons import Comparisons, Drift
from beacon.web.gate import MINUTE_S, Gate
from beacon.web.guard import LOOPBACK, Guard
from beacon.web.pages import compare, executions, findings, findings_files, job, kpis, new, pair, plain, runs, sign_in
from beacon.web.pages import fleet as fleet_pages
from beacon.web.pages import jobs as job_pages
from beacon.web.pages.live import LivePages
from beacon.web.pages.render import Renderer
from beacon.web.portal import Here, Portal, portal_of
from beacon.web.problems import Problem, RefusedError, Told
from beacon.web.providers import ProviderChanges, Snapshot
from beacon.web.rates import Rate
from beacon.web.shapes import Health, Readiness, waiting_regions
from beacon.web.summaries import Summaries
from beacon.web.watch import Watches

MISDIRECTED = 421
WRONG_KEYS = 10
"""In a minute, from one address."""
OPENAPI_PATH = "/api/v1/openapi.json"
PAGES = (
    api,
    operating,
    evidence,
    job_pages,
    new,
    job,
    findings,
    findings_files,
    pair,
    compare,
    runs,
    executions,
    fleet_pages,
    kpis,
    plain,
    sign_in,
)


def create_app(
    database: Database,
    *,
    actions: Actions,
    fleet: Callable[[], Fleet],
    clock: Clock | None = None,
    snapshot: Snapshot | None = None,
    changes: ProviderChanges | None = None,
    drift: Drift | None = None,
    away: Callable[[], DatabaseError | None] | None = None,
    hosts: Collection[str] = LOOPBACK,
    assets: Assets | None = None,
    keys: Sequence[Key] = (),
    public: bool = False,
) -> FastAPI:
    """The API and the portal over one database.

    `actions` says how jobs are submitted, cancelled and retried; `fleet` is what new jobs may ask; `snapshot` and
    `changes` tell of the providers that a router in this process uses; `drift` compares two jobs; `away` says what a
    runner in this process finds wrong with the database. `hosts` are the names under which the server may be
    addressed. Where there are `keys`, one of them is asked for, where the portal is `public` of those alone who want
    more than to read.
    """
    clock, assets = clock or SystemClock(), assets or Assets.load()
    renderer = Renderer(assets, clock)
    access = Access(keys, clock, public=public)
    app = FastAPI(
        title="Beacon",
        version=__version__,
        openapi_url=OPENAPI_PATH,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.portal = Portal(
        database=database,
        clock=clock,
        actions=actions,
        read_fleet=fleet,
        snapshot=snapshot,
        changes=changes,
        comparisons=None if drift is None else Comparisons(database, drift),
        away=away,
        boards=Boards(database),
        summaries=Summaries(database),
        watches=Watches(database),
        assets=assets,
        renderer=renderer,
        live_pages=LivePages(renderer),
        access=access,
        wrong_keys=Rate(WRONG_KEYS, MINUTE_S),
    )
    for pages in PAGES:
        app.include_router(pages.router)
    _add_plumbing(app)
    _add_errors(app)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    app.add_middleware(Gate, access=access, clock=clock, explain=_explain_refusal)
    app.add_middleware(Guard, hosts=hosts, explain=_explain_refusal)
    return app


def _add_plumbing(app: FastAPI) -> None:
    @app.get("/healthz", tags=["health"])
    async def healthz() -> Health:
        """The process answers."""
        return Health(status="ok")

    @app.get("/readyz", tags=["health"], responses={503: api.PROBLEMS[503]})
    async def readyz(portal: Here) -> Readiness:
        """The database is there; what waits for a worker that is not there is told beside it."""
        found = await readiness.check(portal)
        return Readiness(status="ready", waits=waiting_regions(found))

    @app.get(PREFIX + "/{version}/{name:path}", include_in_schema=False)
    async def static(version: str, name: str, request: Request, portal: Here) -> Response:
        return portal.assets.respond(request, version, name)


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(BeaconError)
    async def beacon_error(request: Request, error: BeaconError) -> Response:
        return _answer(request, problems.of_error(error, request.url.path))

    @app.exception_handler(RequestValidationError)
    async def validation_error(request: Request, error: RequestValidationError) -> Response:
        return _answer(request, problems.of_validation(error, request.url.path))

    @app.exception_handler(HTTPException)
    async def http_error(request: Request, error: HTTPException) -> Response:
        return _answer(request, problems.of_http(error, request.url.path))

    @app.exception_handler(Exception)
    async def crash(request: Request, _error: Exception) -> Response:
        return _answer(request, problems.of_crash(request))


async def _explain_refusal(request: Request, error: RefusedError) -> Response:
    """As a document where the name by which the server was addressed is not its own: no page is made for that one."""
    told = problems.of_error(error, request.url.path)
    return told.response() if error.status == MISDIRECTED else _answer(request, told)


def _answer(request: Request, told: Told) -> Response:
    """A problem document for programs; for a person at a page the same, as a page."""
    if problems.wants_document(request):
        return told.response()
    renderer = portal_of(request).renderer
    response = renderer.page(request, "error.html", told.status, problem=told.problem)
    response.headers.update(told.headers)
    return response


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's description, with the one shape of errors in place of its own."""
    if app.openapi_schema is None:
        schema = get_openapi(title=app.title, version=app.version, routes=app.routes)
        schemas = schema.setdefault("components", {}).setdefault("schemas", {})
        for name in ("HTTPValidationError", "ValidationError"):
            schemas.pop(name, None)
        described = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= described.pop("$defs", {})
        schemas["Problem"] = described
        app.openapi_schema = schema
    return app.openapi_schema
