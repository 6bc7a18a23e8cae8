"""What a spool was given is there after a crash, whole or not at all; what it cannot write it says."""

from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from beacon.domain.answer import Answer
from beacon.domain.states import ExecutionStatus
from beacon.runner import spool as spool_module
from beacon.runner.spool import Spool, left_behind, spool_files
from beacon.runner.spooled import Spooled, line_of, read_lines
from beacon.store.group import Finish


def finish(number: int, text: str = "An answer.") -> Finish:
    answer = Answer(
        text=text,
        finish_reason="stop",
        provider="us-a",
        model_echoed=None,
        region_stated="us",
        region_evidence="stated",
        upstream=None,
        input_tokens=3,
        output_tokens=None,
        cost_usd=0.1,
        simulated=False,
        replayed=False,
        started_at=1.0,
        first_token_at=None,
        finished_at=2.0,
        duration_ms=1000.0,
        stages_ms={"inference": 1000.0},
    )
    return Finish(
        execution_id=f"j.{number}",
        attempt_id=f"j.{number}.1",
        number=1,
        shard=0,
        status=ExecutionStatus.COMPLETED,
        attempt_status="answered",
        finished_at=2.0,
        answer=answer,
        stages_ms={"inference": 1000.0},
    )


@given(st.text(), st.integers(0, 9))
def test_what_is_read_is_what_was_written(text: str, number: int) -> None:
    ended = Spooled("job", finish(number, text))
    failed = Spooled("job", dataclasses.replace(finish(number), answer=None, status=ExecutionStatus.FAILED, kind=text))
    assert read_lines(line_of(ended) + line_of(failed)) == ([ended, failed], 0)


@given(st.integers(min_value=0), st.integers(1, 255))
def test_a_line_with_an_altered_byte_is_not_read_and_the_others_are(place: int, by: int) -> None:
    lines = [line_of(Spooled("job", finish(number))) for number in range(3)]
    altered = bytearray(lines[1])
    at = place % (len(altered) - 1)
    altered[at] ^= by
    found, damaged = read_lines(lines[0] + bytes(altered) + lines[2])
    assert [spooled.finish.execution_id for spooled in found] == ["j.0", "j.2"]
    assert damaged >= 1


@given(st.integers(min_value=1))
def test_a_line_that_was_cut_off_by_a_crash_is_no_damage(left: int) -> None:
    whole, cut = line_of(Spooled("job", finish(0))), line_of(Spooled("job", finish(1)))
    found, damaged = read_lines(whole + cut[: left % (len(cut) - 1)])
    assert [spooled.finish.execution_id for spooled in found] == ["j.0"]
    assert damaged == 0


async def test_a_file_is_nobody_elses_while_its_process_lives_and_anybodys_after(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    await spool.keep("job", [finish(0), finish(1)])
    (path,) = spool_files(tmp_path)
    with left_behind(path) as found:
        assert found is None
    spool.settle([finish(0)])
    spool.close()
    with left_behind(path) as found:
        assert found is not None
        assert [spooled.finish.attempt_id for spooled in found.found] == ["j.0.1", "j.1.1"]
        with left_behind(path) as second:
            assert second is None
        found.remove()
    assert spool_files(tmp_path) == []


async def test_a_file_whose_content_is_recorded_is_emptied_and_goes_with_its_process(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    await spool.keep("job", [finish(0), finish(1)])
    (path,) = spool_files(tmp_path)
    spool.settle([finish(1)])
    assert spool.of("job") == [finish(0)]
    spool.settle([finish(0)])
    assert path.read_bytes() == b""
    await spool.keep("job", [finish(2)])
    assert read_lines(path.read_bytes())[0] == [Spooled("job", finish(2))]
    spool.settle([finish(2)])
    spool.close()
    assert spool_files(tmp_path) == []


async def test_damaged_lines_are_kept_aside(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    await spool.keep("job", [finish(0)])
    spool.close()
    (path,) = spool_files(tmp_path)
    path.write_bytes(b"not a line of ours\n" + path.read_bytes())
    with left_behind(path) as found:
        assert found is not None
        assert (len(found.found), found.damaged) == (1, 1)
        found.remove()
    assert [name.partition(".")[2] for name in os.listdir(tmp_path)] == ["damaged"]


async def test_a_full_spool_and_a_full_disk_are_said_and_nothing_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = Spool(tmp_path, most_bytes=2 * len(line_of(Spooled("job", finish(0)))))
    for number in range(3):
        await small.keep("job", [finish(number)])
    assert "the spool has its most" in capsys.readouterr().out
    assert len(small) == 3
    small.close()
    (path,) = spool_files(tmp_path)
    assert len(read_lines(path.read_bytes())[0]) == 2

    spool = Spool(tmp_path / "other")
    await spool.keep("job", [finish(0)])
    real = os.write

    def half(descriptor: int, data: bytes) -> int:
        if len(data) > 100:
            return real(descriptor, bytes(data)[:100])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spool_module.os, "write", half)
    await spool.keep("job", [finish(1)])
    assert "No space left on device" in capsys.readouterr().out
    assert len(spool) == 2
    spool.close()
    (path,) = spool_files(tmp_path / "other")
    assert read_lines(path.read_bytes()) == ([Spooled("job", finish(0))], 0)


async def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    spool = Spool(tmp_path / "file" / "spool")
    await spool.keep("job", [finish(0)])
    assert "the spool cannot be written" in capsys.readouterr().out
    assert len(spool) == 1
