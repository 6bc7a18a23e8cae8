"""Pages that say little: a job's spec, what Beacon is, and the choice of a theme."""

from __future__ import annotations

import platform
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from beacon import __version__
from beacon.analysis.answer_card import measured_errors, shipped_card
from beacon.analysis.settings import METHOD, AnalysisSettings
from beacon.domain.spec import SPEC_SCHEMA
from beacon.store import jobs
from beacon.web import forms
from beacon.web.pages.job_view import dimensions
from beacon.web.pages.new import spec_text
from beacon.web.pages.render import THEME_COOKIE, THEMES
from beacon.web.portal import Here

router = APIRouter(include_in_schema=False)
SEE_OTHER = 303
YEAR_S = 365 * 86_400
"""How long a browser may keep files whose address holds a hash of their content."""


@router.get("/jobs/{job_id}/spec")
async def spec(job_id: str, request: Request, portal: Here) -> Response:
    job = await portal.database.read(jobs.get, job_id)
    document = await portal.boards.spec(job_id)
    findings = await portal.summaries.findings_of(job_id)
    context: dict[str, Any] = {
        "job": job,
        "dims": dimensions(document),
        "spec": spec_text(document),
        "findings": findings,
    }
    return portal.renderer.page(request, "spec.html", **context)


@router.get("/about")
async def about(request: Request, portal: Here) -> Response:
    """How findings are made, what is simulated, under which licence, and which versions are at work."""
    card = shipped_card()
    languages = [errors for name in card["measured"]["languages"] if (errors := measured_errors(name)) is not None]
    return portal.renderer.page(
        request,
        "about.html",
        nav="/about",
        third_party=portal.assets.third_party,
        settings=AnalysisSettings(seed=0),
        errors=languages,
        versions=[
            ("Beacon", __version__),
            ("Method of findings", METHOD),
            ("Classifier of answers", card["model"]["name"]),
            ("Job spec", SPEC_SCHEMA),
            ("Python", platform.python_version()),
        ],
    )


@router.post("/theme")
async def theme(request: Request) -> Response:
    """Keeps the chosen theme in a cookie and goes back to where the button was."""
    fields = await forms.read(request)
    response = RedirectResponse(forms.own_path(fields.get("back", ""), "/jobs"), SEE_OTHER)
    if fields.get("theme") in THEMES:
        forms.set_cookie(request, response, THEME_COOKIE, fields["theme"], YEAR_S)
    return response
