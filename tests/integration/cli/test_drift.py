"""`beacon drift`: two runs of one spec, of which the second was served otherwise."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from tests.integration.cli.conftest import Beacon
from tests.integration.runner.scripted import Scripted, answer, serving

REFUSAL = "I'm sorry, but I can't help with that."
ANSWER = "The answer is four, since two and two make four, as everybody can check with the fingers of one hand."


def always(text: str, model: str = "alpha"):
    async def act(number, body, request):
        return answer(text, model)

    return Scripted(act)


async def run(beacon: Beacon, us: Scripted, eu: Scripted, **changes) -> str:
    questions = [{"id": f"q{n}", "text": f"What is {n} and {n}?"} for n in range(8)]
    beacon.write_spec(**{"questions": questions, "repeats": 3, **changes})
    async with serving(us, eu):
        beacon.write_fleet(us, eu)
        ran = await beacon("run", "spec.yaml", "--json")
    assert ran.code == 0, ran.err
    return ran.job_id


async def test_a_change_is_told_with_run_model_and_region_and_only_there(ready: Beacon):
    first = await run(ready, always(ANSWER), always(ANSWER))
    second = await run(ready, always(ANSWER), always(REFUSAL))
    ran = await ready("drift", first, second, "--json")
    assert ran.code == 0, ran.err
    (told,) = ran.document
    assert told["changed"]
    changed = {(f["model"], f["region"], f["measure"]) for f in told["report"]["findings"] if f["call"] == "difference"}
    assert changed == {("alpha", "eu", "withheld_rate"), ("alpha", "eu", "refusal_rate")}
    assert all(first in f["groups"][0] and second in f["groups"][1] for f in told["report"]["findings"])
    assert told["differences"] == []
    shown = await ready("drift", first, second)
    assert "alpha in eu" in shown.out


async def test_what_was_done_otherwise_is_said_first_and_a_reworded_question_left_out(ready: Beacon):
    first = await run(ready, always(ANSWER), always(ANSWER))
    questions = [{"id": f"q{n}", "text": f"What is {n} and {n}?"} for n in range(1, 8)]
    questions += [{"id": "q0", "text": "What is nothing and nothing?"}, {"id": "q9", "text": "What is 9 and 9?"}]
    second = await run(ready, always(ANSWER), always(REFUSAL), questions=questions, sampling={"temperature": 0.1})
    (told,) = (await ready("drift", first, second, "--json")).document
    said = " ".join(told["differences"])
    assert "another wording, left out of the comparison: q0." in said
    assert "Questions in the second run only: q9." in said
    assert "temperature 0.1, max_tokens 400 in the second" in said
    assert {f["clusters"] for f in told["report"]["findings"] if f["measure"] == "refusal_rate"} == {7}
    shown = (await ready("drift", first, second)).out
    assert shown.index("Not the same") < shown.index("changes")


async def test_labels_by_another_version_of_the_classifier_are_said_first(ready: Beacon):
    first = await run(ready, always(ANSWER), always(ANSWER))
    second = await run(ready, always(ANSWER), always(ANSWER), sampling={"temperature": 0.1})
    with closing(sqlite3.connect(ready.database)) as database:
        executions = "SELECT id FROM executions WHERE job_id = ?"
        database.execute(f"UPDATE labels SET version = 'older 1' WHERE execution_id IN ({executions})", (first,))
        database.commit()
    (told,) = (await ready("drift", first, second, "--json")).document
    said = told["differences"]
    assert said[0].startswith("Labels by beacon (older 1) in the first run, by beacon (beacon.answers/")
    assert "a change may be one of the labels and not of the answers" in said[0]
    assert said[1].startswith("Sampling")


async def test_the_runs_of_a_schedule_are_compared_one_after_the_other(ready: Beacon):
    ids = [await run(ready, always(ANSWER), always(text)) for text in (ANSWER, REFUSAL, REFUSAL)]
    added = await ready("schedule", "add", "spec.yaml", "--cron", "0 6 1 1 *", "--fleet", "fleet.yaml")
    assert added.code == 0, added.err
    with closing(sqlite3.connect(ready.database)) as database:
        (schedule,) = database.execute("SELECT id FROM schedules").fetchone()
        ticks = [(schedule, float(number), float(number), job_id) for number, job_id in enumerate(ids)]
        database.executemany("INSERT INTO ticks VALUES (?, ?, ?, ?)", ticks)
        database.commit()
    ran = await ready("drift", "--schedule", schedule, "--last", "3", "--json")
    assert ran.code == 0, ran.err
    assert [(d["base"]["job_id"], d["other"]["job_id"], d["changed"]) for d in ran.document] == [
        (ids[0], ids[1], True),
        (ids[1], ids[2], False),
    ]


async def test_one_run_alone_is_refused(ready: Beacon):
    ran = await ready("drift", "abc")
    assert ran.code == 2
    assert "two jobs or more" in ran.err


async def test_a_job_is_not_compared_with_itself(ready: Beacon):
    only = await run(ready, always(ANSWER), always(ANSWER))
    ran = await ready("drift", only, only)
    assert ran.code != 0
    assert "name two jobs" in ran.err
