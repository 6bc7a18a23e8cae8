"""Three models behind vLLM in three regions on Modal: one web endpoint a model and region.

    modal deploy deploy/modal/app.py

Settings are read from the environment of that command; README.md beside this file lists them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import modal

VLLM = os.environ.get("BEACON_VLLM", "0.33.0")
PORT = 8000
START_S = 10 * 60
"""How long a container may take to load its model."""
RUN_S = 60 * 60
"""How long one request may run. Modal answers with a redirect every 150 s meanwhile."""

GPU = "L4"
"""The same for every model and region: other hardware may round otherwise, and so answer otherwise."""
REGIONS = {"us": "us", "eu": "eu", "apac": "ap"}
"""Beacon's names, and Modal's broad regions, which are cheaper and start faster than narrow ones."""


@dataclass(frozen=True)
class Served:
    """A model: where its weights are, and how long a context it is served with."""

    repository: str
    context: int = 8192


MODELS = {
    "llama3.2-1b": Served("meta-llama/Llama-3.2-1B-Instruct"),
    "qwen2.5-1.5b": Served("Qwen/Qwen2.5-1.5B-Instruct"),
    "mistral-7b": Served("mistralai/Mistral-7B-Instruct-v0.3"),
}

WARM = {"never": 0, "prewarm": 0, "window": 0, "always": 1}
"""Containers kept while nobody asks, by Beacon's keep-warm policies. With `prewarm` and `window` it is Beacon that
wakes an endpoint and keeps it awake, by `keep_warm` in the fleet."""

keep_warm = os.environ.get("BEACON_KEEP_WARM", "never")
idle_s = int(os.environ.get("BEACON_IDLE_S", "300"))
most_containers = int(os.environ.get("BEACON_MAX_CONTAINERS", "1"))
at_once = int(os.environ.get("BEACON_CONCURRENCY", "32"))
if keep_warm not in WARM:
    raise SystemExit(f"BEACON_KEEP_WARM is {keep_warm!r}; choose one of {', '.join(WARM)}")

app = modal.App("beacon")
weights = modal.Volume.from_name("beacon-weights", create_if_missing=True)
# What is serialized here is read there by the same version of Python.
image = (
    modal.Image.debian_slim(python_version=f"{sys.version_info.major}.{sys.version_info.minor}")
    .uv_pip_install(f"vllm=={VLLM}")
    .env({"HF_HOME": "/weights", "PYTHONPATH": "/beacon"})
    .add_local_file(Path(__file__).parent / "region_header.py", "/beacon/region_header.py")
)


def command(name: str, model: Served) -> list[str]:
    """vLLM under Beacon's name for the model, which is what it then echoes."""
    return [
        *("vllm", "serve", model.repository, "--served-model-name", name),
        *("--host", "0.0.0.0", "--port", str(PORT)),
        *("--max-model-len", str(model.context), "--max-num-seqs", str(at_once)),
        *("--middleware", "region_header.RegionHeader"),
    ]


def label(name: str, region: str) -> str:
    """The endpoint's part of its address: letters, digits and hyphens."""
    return f"beacon-{name.replace('.', '-')}-{region}"


def add(name: str, model: Served, region: str) -> None:
    """One web endpoint, behind Modal's proxy token."""
    arguments = command(name, model)

    def serve() -> None:
        # It may use nothing of this file but its own variables: it travels without the file.
        subprocess.Popen(arguments)

    endpoint = modal.web_server(PORT, startup_timeout=START_S, label=label(name, region), requires_proxy_auth=True)
    several = modal.concurrent(max_inputs=at_once)
    function = app.function(
        name=label(name, region),
        image=image,
        gpu=GPU,
        region=REGIONS[region],
        volumes={"/weights": weights},
        secrets=[modal.Secret.from_name("huggingface", required_keys=["HF_TOKEN"])],
        min_containers=WARM[keep_warm],
        max_containers=most_containers,
        scaledown_window=idle_s,
        startup_timeout=START_S,
        timeout=RUN_S,
        serialized=True,
    )
    function(several(endpoint(serve)))


for model_name, served in MODELS.items():
    for region_name in REGIONS:
        add(model_name, served, region_name)
