"""The commands in docs/evidence.md do what the page says."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from beacon.provenance.bundle import LEAVES, RECEIPTS, RESULTS, SPEC
from tests.sealing import JOB, SealedJob, change_line, members_of, pack

PAGE = Path(__file__).parents[3] / "docs" / "evidence.md"
TOOLS = ("bash", "unzip", "openssl", "sha256sum", "base64")


@pytest.fixture
def by_hand():
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    script = "set -eo pipefail\n" + "\n".join(blocks)

    def run(directory: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", "-c", script], cwd=directory, capture_output=True, text=True)

    return run


def test_a_bundle_is_checked_by_hand(by_hand, tmp_path: Path, job: SealedJob, sealed_bundle: Path):
    shutil.copy(sealed_bundle, tmp_path / "job.zip")
    done = by_hand(tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines.count("Signature Verified Successfully") == 2
    assert f"{job.key.public.key_id}  -" in lines
    assert "spec is as it was sealed" in lines
    assert "report is as it was sealed" in lines
    assert f"the answer of {JOB}-000002 is as it was sealed" in lines
    assert "the receipts are those that were sealed" in lines


@pytest.mark.parametrize(
    ("name", "said", "unsaid"),
    [
        (RESULTS, b"Answer 2", f"the answer of {JOB}-000002 is as it was sealed"),
        (RECEIPTS, b'"attempts":2', f"the answer of {JOB}-000002 is as it was sealed"),
        (LEAVES, b"", "the receipts are those that were sealed"),
        (SPEC, b"A job", "spec is as it was sealed"),
    ],
)
def test_what_was_altered_is_found_by_hand(by_hand, tmp_path: Path, sealed_bundle: Path, name, said, unsaid):
    members = members_of(sealed_bundle)
    number = 0 if name == SPEC else 2
    said = said or members[name].split(b"\n")[number]
    altered = said[:-1] + (b"4" if said.endswith(b"3") else b"3")
    pack(tmp_path / "job.zip", members | {name: change_line(members[name], number, said, altered)})
    assert unsaid not in by_hand(tmp_path).stdout
