"""`export --format bundle`, `verify`, `log` and `keys`, as a person or a program uses them."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import update

from beacon.cli.main import main
from beacon.provenance.keys import load, new_key
from beacon.store.database import open_database
from beacon.store.tables import results
from tests.integration.runner.conftest import Bench
from tests.integration.runner.scripted import Scripted, answer, fleet_of, serving

pytestmark = pytest.mark.filterwarnings("ignore:Cyclopts application invoked without tokens")


@dataclass(frozen=True)
class House:
    """A folder with a database that holds one sealed job, its key and its log."""

    folder: Path
    job_id: str

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder}/beacon.db"

    @property
    def variables(self) -> dict[str, str]:
        return {
            "BEACON_DATABASE_URL": self.url,
            "BEACON_SIGNING_KEY": str(self.folder / "key.pem"),
            "BEACON_TRANSPARENCY_LOG": str(self.folder / "log.db"),
        }


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> House:
    folder = tmp_path_factory.mktemp("house")
    shutil.copy(empty_database, folder / "beacon.db")

    async def politely(number, body, request):
        return answer(f"Answer {number}.")

    async def run() -> str:
        database = await open_database(f"sqlite:///{folder}/beacon.db")
        us = Scripted(politely)
        async with serving(us):
            job = await Bench(database).run(fleet_of({"us": us}), repeats=1)
        await database.close()
        return job.id

    house = House(folder, "")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in house.variables.items():
            patch.setenv(name, value)
        return House(folder, asyncio.run(run()))


@pytest.fixture
def house(built: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """A copy that a test may alter."""
    for file in built.folder.iterdir():
        shutil.copy(file, tmp_path / file.name)
    own = House(tmp_path, built.job_id)
    for name, value in own.variables.items():
        monkeypatch.setenv(name, value)
    return own


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["beacon", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture
def bundle(house: House, call: Call) -> Path:
    path = house.folder / "job.zip"
    assert call("export", house.job_id, "--format", "bundle", "--output", path) == (0, "", "")
    return path


def test_a_bundle_verifies_by_the_exported_key(house: House, call: Call, bundle: Path) -> None:
    code, pem, _ = call("keys", "--public")
    assert code == 0
    their_key = house.folder / "their-key.pem"
    their_key.write_text(pem)
    code, out, err = call("verify", bundle, "--key", their_key)
    assert (code, err) == (0, "")
    steps = [line for line in out.splitlines() if line.startswith("✓")]
    assert [line.split()[1] for line in steps] == list("12345678")
    assert house.job_id in out
    assert out.splitlines()[-1] == "The bundle holds."


def test_without_a_key_it_says_what_was_not_shown(call: Call, bundle: Path) -> None:
    code, out, _ = call("verify", bundle)
    assert code == 0
    assert "No trusted key was given" in out


def test_another_key_than_the_trusted_one_ends_with_4(house: House, call: Call, bundle: Path) -> None:
    other = house.folder / "other.pem"
    other.write_bytes(new_key().public.pem)
    code, out, _ = call("verify", bundle, "--key", other)
    assert code == 4
    assert "✗ 2 signature" in out


def test_an_altered_bundle_ends_with_4_and_names_the_execution(house: House, call: Call, bundle: Path) -> None:
    data = bytearray(bundle.read_bytes())
    data[data.index(b'"answer":"Answer') + 12] ^= 1
    bundle.write_bytes(data)
    code, out, _ = call("verify", bundle, "--json")
    document = json.loads(out)
    assert (code, document["ok"]) == (4, False)
    named = {alteration["execution_id"] for step in document["steps"] for alteration in step["alterations"]}
    assert any(name and name.startswith(house.job_id) for name in named)
    code, out, _ = call("verify", bundle)
    assert code == 4
    assert "✗ 5 answers" in out
    assert out.splitlines()[-1] == "The bundle does NOT hold."


def test_what_is_no_bundle_is_told_apart_from_what_is_not_there(house: House, call: Call) -> None:
    code, _, err = call("verify", house.folder / "missing.zip")
    assert code == 2
    assert "no such file" in err
    assert call("verify", house.folder / "key.pem")[0] == 4


def test_an_export_of_what_was_altered_is_refused_with_4(house: House, call: Call) -> None:
    async def alter() -> None:
        database = await open_database(house.url)
        change = update(results).where(results.c.execution_id == f"{house.job_id}-000001").values(answer="Other.")
        await database.write(lambda connection: connection.execute(change))
        await database.close()

    asyncio.run(alter())
    code, _, err = call("export", house.job_id, "--format", "bundle", "--output", house.folder / "job.zip")
    assert code == 4
    assert f"{house.job_id}-000001" in err
    assert not (house.folder / "job.zip").exists()


def test_a_bundle_needs_a_file(house: House, call: Call) -> None:
    code, out, err = call("export", house.job_id, "--format", "bundle")
    assert (code, out) == (2, "")
    assert "--output" in err


def test_keys_shows_the_id_that_a_verification_names(house: House, call: Call, bundle: Path) -> None:
    document = json.loads(call("keys", "--json")[1])
    assert document["key_id"] == json.loads(call("verify", bundle, "--json")[1])["key_id"]
    assert document["key_id"] in call("keys")[1]
    assert "PRIVATE" not in call("keys", "--public")[1] + document["public_key"]


def test_the_log_lists_the_job_and_begins_with_what_was_kept(house: House, call: Call) -> None:
    code, out, _ = call("log")
    assert code == 0
    assert house.job_id in out
    document = json.loads(call("log", "--json")[1])
    assert [entry["job_id"] for entry in document["entries"]] == [house.job_id]
    kept = house.folder / "kept.txt"
    kept.write_text(call("log", "--checkpoint")[1])
    assert kept.read_text() == document["checkpoint"]
    code, out, _ = call("log", "--kept", kept)
    assert code == 0
    assert "begins with the 1 entries" in out


def test_a_log_that_was_begun_anew_does_not_hold_against_a_kept_checkpoint(house: House, call: Call) -> None:
    kept = house.folder / "kept.txt"
    kept.write_text(call("log", "--checkpoint")[1])
    (house.folder / "log.db").unlink()
    code, _, err = call("log", "--kept", kept)
    assert code == 4
    assert "taken back" in err


def test_the_signing_key_is_for_its_owner_alone(house: House) -> None:
    assert (house.folder / "key.pem").stat().st_mode & 0o777 == 0o600
    assert load(house.folder / "key.pem")
