"""Labels by people and from files, from the command line to the next report."""

from __future__ import annotations

import asyncio
import json
import sys

import pytest

from tests.integration.cli.conftest import Beacon, Ran
from tests.integration.runner.scripted import Scripted, answer, serving

SENTENCES = "Paris is the capital of France, on the Seine, and about two million people live there."


async def says_something(number, body, request):
    return answer(SENTENCES)


@pytest.fixture
async def done(ready: Beacon) -> tuple[Beacon, str]:
    provider = Scripted(says_something)
    async with serving(provider):
        ready.write_fleet(provider, provider)
        ran = await ready("run", "spec.yaml", "--json")
    assert ran.code == 0, ran.err
    return ready, ran.job_id


def rows_of(ran: Ran) -> list[dict]:
    assert ran.code == 0, ran.err
    return [json.loads(line) for line in ran.out.splitlines()]


async def walk(beacon: Beacon, job_id: str, who: str, keys: str) -> Ran:
    """Answers the questions of `beacon label` with the keys."""
    (beacon.folder / "keys").write_text("\n".join(keys) + "\n")
    command = f'"{sys.executable}" -m beacon.cli.main label {job_id} --as "{who}" < keys'
    environment = beacon.environment
    process = await asyncio.create_subprocess_shell(
        command,
        cwd=beacon.folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path), **environment}
        | {"BEACON_DATABASE_URL": f"sqlite:///{beacon.database}", "XDG_DATA_HOME": str(beacon.folder / "data")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return Ran(process.returncode or 0, out.decode(), err.decode())


async def test_a_person_wins_and_the_next_report_says_so_while_the_first_is_kept(done):
    beacon, job_id = done
    walked = await walk(beacon, job_id, "ann", "rr?nq")
    assert walked.code == 0, walked.err
    assert "2 labels stored" in walked.err
    assert "alpha" not in walked.err, "the model is not told"
    listed = (await beacon("label", job_id, "--list", "--json")).document
    assert {"source": "person:ann", "label": "refusal", "count": 2} in listed["labels"]
    first = (await beacon("report", job_id, "--json")).document
    again = await beacon("report", job_id, "--again", "--json")
    assert again.code == 0, again.err
    assert "version 2 of the report" in again.err
    second = again.document
    assert first["data_quality"]["label_sources"] == {"beacon": 8}
    assert second["data_quality"]["label_sources"] == {"beacon": 6, "person:ann": 2}
    assert (await beacon("report", job_id, "--version", "1", "--json")).document == first
    labelled = [
        row for row in rows_of(await beacon("export", job_id, "--format", "jsonl")) if row["label"] == "refusal"
    ]
    assert len(labelled) == 2


async def test_two_people_who_disagree_make_an_answer_missing(done):
    beacon, job_id = done
    await walk(beacon, job_id, "ann", "rq")
    await walk(beacon, job_id, "bo", "sq")
    walked = await walk(beacon, job_id, "cy", "q")
    assert "1 of 8 (disputed)" in walked.err
    listed = (await beacon("label", job_id, "--list", "--json")).document
    (disputed,) = listed["disputed"]
    assert disputed["labels"] == {"beacon": "substantive", "person:ann": "refusal", "person:bo": "substantive"}
    report = (await beacon("report", job_id, "--again", "--json")).document
    assert report["data_quality"]["disputed"] == 1
    assert any("1 answer with disputed labels, counted as missing" in notice for notice in report["notices"])


async def test_a_csv_names_answers_by_what_was_asked(done):
    beacon, job_id = done
    (beacon.folder / "labels.csv").write_text(
        "question_id,model,region,repeat,label,reason\nq0,alpha,US,0,Evasive,talks around it\nq1,alpha,eu,1,refusal,\n"
    )
    ran = await beacon("label", job_id, "--import", "labels.csv", "--json")
    assert ran.document == {"source": "import:labels.csv", "labelled": 2, "without_answer": 0}
    rows = rows_of(await beacon("export", job_id, "--format", "jsonl"))
    found = {(r["question_id"], r["region"], r["repeat"]): r["label"] for r in rows}
    assert (found["q0", "us", 0], found["q1", "eu", 1]) == ("evasive", "refusal")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"label": "refusal"}', "neither execution_id nor question_id"),
        ('{"question_id": "q0", "model": "alpha", "region": "us", "label": "refusal"}', "2 answers fit"),
        ('{"question_id": "q9", "model": "alpha", "region": "us", "label": "refusal"}', "the job did not ask"),
        ('{"execution_id": "nobody", "label": "refusal"}', "no execution 'nobody'"),
        ('{"question_id": "q0", "model": "alpha", "region": "us", "repeat": 1, "label": "denial"}', "no label"),
        (
            '{"question_id": "q0", "model": "alpha", "region": "us", "repeat": 1, "label": "evasive", "answer": "x"}',
            "the row's answer is not the one",
        ),
        ("[1]", "has to be a JSON object"),
        ("{", "the line is not JSON"),
    ],
)
async def test_a_row_that_cannot_be_used_is_named_and_nothing_is_stored(done, line, said):
    beacon, job_id = done
    good = '{"question_id": "q0", "model": "alpha", "region": "us", "repeat": 0, "label": "refusal"}'
    (beacon.folder / "labels.jsonl").write_text(f"{good}\n{line}\n")
    ran = await beacon("label", job_id, "--import", "labels.jsonl")
    assert ran.code == 2
    assert said in ran.err
    assert "labels.jsonl:2" in ran.err
    listed = (await beacon("label", job_id, "--list", "--json")).document
    assert {row["source"] for row in listed["labels"]} == {"beacon"}


async def test_who_labels_must_be_said(done):
    beacon, job_id = done
    ran = await beacon("label", job_id)
    assert ran.code == 2
    assert "--as NAME" in ran.err
