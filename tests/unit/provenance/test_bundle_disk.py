"""A bundle on a disk that fills up."""

from __future__ import annotations

import errno
import io
from pathlib import Path

import pytest

from beacon.errors import UnavailableError
from beacon.provenance import bundle
from tests.sealing import sealed_job


class _Full(io.BytesIO):
    """Takes what is written, and has no room for it when it is closed: what a buffered file on a full disk does."""

    def __exit__(self, *_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def seek(self, *_: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_is_full_is_told_with_the_file_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    job = sealed_job(tmp_path)
    monkeypatch.setattr(bundle.tempfile, "TemporaryFile", lambda **_: _Full())
    path = tmp_path / "out" / "job.zip"
    path.parent.mkdir()
    with pytest.raises(UnavailableError, match="cannot write the bundle: No space left on device") as refused:
        job.write(path)
    assert refused.value.where == str(path)
    assert refused.value.todo
    assert list(path.parent.iterdir()) == []
