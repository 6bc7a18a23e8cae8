"""The pages as they are sent: what they say, and that what others wrote stays text."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser

import httpx
import pytest

from beacon.domain.failure import FailureKind
from beacon.domain.spec import to_document
from beacon.store import executions, jobs, reports
from beacon.web.app import create_app
from beacon.web.pace import PACE_S, Pace
from tests.integration.web.conftest import BASE
from tests.integration.web.scene import CLOCK, FLEET, Scene, StoreActions, make_spec
from tests.integration.web.test_guard import token_in

HOSTILE = [
    "<script>alert(1)</script>",
    "</p></main><script src=//evil.example/x.js></script>",
    '"><img src=x onerror=alert(1)>',
    "<svg/onload=alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'>",
    "[a link](javascript:alert(1))",
    "<a href=javascript:alert(1)>x</a>",
    "{{ 7 * 7 }}{% raw %}${7*7}",
    "</textarea><script>alert(1)</script>",
    "<!--",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "\u202egnp.exe\u202c",
    "\x1b[31mred\x1b]0;title\x07",
    "zero\u200bwidth\u2060\ufeff",
    '=HYPERLINK("http://evil.example")',
    "a\x00b\x7f",
    "\U000e0041\U000e0042",
]


class Elements(HTMLParser):
    """The elements of a page, and its text as a reader gets it."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def assert_inert(self) -> None:
        scripts = [attributes for tag, attributes in self.found if tag == "script"]
        assert all((attributes.get("src") or "").startswith("/static/") for attributes in scripts)
        assert len(scripts) == 1
        for tag, attributes in self.found:
            assert tag not in {"iframe", "img", "object", "embed", "base", "style"}
            for name, value in attributes.items():
                assert not name.startswith("on")
                assert "javascript:" not in (value or "").lower() or tag in {"input", "option"}


@pytest.mark.parametrize("text", HOSTILE)
async def test_a_hostile_answer_is_text_on_every_page(client, database, text):
    scene = await Scene.begin(database, make_spec(questions=1, repeats=1))
    await scene.run(scene.works[:1], text)
    await scene.label(scene.works[:1], "refusal", reason=text)
    await scene.start(scene.works[1:2])
    await scene.fail(scene.works[1:2], error=text)
    for path in (
        f"/jobs/{scene.job_id}",
        f"/jobs/{scene.job_id}/executions",
        f"/executions/{scene.works[0].id}",
        f"/executions/{scene.works[1].id}",
    ):
        page = Elements((await client.get(path)).text)
        page.assert_inert()
        assert not re.search("[\x00\x07\x1b\x7f\u200b\u202e\ufeff\U000e0041]", page.text)


@pytest.mark.parametrize("text", [text for text in HOSTILE if not re.search("[\x00-\x1f\x7f]", text)])
async def test_a_hostile_name_and_question_are_text(client, database, text):
    questions = [{"id": "q0", "text": text}]
    scene = await Scene.begin(database, make_spec(repeats=1, questions=questions, name="x" + text[:150]))
    await scene.run(scene.works)
    findings = [{"id": "f1", "call": "difference", "sentence": text, "question": "q0", "groups": [text, "eu"]}]
    await scene.finish({"findings": findings, "notices": [text], "measures": {text: text}})
    for end in ("", "/findings", "/executions", "/spec"):
        Elements((await client.get(f"/jobs/{scene.job_id}{end}")).text).assert_inert()
    Elements((await client.get("/jobs")).text).assert_inert()
    Elements((await client.get(f"/jobs/new/spec?from={scene.job_id}")).text).assert_inert()
    Elements((await client.get("/jobs", params={"q": text})).text).assert_inert()


