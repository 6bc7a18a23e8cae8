"""What a newcomer sees first."""

from __future__ import annotations

import re

import pytest

from beacon.cli.main import COMMANDS, build_app

HEAVY = ("numpy", "scipy", "fastapi", "alembic", "aiohttp", "uvicorn", "cryptography")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_with_an_example_on_a_narrow_terminal(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    build_app(overview=False)([command, "--help"])
    told = capsys.readouterr().out
    assert re.search(rf"[Ee]xample:\s+beacon {command}", told)
    assert max(map(len, told.splitlines())) <= 80


async def test_without_arguments_the_commands_are_listed_with_what_they_do(beacon):
    ran = await beacon()
    assert ran.code == 0
    for name in COMMANDS:
        assert re.search(rf"\b{name} +[A-Z]", ran.out)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnu"], "did you mean 'run'?"),
        (["run", "--fleeet", "lab"], "--fleet"),
        (["run"], "name either a spec or a job to resume"),
        (["jobs", "--limit", "0"], "--limit"),
        (["jobs", "--status", "finished"], "completed"),
        (["serve", "--port", "99999"], "--port"),
        (["retry", "k3v9", "--kind", "rate_limit"], "did you mean 'rate_limited'?"),
    ],
)
async def test_bad_usage_is_one_sentence_that_helps(beacon, arguments, said):
    ran = await beacon(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert said in ran.err
    assert ran.err.startswith("beacon: ")
    assert "Traceback" not in ran.err
    assert not beacon.database.exists()


@pytest.mark.parametrize("arguments", [["--help"], ["jobs"]])
async def test_what_is_asked_often_loads_nothing_heavy(ready, arguments):
    ready.environment["PYTHONPROFILEIMPORTTIME"] = "1"
    ran = await ready(*arguments)
    loaded = set(re.findall(r"\| +([a-z0-9_]+)$", ran.err, re.MULTILINE))
    assert "cyclopts" in loaded
    assert loaded.isdisjoint(HEAVY)
