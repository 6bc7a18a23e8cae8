"""A job against real inference servers that are not Beacon's own, with a tiny random model."""

from __future__ import annotations

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter, quants

from beacon.domain.states import JobStatus
from beacon.lab.inference import start_inference
from beacon.lab.quantisation import BLOCK_BYTES, LEVELS_LEFT, coarsen
from beacon.store import executions
from tests.integration.real.random_model import write_random_model
from tests.integration.runner.conftest import Bench

SAMPLING = {"temperature": 0.0, "max_tokens": 12}


@pytest.fixture
def bench(database) -> Bench:
    return Bench(database)


@pytest.mark.parametrize("stream", [True, False])
async def test_a_job_on_foreign_servers_brings_real_answers_of_each_region(bench, tmp_path, stream):
    same, other = tmp_path / "same.gguf", tmp_path / "other.gguf"
    write_random_model(same, 1)
    write_random_model(other, 2)
    async with start_inference({"us": same, "eu": same, "apac": other}, "tiny") as fleet:
        providers = tuple(provider.model_copy(update={"stream": stream}) for provider in fleet.providers)
        fleet = fleet.model_copy(update={"providers": providers})
        job = await bench.run(fleet, questions=2, repeats=1, sampling=SAMPLING)
    rows = await bench.database.read(executions.page, job.id)
    assert job.status is JobStatus.COMPLETED
    assert {row["status"] for row in rows} == {"completed"}
    assert not any(row["simulated"] or row["replayed"] for row in rows)
    assert {row["model_echoed"] for row in rows} == {"tiny"}
    assert {row["region_evidence"] for row in rows} == {"declared"}
    assert all(row["output_tokens"] == 12 and row["finish_reason"] == "length" for row in rows)
    said = {(row["region"], row["question_id"]): row["answer"] for row in rows}
    assert said["us", "q0"] == said["eu", "q0"]
    assert said["us", "q0"] != said["apac", "q0"]


def test_a_coarser_copy_keeps_scales_and_uses_fewer_levels(tmp_path):
    weights = np.random.default_rng(3).standard_normal((4, 64)).astype(np.float32)
    writer = GGUFWriter(str(tmp_path / "fine.gguf"), "llama")
    writer.add_tensor("w", quants.quantize(weights, GGMLQuantizationType.Q4_1), raw_dtype=GGMLQuantizationType.Q4_1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert coarsen(tmp_path / "fine.gguf", tmp_path / "coarse.gguf") == 1
    fine, coarse = (
        GGUFReader(tmp_path / name).tensors[0].data.reshape(-1, BLOCK_BYTES) for name in ("fine.gguf", "coarse.gguf")
    )
    assert np.array_equal(fine[:, :4], coarse[:, :4])
    nibbles = np.concatenate([coarse[:, 4:] & 0x0F, coarse[:, 4:] >> 4])
    kept = np.unique(nibbles)
    assert len(kept) == LEVELS_LEFT
    assert (kept.min(), kept.max()) == (0, 15)