async def test_unseen_characters_are_shown_as_their_codes(client, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.run(scene.works[:1], "a\u202eb\x1b[1m\u200b")
    page = Elements((await client.get(f"/executions/{scene.works[0].id}")).text)
    assert "aU+202EbESC[1mU+200B" in page.text
    assert "3 invisible characters shown as codes" in page.text


async def test_without_jobs_the_list_says_how_to_start_one(client):
    page = Elements((await client.get("/jobs")).text)
    assert "No jobs yet" in page.text
    assert "beacon run" in page.text
    assert ("a", {"class": "btn btn-main", "href": "/jobs/new"}) in page.found


async def test_the_list_filters_by_name_and_status(client, database):
    running = await Scene.begin(database, make_spec(name="Borders"))
    done = await Scene.begin(database, make_spec(name="Press freedom"))
    await done.run(done.works)
    await done.finish({"findings": [{"call": "difference"}, {"call": "undecided"}]})
    everything = (await client.get("/jobs")).text
    assert f"/jobs/{running.job_id}" in everything
    assert f"/jobs/{done.job_id}/findings" in everything
    assert "1 of 2" in everything
    assert "Press freedom" not in (await client.get("/jobs?status=under+way")).text
    assert "Borders" not in (await client.get("/jobs?q=press")).text
    assert "No job matches" in (await client.get("/jobs?q=nothing+of+the+kind")).text


async def test_a_running_job_shows_its_counts_failures_and_what_to_do(client, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.start(scene.works[:12])
    await scene.answer(scene.works[:6])
    await scene.fail(scene.works[6:8], FailureKind.RATE_LIMITED, "us-a answered 429 to all three attempts.")
    await scene.fail(scene.works[8:9], FailureKind.DEADLINE_EXPIRED, "The deadline passed.")
    page = (await client.get(f"/jobs/{scene.job_id}")).text
    assert "9 of 16 executions recorded, 6 completed, 2 failed, 1 timed out, 3 running" in page
    assert "us-a answered 429 to all three attempts." in page
    assert "Retry all 3" in page
    assert "Cancel job" in page
    assert "simulated" in page


async def test_a_finalizing_job_says_so_and_how_far_it_is(client, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.start(scene.works)
    await scene.fail(scene.works[:1])
    await scene.answer(scene.works[1:])
    await scene.step("classifying")
    await scene.step("analysing 6 of 9 comparisons")
    page = (await client.get(f"/jobs/{scene.job_id}")).text
    assert "Finalizing results…" in page
    assert "16 of 16" in page
    assert "6 of 9 comparisons" in page
    assert "Retry all" not in page
    assert page.count('class="march"') > 4
    await scene.finish()
    done = (await client.get(f"/jobs/{scene.job_id}")).text
    assert "Finalizing results…" not in done
    assert "criteria met" in done
    assert "Retry all 1" in done


async def test_more_than_twelve_marks_become_a_count_and_a_bar(client, database):
    scene = await Scene.begin(database, make_spec(questions=1, repeats=13))
    await scene.run(scene.works[:3])
    page = (await client.get(f"/jobs/{scene.job_id}")).text
    assert 'class="dense"' in page
    assert 'class="reps' not in page


async def test_executions_that_are_not_stored_yet_are_shown_as_pending(client, database, spec):
    documents = (json.dumps(to_document(spec)), "{}", "0")
    job_id, _ = await database.write(jobs.create, "early", spec, documents, CLOCK.wall())
    page = (await client.get(f"/jobs/{job_id}")).text
    assert "0 of 16 executions recorded, nothing yet" in page
    assert page.count('href="#g-pending" x=') == 16


async def test_a_button_of_a_failure_line_retries_just_its_executions(client, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.start(scene.works)
    await scene.fail(scene.works[:2], FailureKind.PROVIDER_ERROR)
    await scene.fail(scene.works[2:3], FailureKind.DEADLINE_EXPIRED)
    await scene.answer(scene.works[3:])
    await scene.finish()
    page = (await client.get(f"/jobs/{scene.job_id}")).text
    groups = re.findall(r'name="group" value="([^"]+)"', page)
    wanted = next(group for group in groups if "deadline_expired" in group)
    form = {"token": token_in(page), "group": wanted}
    response = await client.post(f"/jobs/{scene.job_id}/retry", data=form)
    assert response.status_code == 303
    job = await database.read(jobs.get, scene.job_id)
    assert (job.status, job.generation, job.counts["retrying"], job.counts["failed"]) == ("running", 2, 1, 2)
    stale = await client.post(f"/jobs/{scene.job_id}/retry", data=form)
    assert stale.status_code == 409
    assert "none of these executions" in stale.text.lower()


async def test_one_execution_is_retried_from_its_page(client, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.start(scene.works[:2])
    await scene.fail(scene.works[:1])
    await scene.answer(scene.works[1:2])
    page = (await client.get(f"/executions/{scene.works[0].id}")).text
    assert ">Retry</button>" in page
    assert ">Retry</button>" not in (await client.get(f"/executions/{scene.works[1].id}")).text
    await client.post(f"/executions/{scene.works[0].id}/retry", data={"token": token_in(page)})
    assert (await database.read(executions.get, scene.works[0].id))["status"] == "retrying"


async def test_an_execution_says_what_is_unknown(client, database, spec):
    scene = await Scene.begin(database, spec)
    unknown = {"cost_usd": None, "model_echoed": None, "region_evidence": "unknown", "finish_reason": None}
    await scene.run(scene.works[:1], **unknown, output_tokens=None)
    page = (await client.get(f"/executions/{scene.works[0].id}")).text
    assert page.count('<span class="unk">unknown</span>') >= 6
    assert "$0" not in page


async def test_an_execution_shows_attempts_and_where_the_time_went(client, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.start(scene.works[:1])
    await scene.owe(scene.works[:1], "us-a answered 429.")
    stages = {"queue": 10.0, "cold_start": 9_000.0, "inference": 1_000.0}
    await scene.run(scene.works[:1], stages_ms=stages, duration_ms=10_010.0)
    page = Elements((await client.get(f"/executions/{scene.works[0].id}")).text)
    assert "us-a answered 429." in page.text
    assert "was cold start" in page.text
    assert ("rect", "w-cold") in [(tag, attributes.get("class")) for tag, attributes in page.found]


async def test_executions_filter_by_what_stands_in_the_address(client, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.start(scene.works)
    await scene.fail(scene.works[:2])
    await scene.answer(scene.works[2:])
    path = f"/jobs/{scene.job_id}/executions"
    lost = (await client.get(path, params={"status": "lost"})).text
    assert lost.count('class="name"') == 2
    assert 'value="lost" selected' in lost
    alpha = (await client.get(path, params={"model": "alpha", "region": "us", "question": "q0"})).text
    assert alpha.count('class="name"') == 2
    assert "No execution of this job matches" in (await client.get(path, params={"kind": "straggler"})).text


async def test_a_pasted_spec_starts_a_job_once(client, database):
    page = (await client.get("/jobs/new/spec")).text
    key = re.search(r'name="key" value="([^"]+)"', page)[1]
    text = "schema: beacon.job/v1\nname: Pasted\nquestions: [{id: q, text: 'Q?'}]\nmodels: [alpha]\nregions: [us]\n"
    form = {"token": token_in(page), "key": key, "spec": text}
    first = await client.post("/jobs", data=form)
    second = await client.post("/jobs", data=form)
    assert first.status_code == 303
    assert first.headers["location"] == second.headers["location"]
    assert len(await database.read(jobs.list_page, limit=9)) == 1


async def test_a_faulty_spec_comes_back_with_its_faults_and_its_text(client, database):
    token = token_in((await client.get("/jobs/new")).text)
    text = "schema: beacon.job/v1\nname: Mine, all mine\nrepeats: none\n"
    response = await client.post("/jobs", data={"token": token, "key": "k", "spec": text})
    assert response.status_code == 422
    assert "Mine, all mine" in response.text
    assert "<code>repeats</code>" in response.text
    assert 'role="alert"' in response.text
    assert await database.read(jobs.list_page, limit=9) == []


async def test_a_job_can_be_run_again_from_its_own_spec(client, database):
    personas = {
        "personas": ["none", "placebo"],
        "persona_prompts": {"placebo": {r: {"en": "Hi."} for r in ("us", "eu")}},
    }
    scene = await Scene.begin(database, make_spec(name="Ünïcode: “quoted” #1", **personas))
    moved = await client.get(f"/jobs/new?from={scene.job_id}")
    page = Elements((await client.get(moved.headers["location"])).text)
    assert "persona_prompts" not in page.text
    without = page.text[page.text.index("schema:") :].split("Or a file")[0].replace("- placebo\n", "")
    token = token_in((await client.get("/jobs/new")).text)
    response = await client.post("/jobs", data={"token": token, "key": "k2", "spec": without})
    assert response.status_code == 303
    again = await database.read(jobs.get, response.headers["location"].rpartition("/")[2])
    assert again.name == "Ünïcode: “quoted” #1"


async def test_a_job_of_the_form_is_run_again_from_the_form(client, database):
    page = (await client.get("/jobs/new")).text
    form = {
        "token": token_in(page),
        "key": "k",
        "name": "Of the form",
        "question": ["science/speed-of-light", "science/water-boiling-point"],
        "own": "Who are you?\r\nAnd who am I?",
        "model": ["alpha"],
        "region": ["us", "eu"],
        "persona": ["none", "regional"],
        "language": ["en"],
        "repeats": "4",
        "job_deadline": "1800s",
        "min_regions": "1",
    }
    first = await client.post("/jobs", data=form)
    assert first.status_code == 303
    job_id = first.headers["location"].rpartition("/")[2]
    spec = await database.read(jobs.spec_of, job_id)
    assert [q.id for q in spec.questions] == ["water-boiling-point", "speed-of-light", "own-1", "own-2"]
    assert (spec.total, spec.limits.job_deadline, spec.success.min_regions) == (64, 1800, 1)
    again = Elements((await client.get(f"/jobs/new?from={job_id}")).text)
    ticked = {attributes["id"] for tag, attributes in again.found if tag == "input" and "checked" in attributes}
    assert {"q-science-speed-of-light", "model-alpha", "region-eu", "persona-regional"} <= ticked
    assert "model-beta" not in ticked
    assert "And who am I?" in again.text
    changed = await client.post("/jobs", data=form | {"repeats": "5"})
    assert changed.headers["location"] != first.headers["location"], "a form that was changed is another job"


async def test_faults_of_the_form_stand_at_their_fields(client):
    page = (await client.get("/jobs/new")).text
    form = {"token": token_in(page), "key": "k", "region": ["us"], "model": ["alpha"], "repeats": "many"}
    response = await client.post("/jobs", data=form | {"question": ["science/no-such", "none/at-all"]})
    assert response.status_code == 422
    for name, said in (("name", "empty"), ("repeats", "many")):
        assert said in re.search(rf'id="e-{name}">(.*?)</div>', response.text, re.S)[1]
    valid = form | {"name": "x", "region": "us", "repeats": "2", "persona": "none", "language": "en"}
    response = await client.post("/jobs", data=valid | {"question": ["science/no-such", "none/at-all"]})
    told = re.search(r'id="e-questions">(.*?)</div>', response.text, re.S)[1]
    assert "no-such" in told
    assert "none" in told
    response = await client.post("/jobs", data=valid | {"question": "science/speed-of-light", "region": ["us", "mars"]})
    assert "mars" in re.search(r'id="e-regions">(.*?)</div>', response.text, re.S)[1]
    dear = valid | {"question": "science/speed-of-light", "max_cost_usd": "5"}
    response = await client.post("/jobs", data=dear)
    assert "price" in re.search(r'id="e-max_cost_usd">(.*?)</div>', response.text, re.S)[1]


async def test_errors_are_pages_for_people(client):
    missing = await client.get("/jobs/none")
    assert missing.status_code == 404
    assert missing.headers["content-type"].startswith("text/html")
    assert "No job &#39;none&#39;" in missing.text
    assert (await client.get("/nothing/here")).status_code == 404
    assert (await client.get("/jobs?cursor=%21")).status_code == 422


REPORT = {
    "method": "beacon.analysis/v1",
    "measures": {"withheld_rate": "refusals and evasive answers"},
    "notices": ["16 executions of 16 came from simulated providers."],
    "findings": [
        {
            "id": "f1", "factor": "region", "model": "alpha", "question": None, "measure": "withheld_rate",
            "groups": ["us", "eu"], "effect": 0.31, "interval": [0.12, 0.48], "interval_pack": [0.19, 0.43],
            "p": 0.0004, "q": 0.006, "n": [40, 40], "call": "difference",
            "sentence": "alpha withheld an answer 31 points more often in eu than in us.",
            "caveats": ["Only 2 questions."], "confounded_with": ["routes"],
            "routes": [[{"upstream": "host-a", "answers": 40}], [{"upstream": None, "answers": 40}]],
        },
        {
            "id": "f2", "factor": "region", "model": "beta", "question": None, "measure": "withheld_rate",
            "groups": ["us", "eu"], "effect": 0.0, "interval": [-0.04, 0.04], "p": 1, "q": 1, "n": [40, 40],
            "call": "negligible", "sentence": "beta is negligible.", "caveats": [],
        },
    ],
    "rates": {
        "cells": [
            {
                "question": "q0", "model": "alpha", "region": "eu", "executions": 5, "answers": 4,
                "withheld_rate": {"in_class": 3, "rate": 0.75, "interval": [0.3, 0.95]},
            }
        ],
        "arms": [
            {
                "model": "alpha", "region": "eu", "persona": "none", "language": "en", "executions": 5, "answers": 4,
                "withheld_rate": {"in_class": 3, "rate": 0.75, "interval": [0.3, 0.95]},
            }
        ],
    },
    "data_quality": {"executions": 16, "answers": 16, "region_evidence": {"declared": 16}},
}  # fmt: skip


async def finished(database, document) -> Scene:
    scene = await Scene.begin(database, make_spec())
    await scene.run(scene.works)
    await scene.finish(document)
    return scene


async def test_findings_are_narrowed_to_what_differs_or_failed_by_the_address(client, database):
    scene = await Scene.begin(database, make_spec())
    await scene.run(scene.works[:-1])
    await scene.start(scene.works[-1:])
    await scene.fail(scene.works[-1:], error="It said no.")
    await scene.finish(REPORT)
    path = f"/jobs/{scene.job_id}/findings"
    different = (await client.get(path, params={"show": "different"})).text
    assert "alpha withheld an answer 31 points" in different
    assert "What does not differ" not in different
    failed = (await client.get(path, params={"show": "failed"})).text
    assert f"/executions/{scene.works[-1].id}" in failed
    assert "It said no." in failed
    assert "What differs, strongest first" not in failed
    region = next(r for r in ("us", "eu") if r != scene.works[-1].execution.region)
    assert "Nothing failed" in (await client.get(path, params={"show": "failed", "region": region})).text
    assert (await client.get(path, params={"show": "nonsense"})).text.count("What does not differ") == 2


async def test_about_names_method_licence_and_versions(client):
    page = Elements((await client.get("/about")).text).text
    for told in ("beacon.analysis/v1", "beacon.answers/2", "9,999 draws", "Apache License 2.0", "method.md"):
        assert told in page


async def test_findings_say_what_differs_what_does_not_and_what_else_differed(client, database):
    scene = await finished(database, REPORT)
    page = Elements((await client.get(f"/jobs/{scene.job_id}/findings")).text)
    for told in (
        "1 of 2 comparisons hold", "alpha withheld an answer 31 points more often in eu than in us.", "+31 points",
        "+12 to +48", "0.006", "<0.001", "different routes", "us: host-a 40", "eu: unknown 40", "Only 2 questions.",
        "negligible", "declared 16",
    ):  # fmt: skip
        assert told in page.text
    heat = [attributes for tag, attributes in page.found if tag == "td" and "q5" in (attributes.get("class") or "")]
    assert len(heat) == 1


async def test_findings_filter_by_what_stands_in_the_address(client, database):
    scene = await finished(database, REPORT)
    path = f"/jobs/{scene.job_id}/findings"
    beta = (await client.get(path, params={"model": "beta"})).text
    assert "31 points more often" not in beta
    assert "No difference matches the filters" in beta
    assert "31 points more often" in (await client.get(path, params={"region": "eu"})).text


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"findings": None},
        {"findings": [None, 3, {}, {"call": "difference"}, {"call": "difference", "effect": "big", "interval": [1]}]},
        {
            "findings": [{"call": "undecided", "n": None, "groups": "us"}],
            "rates": {"cells": [{}], "arms": [{"model": 3}]},
        },
        {"measures": [], "notices": "x", "rates": [], "data_quality": 3, "families": [{}], "not_tested": [{}, 1]},
        {"settings": {"alpha": "?", "smallest_effect": None, "draws": True}, "findings": [{"effect": float("nan")}]},
    ],
)
async def test_a_report_of_another_shape_is_shown_as_unknown(client, database, document):
    scene = await finished(database, document)
    response = await client.get(f"/jobs/{scene.job_id}/findings")
    assert response.status_code == 200
    assert (await client.get("/jobs")).status_code == 200


async def test_before_the_report_the_findings_say_why_there_are_none(client, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.run(scene.works[:3])
    path = f"/jobs/{scene.job_id}/findings"
    assert "3 have one now" in (await client.get(path)).text
    await scene.run(scene.works[3:])
    assert "the report is being made now" in (await client.get(path)).text
    await database.write(reports.fail_job, scene.job_id, "the disk is full", CLOCK.wall())
    assert "The disk is full." in (await client.get(path)).text


async def test_after_a_retry_the_old_findings_are_marked_as_such(client, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.start(scene.works)
    await scene.fail(scene.works[:1])
    await scene.answer(scene.works[1:])
    await scene.finish(REPORT)
    path = f"/jobs/{scene.job_id}/findings"
    assert "This report is about round" not in (await client.get(path)).text
    await client.post(f"/api/v1/jobs/{scene.job_id}/retry")
    assert "This report is about round 1 of the job; round 2 is running" in (await client.get(path)).text


@dataclass(frozen=True)
class AProvider:
    """What a router would tell of a provider."""

    name: str
    region: str
    models: tuple[str, ...] = ("alpha", "beta")
    state: str = "warm"
    in_flight: int = 0
    limit: int = 8
    waiting: int = 0
    blocked_until: float | None = None
    blocked_why: str | None = None
    start_expected_at: float | None = None
    last_failure: str | None = None


async def test_what_providers_wait_for_and_how_fast_they_are_is_said(database, spec):
    at = 1_800_000_000.0
    told = [
        AProvider("us-a", "us", state="warming", waiting=3, start_expected_at=at),
        AProvider("eu-a", "eu", in_flight=8, waiting=5, blocked_why="answered 429", blocked_until=at),
        AProvider("apac-a", "apac"),
    ]
    app = create_app(database, actions=StoreActions(database), fleet=lambda: FLEET, snapshot=lambda: told)
    scene = await Scene.begin(database, spec)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        page = Elements((await client.get(f"/jobs/{scene.job_id}")).text).text
    assert "start expected by 08:00:00; 3 waiting for a place" in page
    assert "answered 429, goes on at 08:00:00; at its limit; 5 waiting for a place" in page
    assert "us-a start expected by 08:00:00" in page, "it stands at its region too"
    assert "apac-a" not in page, "it serves no cell of the job"


async def test_a_rate_is_what_was_recorded_in_the_last_seconds():
    pace = Pace()
    for second in range(100, 130):
        for _ in range(second - 99):
            pace.recorded("us-a", second + 0.5)
    pace.recorded(None, 129.0)
    assert pace.rate("us-a", 130.2) == sum(range(11, 31)) / PACE_S
    assert pace.rate("us-a", 130.2, since=128.0) == (29 + 30) / 2
    assert pace.rate("us-a", 130.2 + PACE_S) == 0
    assert pace.rate("eu-a", 130.2) == 0
    assert pace.providers() == ["us-a"]


async def test_without_a_router_here_providers_are_known_by_what_they_brought(client, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.run(scene.works[:4])
    page = (await client.get(f"/jobs/{scene.job_id}")).text
    assert "Providers now" in page
    assert re.search(r"us-a.*?unknown.*?unknown", page, re.S)


async def test_all_failures_of_a_kind_are_retried_from_one_button(client, database, spec):
    scene = await Scene.begin(database, spec)
    await scene.start(scene.works)
    await scene.fail(scene.works[5:11], FailureKind.RATE_LIMITED)
    await scene.fail(scene.works[11:13], FailureKind.PROTOCOL_ERROR)
    page = await client.get(f"/jobs/{scene.job_id}")
    assert "Retry all 6 rate limited" in page.text
    form = {"token": token_in(page.text), "kind": "rate_limited"}
    await client.post(f"/jobs/{scene.job_id}/retry", data=form)
    counts = (await database.read(jobs.get, scene.job_id)).counts
    assert (counts["retrying"], counts["failed"]) == (6, 2)


async def test_the_last_ones_may_be_ended_once_nothing_else_is_left(client, database):
    scene = await Scene.begin(database, make_spec(repeats=10))
    path = f"/jobs/{scene.job_id}"
    await scene.start(scene.works)
    await scene.answer(scene.works[:40])
    assert "End the last" not in (await client.get(path)).text
    await scene.answer(scene.works[40:77])
    page = (await client.get(path)).text
    assert "End the last 3" in page
    form = {"token": token_in(page), "why": "apac  is\ndown <b>"}
    await client.post(f"{path}/end-stragglers", data=form)
    assert (await database.read(jobs.get, scene.job_id)).stop_kind == "straggler"
    page = (await client.get(path)).text
    assert "stragglers ended" in page
    assert "apac is down &lt;b&gt;" in page
    assert "End the last" not in page


async def test_what_people_did_to_a_job_is_told_with_its_reason_the_latest_first(client, database, spec):
    scene = await Scene.begin(database, spec)
    path = f"/jobs/{scene.job_id}"
    form = {"token": token_in((await client.get(path)).text)}
    assert "What people did" not in (await client.get(path)).text
    await client.post("/fleet/us-a/pause", data=form | {"why": "it asked us to"})
    await client.post("/fleet/us-a/resume", data=form)
    await scene.start(scene.works)
    await scene.fail(scene.works[:3])
    await client.post(f"{path}/retry", data=form)
    await client.post(f"{path}/cancel", data=form | {"why": "a wrong question"})
    told = (await client.get(path)).text.partition("What people did")[2]
    said = ["cancelled", "a wrong question", "3 executions retried, round 1", "us-a resumed", "it asked us to"]
    assert sorted(said, key=told.index) == said


async def test_a_job_of_ten_thousand_is_shown_and_followed(client, database):
    scene = await Scene.begin(database, make_spec(questions=50, repeats=50))
    await scene.run(scene.works[:9_000])
    page = await client.get(f"/jobs/{scene.job_id}")
    assert len(page.content) < 500_000
    assert "9,000" in page.text
    await scene.start(scene.works[9_000:9_999])
    await scene.fail(scene.works[9_000:9_999])
    page = await client.get(f"/jobs/{scene.job_id}")
    assert "Retry all 999" in page.text


async def test_the_list_filters_by_model_region_and_time(client, database):
    both = await Scene.begin(database, make_spec(name="Both"))
    one = await Scene.begin(database, make_spec(name="One", models=["beta"], regions=["apac"]))
    for address, seen in (
        ("/jobs?model=alpha", {both.job_id}),
        ("/jobs?model=beta", {both.job_id, one.job_id}),
        ("/jobs?region=apac&model=beta&since=24+hours", {one.job_id}),
        ("/jobs?region=eu&q=one", set()),
    ):
        page = (await client.get(address)).text
        assert {job_id for job_id in (both.job_id, one.job_id) if job_id in page} == seen, address
    assert "No job matches <b>name one</b> <b>region eu</b>" in page
