"""`beacon verify`: checks a bundle offline, without the database that it came from."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from beacon.cli.settings import JsonOption
from beacon.cli.terminal import console, visible
from beacon.errors import ExitCode
from beacon.provenance.keys import load_public
from beacon.verify.bundle import verify_bundle
from beacon.verify.result import Step, VerifyResult

MARKS = {"passed": ("✓", "green"), "failed": ("✗", "bold red"), "not_run": ("–", "yellow")}


def verify(
    bundle: Annotated[Path, Parameter(help="A bundle, the .zip that `beacon export --format bundle` wrote.")],
    /,
    *,
    key: Annotated[Path | None, Parameter(help="The public key that must have signed it, in PEM.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Check offline that a bundle is what was sealed: its signature, every receipt and answer, that none is missing.

    Exits with 0 when it holds and with 4 when it does not; what was altered is named. Needs no database and no
    network. Without `--key` it shows that nothing changed since some key signed it, not whose key that is.

    Example: `beacon verify job.zip --key their-key.pem`
    """
    trusted = None if key is None else load_public(key)
    result = verify_bundle(bundle, trusted_key=trusted)
    if as_json:
        print(json.dumps(result.to_document(), ensure_ascii=False))
    else:
        _print(result)
    return ExitCode.DONE if result.ok else ExitCode.VERIFICATION_FAILED


def _print(result: VerifyResult) -> None:
    out = console()
    if result.job_id is not None and result.sealed_at is not None:
        moment = datetime.fromtimestamp(result.sealed_at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        out.print(Text(visible(f"job {result.job_id}, generation {result.generation}, sealed {moment}")))
    for step in result.steps:
        for line in _lines(step):
            out.print(line)
    for note in result.notes:
        out.print(Text(f"note: {visible(note)}", style="dim"))
    verdict = ("The bundle holds.", "bold green") if result.ok else ("The bundle does NOT hold.", "bold red")
    out.print(Text(*verdict))


def _lines(step: Step) -> list[Text]:
    mark, style = MARKS[step.status]
    detail = f": {step.detail}" if step.detail else ""
    if step.status == "not_run":
        detail = f": not checked{f', {step.detail}' if step.detail else ''}"
    head = Text.assemble((mark, style), f" {step.number} {step.name}", (visible(detail), "dim"))
    named = [Text(f"    {visible(str(alteration))}", style=style) for alteration in step.alterations]
    further = [Text(f"    and {step.further:,} more", style=style)] if step.further else []
    return [head, *named, *further]
