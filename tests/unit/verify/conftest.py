from __future__ import annotations

from pathlib import Path

import pytest

from tests.sealing import SealedJob, sealed_job


@pytest.fixture(scope="session")
def job(tmp_path_factory: pytest.TempPathFactory) -> SealedJob:
    return sealed_job(tmp_path_factory.mktemp("job"))


@pytest.fixture(scope="session")
def sealed_bundle(job: SealedJob, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that verifies; tests must not write to it."""
    path = tmp_path_factory.mktemp("bundle") / "job.zip"
    job.write(path)
    return path
