"""Signing in with a key, and out again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse

from beacon.web import forms
from beacon.web.access import SESSION_S
from beacon.web.gate import COOKIE, SEE_OTHER, SIGN_IN, address_of, too_often
from beacon.web.portal import Here

router = APIRouter(include_in_schema=False)
UNAUTHORISED = 401


@router.get(SIGN_IN)
async def ask(request: Request, portal: Here, back: Annotated[str, Query(max_length=2_000)] = "/jobs") -> Response:
    return portal.renderer.page(request, "sign_in.html", nav="", to=forms.own_path(back, "/jobs"), wrong=False)


@router.post(SIGN_IN)
async def sign_in(request: Request, portal: Here) -> Response:
    """Only wrong keys count against an address: a whole office may sign in from one."""
    sent = await forms.read(request)
    address, now = address_of(request), portal.clock.monotonic()
    wait_s = portal.wrong_keys.wait_s(address, now, take=False)
    if wait_s:
        raise too_often("too many wrong keys from your address", wait_s)
    to = forms.own_path(sent.get("to", ""), "/jobs")
    session = portal.access.sign_in(sent.get("key", ""))
    if session is None:
        portal.wrong_keys.wait_s(address, now)
        return portal.renderer.page(request, "sign_in.html", UNAUTHORISED, nav="", to=to, wrong=True)
    response = RedirectResponse(to, SEE_OTHER)
    forms.set_cookie(request, response, COOKIE, session, int(SESSION_S))
    return response


@router.post("/sign-out")
async def sign_out(request: Request, portal: Here) -> Response:
    await forms.read(request)
    portal.access.sign_out(request.cookies.get(COOKIE, ""))
    response = RedirectResponse("/jobs", SEE_OTHER)
    response.delete_cookie(COOKIE, path="/")
    return response
