"""The part of `beacon plan` on cold starts: what each policy would cost and save."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from cyclopts import Parameter, validators
from rich.console import Console
from rich.table import Table
from rich.text import Text

from beacon.cli.progress import span
from beacon.cli.terminal import UNKNOWN, dollars, visible
from beacon.domain.keep_warm import HOURS_A_MONTH, RUNS_A_MONTH, ProviderCost

RunsOption = Annotated[
    float,
    Parameter(
        name="--runs-per-month",
        validator=validators.Number(gt=0, lte=100_000),
        help="Jobs like this one a month, for the cost of keeping providers warm.",
    ),
]
WindowOption = Annotated[
    float | None,
    Parameter(
        name="--window-hours",
        validator=validators.Number(gte=0, lte=HOURS_A_MONTH),
        help="Hours that `keep_warm: window` keeps a provider warm after a job; default each one's warm_window.",
    ),
]


@dataclass(frozen=True, slots=True)
class KeepWarmPlan:
    """`job_saves_s` is how much sooner the job ends with all of its providers warm; None where it is not known."""

    runs_a_month: float
    providers: Sequence[ProviderCost]
    job_saves_s: float | None

    def document(self) -> dict[str, Any]:
        """As JSON values; what is unknown is null."""
        return {
            "runs_a_month": self.runs_a_month,
            "hours_a_month": HOURS_A_MONTH,
            "job_saves_s": self.job_saves_s,
            "providers": [asdict(provider) for provider in self.providers],
            "assumptions": self.assumptions(),
        }

    def assumptions(self) -> list[str]:
        if not self.providers:
            return []
        default = ", the default" if self.runs_a_month == RUNS_A_MONTH else ""
        windows = sorted({provider.window_hours for provider in self.providers})
        told = " or ".join(f"{hours:g} h" for hours in windows)
        said = [
            f"keep warm: {self.runs_a_month:g} jobs like this one a month{default} (--runs-per-month); a window "
            f"lasts {told} after each (--window-hours); a month has {HOURS_A_MONTH:g} h",
            "keep warm: hours beyond the jobs' own use, which is paid for under every policy alike",
            "keep warm: `window` saves the start of a job that begins within the window of the one before; `prewarm` "
            "starts a provider with the job, which saves requests that would be answered 503, and no time",
        ]
        unpriced = [provider.provider for provider in self.providers if provider.usd_per_hour is None]
        if unpriced:
            said.append(f"keep warm: the fleet gives no cost.warm_per_hour for {', '.join(unpriced)}")
        return said

    def print(self, out: Console) -> None:
        if not self.providers:
            return
        out.print(Text("\nCold starts: what keeping a provider warm would cost and save", style="bold"))
        out.print(_table(self.providers))
        out.print(self._on_the_job())

    def _on_the_job(self) -> str:
        longest = max(provider.cold_start_s for provider in self.providers)
        if self.job_saves_s is None:
            return f"With all of them warm the job ends sooner by an unknown time, at most {span(longest)}."
        return f"With all of them warm the job ends about {span(self.job_saves_s)} sooner."


def _table(providers: Sequence[ProviderCost]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("provider", overflow="ellipsis", no_wrap=True)
    table.add_column("an hour", justify="right", no_wrap=True)
    table.add_column("policy", no_wrap=True)
    for name in ("warm h a month", "cost a month", "saves"):
        table.add_column(name, justify="right", no_wrap=True)
    for provider in providers:
        name, price = visible(provider.provider), _dollars(provider.usd_per_hour, places=3)
        for cost in provider.policies:
            now = " (now)" if cost.policy == provider.configured else ""
            hours, saved = f"{cost.warm_hours:,.4g}", f"{cost.saved_s:,.0f} s"
            table.add_row(name, price, f"{cost.policy}{now}", hours, _dollars(cost.usd), saved)
            name = price = ""
    return table


def _dollars(amount: float | None, places: int | None = None) -> str:
    if amount is None:
        return UNKNOWN
    return dollars(amount) if places is None else f"${amount:,.{places}f}"
