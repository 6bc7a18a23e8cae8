"""Writes docs/timeouts.md, the one list of every time limit, from the code; or prints it with `-`.

Constants are found by their names, which end in `_S` (seconds); what is said of them is the text that stands under
them in the code. Places where something waits are found by what they call. Simulated providers are left out.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from pathlib import Path

import uvicorn

from beacon.domain.fleet import Provider
from beacon.domain.spec import Limits
from beacon.router.transports.connection import KEEPALIVE_OPTIONS

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "beacon"
PUBLISHED = ROOT / "docs" / "timeouts.md"
LEFT_OUT = ("lab", "analysis")
"""Rooms that are no part of any path: simulations, and pure functions."""
CONSTANT = re.compile(r"_?[A-Z][A-Z0-9_]*_S")
WAITS = {"asyncio.timeout", "asyncio.wait_for", "asyncio.wait", "aiohttp.ClientTimeout", "ClientTimeout"}
ROOMS = {
    "domain": "Contracts",
    "router": "On the way to a provider",
    "gateway": "In the gateway",
    "runner": "In the runner",
    "agent": "In the agent",
    "mailbox": "In a mailbox",
    "store": "In the databases",
    "provenance": "In the databases",
    "web": "In the portal and the API",
    "cli": "On the command line",
}
ELSEWHERE = "Elsewhere"
DERIVED = re.compile("left|cold_start")
HEAD = """# Time limits

Written by `make timeouts` from the code; a test fails while the two differ. Every duration is in seconds.

## The deadline

One limit ends an inference: the execution's deadline. It begins when the first attempt is written, covers all
attempts, and every hop derives its own wait from what is left; the rest travels on as `X-Beacon-Deadline-Ms`. When it
passes, the execution ends as `timed_out` (`deadline_expired`, or `cold_start_expired` while its provider was still
starting), and the sentence names the hop and the time each stage took.

| what sets it | default | what it does |
|---|---|---|
"""
AFTER_DEADLINE = """
These waits are derived from it, or from the provider's `cold_start`, each by the expression that stands in the code:

| where | how long it waits |
|---|---|
"""
OTHERS = """
## Everything else that is measured in seconds

None of these ends an inference. They end one try of what may be repeated, space tries out, or concern no inference.
"""


@dataclass(frozen=True, slots=True)
class Constant:
    """`says` is the text under it in the code, None where there is none."""

    module: str
    name: str
    value: float
    says: str | None


@dataclass(frozen=True, slots=True)
class Wait:
    """`bounds` are the arguments that say how long, as they stand in the code."""

    place: str
    bounds: tuple[ast.expr, ...]

    @property
    def told(self) -> str:
        return ", ".join(ast.unparse(bound) for bound in self.bounds)

    @property
    def literal(self) -> bool:
        return any(isinstance(bound, ast.Constant) and bound.value is not None for bound in self.bounds)


def constants() -> list[Constant]:
    found = []
    for path in _modules():
        body = ast.parse(path.read_text(encoding="utf-8")).body
        for place, node in enumerate(body):
            if isinstance(node, ast.Assign) and isinstance(target := node.targets[0], ast.Name):
                if CONSTANT.fullmatch(target.id) is None:
                    continue
                value = getattr(import_module(_dotted(path)), target.id)
                found.append(Constant(_dotted(path), target.id, value, _text(body[place + 1 : place + 2])))
    return found


def waits() -> list[Wait]:
    return [wait for path in _modules() for wait in _waits_in(path)]


def _waits_in(path: Path) -> Iterator[Wait]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.Call):
                named = ast.unparse(node.func)
                bounds = [word.value for word in node.keywords if word.arg == "timeout"]
                if named in WAITS:
                    at = {"asyncio.timeout": 0, "asyncio.wait_for": 1}.get(named)
                    bounds += node.args[at : at + 1] if at is not None else []
                if bounds:
                    yield Wait(f"{_dotted(path)}.{function.name}", tuple(bounds))


def document() -> str:
    lines = [HEAD, *_deadlines(), AFTER_DEADLINE]
    lines += [f"| `{wait.place}` | `{wait.told}` |\n" for wait in waits() if DERIVED.search(wait.told)]
    lines.append(OTHERS)
    everything = constants()
    for title in dict.fromkeys([*ROOMS.values(), ELSEWHERE]):
        rows = [c for c in everything if ROOMS.get(c.module.split(".")[1], ELSEWHERE) == title]
        if rows or title == ROOMS["router"]:
            lines.append(f"\n### {title}\n\n| limit | seconds | what it is for |\n|---|---|---|\n")
            lines += [f"| `{c.module}.{c.name}` | {_seconds(c.value)} | {c.says} |\n" for c in rows]
        if title == ROOMS["router"]:
            options = ", ".join(f"`{name}` {value}" for name, value in KEEPALIVE_OPTIONS.items())
            lines.append(f"| TCP keep-alive | {options} | Probes keep a silent connection open and end no request. |\n")
        if title == ROOMS["web"]:
            kept = signature(uvicorn.Config).parameters["timeout_keep_alive"].default
            lines.append(f"| keep-alive of uvicorn | {_seconds(kept)} | Closes an idle connection. |\n")
    return "".join(lines)


def _deadlines() -> Iterator[str]:
    limits = {name: field.default for name, field in Limits.model_fields.items()}
    yield _row("`limits.execution_deadline` of the job", limits["execution_deadline"], "The execution's deadline.")
    does = (
        "Ends what is still open when it passes, as `job_deadline`, status `cancelled`; counted from the job's start."
    )
    yield _row("`limits.job_deadline` of the job", limits["job_deadline"], does)
    does = "Is added to the deadline once, where the provider is not known to be warm as the attempt is written."
    yield _row("`cold_start` of the provider", Provider.model_fields["cold_start"].default, does)
    does = (
        "No work for the provider for so long, 300 s at most, then it is tried again; an execution whose deadline "
        "would pass meanwhile ends at once."
    )
    yield _row("`Retry-After` of the provider", None, does)


def _row(what: str, default: float | None, does: str) -> str:
    return f"| {what} | {'none' if default is None else _seconds(default)} | {does} |\n"


def _seconds(value: float) -> str:
    return f"{value:,.3f}".rstrip("0").rstrip(".")


def _modules() -> Iterator[Path]:
    for path in sorted(SOURCE.rglob("*.py")):
        if path.relative_to(SOURCE).parts[0] not in LEFT_OUT:
            yield path


def _dotted(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)


def _text(following: list[ast.stmt]) -> str | None:
    for node in following:
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return " ".join(node.value.value.split()).replace("|", "\\|")
    return None


if __name__ == "__main__":
    if sys.argv[1:] == ["-"]:
        sys.stdout.write(document())
    else:
        PUBLISHED.write_text(document(), encoding="utf-8")
