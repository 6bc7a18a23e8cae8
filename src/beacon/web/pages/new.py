"""Starting a job: the form that is chosen from, the text of a spec, and a job that is run again."""

from __future__ import annotations

import json
from dataclasses import replace
from hashlib import sha256
from typing import Annotated, Any

import yaml
from fastapi import APIRouter, Query, Request, Response
from starlette.responses import RedirectResponse

from beacon.domain.spec import JobSpec, SpecDocument, to_document
from beacon.errors import DocumentError
from beacon.web import body, forms
from beacon.web.forms import Sent
from beacon.web.pages import new_form
from beacon.web.pages.new_form import Choice, Faults
from beacon.web.pages.new_plan import Plan, plan_of, served
from beacon.web.portal import Here, Portal

router = APIRouter(include_in_schema=False)
SEE_OTHER = 303
UNPROCESSABLE = 422
EXAMPLE = """\
schema: beacon.job/v1
name: My first job
questions:
  - {pack: identity}
models: [llama3.2-1b]
regions: [us, eu, apac]
repeats: 5
"""
Origin = Annotated[str | None, Query(alias="from", max_length=100)]


@router.get("/jobs/new")
async def new_job(request: Request, portal: Here, origin: Origin = None) -> Response:
    """The form; with `from` as it was for that job, or its spec as text where the form cannot say it."""
    choice: Choice | None = new_form.first_choice(portal.fleet)
    if origin is not None:
        choice = new_form.choice_from(await portal.boards.spec(origin))
    if choice is None:
        return RedirectResponse(f"/jobs/new/spec?from={origin}", SEE_OTHER)
    return await _form(request, portal, choice, forms.new_key())


@router.post("/jobs/new")
async def choose(request: Request, portal: Here) -> Response:
    """The form as it is chosen now, with its plan; where a script asks, only what follows from the choice."""
    sent = await forms.read(request)
    choice = new_form.choice_of(sent)
    if request.headers.get("hx-request") != "true":
        return await _form(request, portal, choice, sent.get("key", ""))
    if sent.get("part") == "questions":
        return portal.renderer.page(request, "new/questions.html", packs=new_form.packs_shown(choice))
    plan, faults = await _look(portal, choice)
    return portal.renderer.page(request, "new/live.html", plan=plan, faults=faults, fields=new_form.FIELDS)


@router.get("/jobs/new/spec")
async def new_spec(request: Request, portal: Here, origin: Origin = None) -> Response:
    """The same as text, with an example, or with the spec of the job that is to be run again."""
    text = EXAMPLE if origin is None else spec_text(await portal.boards.spec(origin))
    return portal.renderer.page(request, "new/text.html", spec=text, faults=[], problem=None, key=forms.new_key())


@router.post("/jobs")
async def submit(request: Request, portal: Here) -> Response:
    """Starts the job of the form, or of the text; with faults it comes back with them."""
    sent = await forms.read(request)
    if "spec" in sent:
        return await _submit_text(request, portal, sent)
    choice = new_form.choice_of(sent)
    try:
        return await _start(portal, new_form.read_choice(choice), sent)
    except DocumentError as error:
        return await _form(request, portal, choice, sent.get("key", ""), refused=new_form.faults_of(error))


async def _submit_text(request: Request, portal: Portal, sent: Sent) -> Response:
    text = sent.get("file") or sent["spec"]
    try:
        return await _start(portal, body.read_text(text, "the job spec"), sent)
    except DocumentError as error:
        context: dict[str, Any] = {"spec": text, "faults": error.faults, "problem": error.what}
        return portal.renderer.page(request, "new/text.html", UNPROCESSABLE, key=sent.get("key", ""), **context)


async def _start(portal: Portal, document: SpecDocument, sent: Sent) -> Response:
    """Raises DocumentError. The key is that of the form and of what it says: pressed twice it starts one job, and a
    form that was changed after going back starts another."""
    key = sent.get("key")
    if key:
        said = json.dumps(to_document(document), sort_keys=True)
        key = f"{key[:100]}-{sha256(said.encode()).hexdigest()[:16]}"
    submitted = await portal.actions.submit(document, key or None)
    return RedirectResponse(f"/jobs/{submitted.job_id}", SEE_OTHER)


async def _look(portal: Portal, choice: Choice) -> tuple[Plan | None, Faults]:
    """What is planned has no need of a name; it is missed when the form is sent."""
    named = replace(choice, texts={**choice.texts, "name": choice.text("name").strip() or "unnamed"})
    try:
        return await plan_of(portal, new_form.read_choice(named)), Faults()
    except DocumentError as error:
        return None, new_form.faults_of(error)


async def _form(
    request: Request, portal: Portal, choice: Choice, key: str, *, refused: Faults | None = None
) -> Response:
    """`refused` is what is wrong with a form that was sent."""
    plan, faults = await _look(portal, choice)
    snapshots = portal.snapshot() if portal.snapshot else ()
    fleet = portal.fleet
    return portal.renderer.page(
        request,
        "new/form.html",
        UNPROCESSABLE if refused else 200,
        c=choice,
        plan=plan,
        faults=refused or faults,
        refused=refused is not None,
        fields=new_form.FIELDS,
        key=key,
        packs=new_form.packs_shown(choice),
        categories=new_form.categories(),
        languages=new_form.languages(),
        personas=new_form.PERSONAS,
        fleet=fleet,
        served={(m, r): served(fleet, snapshots, m, r) for m in fleet.models for r in fleet.regions},
        simulated=any(provider.simulated for provider in fleet.providers),
    )


def spec_text(spec: JobSpec) -> str:
    """The spec as YAML that can be submitted again: the texts of personas are the server's own."""
    document = to_document(spec)
    document.pop("persona_prompts", None)
    # Through JSON, so that no Python type can leave a tag of its own.
    return yaml.safe_dump(json.loads(json.dumps(document)), sort_keys=False, allow_unicode=True, width=100)
