"""What the steps share: the open archive, the seal, and which receipts have been proven."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from beacon.domain.spec import JobSpec
from beacon.errors import VerificationError
from beacon.provenance.archive import Archive
from beacon.provenance.bundle import RECEIPTS
from beacon.provenance.receipt import MAX_LINE_BYTES, Receipt, parse_receipt
from beacon.provenance.seal import Seal


@dataclass(slots=True)
class Evidence:
    """`unproven_lines` are the numbers, from 1, of receipts that are not in the sealed tree, `unproven` the
    executions whose receipts are thereby altered or missing; the step that finds them names them, later ones pass
    them over. `proven` is False where not even the others are those that were sealed. `spec` is None unless it is
    the one that was sealed.
    """

    archive: Archive
    seal: Seal
    spec: JobSpec | None = None
    proven: bool = False
    unproven_lines: set[int] = field(default_factory=set)
    unproven: set[str] = field(default_factory=set)
    region_evidence: dict[str, int] = field(default_factory=dict)
    log_origin: str | None = None

    def receipts(self) -> Iterator[Receipt]:
        """The proven receipts in the order in which they stand. Raises VerificationError where one has no form."""
        for number, line in enumerate(self.archive.lines(RECEIPTS, MAX_LINE_BYTES), start=1):
            if number in self.unproven_lines:
                continue
            try:
                receipt = parse_receipt(line, RECEIPTS)
            except VerificationError as error:
                raise VerificationError(f"line {number}: {error.what}", where=RECEIPTS) from None
            yield receipt

    @property
    def passed_over(self) -> str:
        """For a step's detail."""
        count = len(self.unproven)
        return f"; {count} passed over, because their receipts were altered" if count else ""
