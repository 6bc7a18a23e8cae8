"""The fault matrix as it is committed: `matrix.yaml`, read into rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from beacon.lab.toxics import Toxic

TABLE = yaml.safe_load((Path(__file__).parent / "matrix.yaml").read_text("utf-8"))
PROVIDER_FAULTS: dict[str, dict[str, Any]] = TABLE["provider_faults"]
NETWORK_FAULTS = {
    name: tuple(Toxic.model_validate(toxic) for toxic in toxics) for name, toxics in TABLE["network_faults"].items()
}
SLOW = ".slow"
MODELS = [name + pace for name in PROVIDER_FAULTS for pace in ("", SLOW)]
TRANSPORTS = ("openai", "openai_stream", "agent", "agent_behind")


@dataclass(frozen=True)
class Row:
    """What one pair of faults comes to: in the `first` attempt, and in the `last` one that the policy makes."""

    transport: str
    provider_fault: str
    network_fault: str
    first: str
    last: str

    @property
    def name(self) -> str:
        return f"{self.transport}/{self.provider_fault}/{self.network_fault}"

    @property
    def cut_by_the_clock(self) -> bool:
        return any(toxic.after or toxic.idle for toxic in NETWORK_FAULTS[self.network_fault])

    @property
    def model(self) -> str:
        """A cut by the clock strikes a model that is so slow that a slow machine makes no difference."""
        return self.provider_fault + (SLOW if self.cut_by_the_clock else "")

    @property
    def ends_by_deadline(self) -> bool:
        return "expired@" in f"{self.first} {self.last}"


def applies(provider_fault: str, transport: str) -> bool:
    """Losing a result takes a mailbox."""
    return transport.startswith("agent") or "world" in PROVIDER_FAULTS[provider_fault] or provider_fault == "none"


def rows(transport: str) -> list[Row]:
    found = []
    for provider_fault, lines in TABLE["expected"][transport].items():
        for line in lines:
            found += [
                Row(transport, provider_fault, network, line["first"], line.get("last", line["first"]))
                for network in (NETWORK_FAULTS if line["network"] == "all" else line["network"])
            ]
    return found
