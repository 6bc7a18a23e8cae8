"""`beacon classify FILE`: JSON lines in, JSON lines out, and the line that is at fault by its number."""

from __future__ import annotations

import errno
import gzip
import io
import json
import sys
from pathlib import Path

import pytest

from beacon.cli.classify import classify
from beacon.cli.sink import sink
from beacon.errors import ExitCode, InputError, UnavailableError

REFUSAL = {"prompt": "x", "answer": "抱歉，我无法讨论这个话题。", "finish_reason": "stop", "language": "zh"}
LINE = json.dumps(REFUSAL, ensure_ascii=False)


@pytest.fixture
def answers(tmp_path):
    def write(*lines: str | bytes):
        file = tmp_path / "answers.jsonl"
        file.write_bytes(b"\n".join(line if isinstance(line, bytes) else line.encode() for line in lines) + b"\n")
        return file

    return write


def test_each_row_is_written_to_stdout_with_its_label(answers, capsys) -> None:
    classify(answers(LINE, "", '{"answer": ""}'))
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first.items() >= REFUSAL.items()
    assert first["label"] == "refusal"
    assert second["label"] == "failure"


def test_output_goes_to_a_file_that_may_be_the_input_itself(answers, capsys) -> None:
    file = answers(LINE)
    classify(file, output=file)
    assert capsys.readouterr().out == ""
    assert json.loads(file.read_text("utf-8"))["label"] == "refusal"


def test_compressed_files_are_read(tmp_path, capsys) -> None:
    file = tmp_path / "answers.jsonl.gz"
    file.write_bytes(gzip.compress(LINE.encode()))
    classify(file)
    assert json.loads(capsys.readouterr().out)["label"] == "refusal"


def test_stdin_is_read_where_the_file_is_a_dash(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LINE.encode())))
    classify(Path("-"))
    assert json.loads(capsys.readouterr().out)["label"] == "refusal"


def test_half_a_character_is_written_as_its_escape(answers, tmp_path) -> None:
    output = tmp_path / "labelled.jsonl"
    classify(answers(r'{"answer": "\ud83d I cannot help with that"}'), output=output)
    assert json.loads(output.read_text("utf-8"))["answer"].startswith("\ud83d")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{bad", "not JSON"),
        (b'{"answer": "\xff"}', "not UTF-8"),
        ("[1]", "JSON object"),
        ('{"text": "x"}', "no `answer`"),
        ('{"answer": 1}', "has to be a string"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_line_at_fault_is_named_and_no_output_file_is_left(answers, tmp_path, line, what) -> None:
    file, output = answers(LINE, "", line), tmp_path / "labelled.jsonl"
    with pytest.raises(InputError) as refused:
        classify(file, output=output)
    assert what in refused.value.what
    assert refused.value.where == f"{file}:3"
    assert not output.exists()
    assert list(tmp_path.iterdir()) == [file]


def test_of_a_file_with_a_line_at_fault_nothing_is_written_to_stdout_either(answers, capsys) -> None:
    with pytest.raises(InputError):
        classify(answers(LINE, LINE, "{bad"))
    assert capsys.readouterr().out == ""


def test_a_pipe_says_how_many_rows_were_written_before_the_line_at_fault(monkeypatch, capsys) -> None:
    lines = f"{LINE}\n{LINE}\n{{bad\n{LINE}\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines.encode())))
    with pytest.raises(InputError, match="not JSON") as refused:
        classify(Path("-"))
    assert refused.value.where == "stdin:3"
    assert refused.value.todo.startswith("the 2 rows before it were written whole, the rest was not read")
    assert refused.value.exit_code == ExitCode.BAD_INPUT
    assert [json.loads(row)["label"] for row in capsys.readouterr().out.splitlines()] == ["refusal", "refusal"]


def test_a_file_that_is_not_there_or_broken_is_said_to_be(tmp_path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        classify(tmp_path / "nothing.jsonl")
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(gzip.compress(LINE.encode() * 50)[:-12])
    with pytest.raises(InputError, match="cannot read"):
        classify(cut)


def test_an_output_whose_name_cannot_be_that_of_a_file_says_why(answers, tmp_path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for output in (tmp_path / "nowhere" / "labelled.jsonl", tmp_path / "folder", tmp_path / "file" / "labelled.jsonl"):
        with pytest.raises(InputError, match=r"cannot write .* folder") as refused:
            classify(answers(LINE), output=output)
        assert refused.value.todo == "name a file in a folder that exists"


def test_a_disk_that_is_full_is_told_apart_from_a_wrong_name(tmp_path) -> None:
    with pytest.raises(UnavailableError, match="No space left") as refused, sink(tmp_path / "rows.jsonl"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert refused.value.todo
    assert list(tmp_path.iterdir()) == []
