"""Region integrity from end to end: what each provider was asked is what the cell says, once a key."""

from __future__ import annotations

from pathlib import Path

from beacon.domain.states import JobStatus, Verdict
from beacon.lab.fleet import start_lab
from beacon.runner.admission import submit
from beacon.runner.inputs import read_spec
from beacon.store import executions
from tests.integration.runner.conftest import CLOCK, Bench

QUICKSTART = Path(__file__).parents[3] / "examples" / "quickstart.yaml"


async def test_every_request_of_the_quickstart_reached_the_region_and_model_of_its_cell(bench: Bench):
    spec = read_spec(QUICKSTART)
    async with start_lab("instant") as lab:
        job_id, _ = await submit(bench.database, spec, lab.fleet, CLOCK)
        async with bench.runner(lab.fleet) as runner:
            await runner.drive(job_id)
        requests = await lab.requests()
    job = await bench.job(job_id)
    assert (job.status, job.verdict, job.counts["completed"]) == (JobStatus.COMPLETED, Verdict.MET, spec.total)
    rows = {row["id"]: row for row in await bench.database.read(executions.page, job_id)}
    assert len(requests) == len({request["key"] for request in requests}) == spec.total
    for request in requests:
        row = rows[request["key"].rpartition(".")[0]]
        asked = (request["region"], request["model"], request["question"], request["language"])
        assert asked == (row["region"], row["model"], row["question_id"], row["language"])
