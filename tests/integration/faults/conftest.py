from __future__ import annotations

import pytest

from beacon.store.database import Database
from tests.integration.runner.conftest import Bench


@pytest.fixture
def bench(database: Database) -> Bench:
    return Bench(database)
