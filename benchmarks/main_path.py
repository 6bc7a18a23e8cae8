"""The main path against its limits, in one run: prints figures, asserts nothing.

1. Throughput: a job of N executions against a lab without latency, beside a bare aiohttp loop that sends the same
   requests with the same number in flight; non-streaming and streaming. The bare loop runs before and after each job,
   several rounds, and the share is the median of the rounds. Beacon runs on uvloop, as it always does; the bare loop
   is printed on asyncio's own event loop, against which the share is taken, and on uvloop.
2. Memory: the process of a 1,000-execution job.
3. Schedule: latencies of 0.3 to 0.9 s and one slow region, beside the ideal computed from the lab's own record.

    python benchmarks/main_path.py [--executions 5000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import uvloop
import yaml

from beacon.lab.fleet import Lab, start_lab

MODELS = ["llama3.2-1b", "qwen2.5-1.5b", "mistral-7b"]
REGIONS = ["us", "eu", "apac"]
IN_FLIGHT = 64
"""Requests in flight at each of the three providers."""


@dataclass(frozen=True)
class Run:
    """One job: seconds from its creation to the barrier and to its end, and the process's peak memory."""

    executions: int
    to_barrier_s: float
    to_end_s: float
    barrier_gap_ms: float
    peak_mb: float

    @property
    def rate(self) -> float:
        return self.executions / self.to_barrier_s


def spec(executions: int, questions: int = 20) -> dict[str, Any]:
    repeats = -(-executions // (questions * len(MODELS) * len(REGIONS)))
    return {
        "schema": "beacon.job/v1",
        "name": f"Benchmark of {executions}",
        "questions": [{"id": f"q{n}", "text": f"What is the square of {n}?"} for n in range(questions)],
        "models": MODELS,
        "regions": REGIONS,
        "repeats": repeats,
        "seed": 1,
    }


def fleet(lab: Lab, **changes: Any) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(lab.fleet_yaml())
    for provider in document["providers"]:
        provider.update(changes)
    return document


def beacon_run(folder: Path, lab: Lab, job: dict[str, Any], **changes: Any) -> Run:
    """Runs the job with the real command in a process of its own."""
    (folder / "spec.yaml").write_text(yaml.safe_dump(job))
    (folder / "fleet.yaml").write_text(yaml.safe_dump(fleet(lab, **changes)))
    database = folder / "bench.db"
    for leftover in folder.glob("bench.db*"):
        leftover.unlink()
    command = [sys.executable, "-m", "beacon.cli.main", "run", "spec.yaml", "--fleet", "fleet.yaml", "--json"]
    environment = {**os.environ, "BEACON_DATABASE_URL": f"sqlite:///{database}"}
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, peak_memory_mb(process.pid))
            time.sleep(0.02)
        output, errors = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"the benchmark's job did not succeed:\n{output.decode()}\n{errors.decode()}")
    document = json.loads(output)
    with sqlite3.connect(database) as connection:
        created, barrier, end = connection.execute(
            "SELECT created_at, finalizing_at, completed_at FROM jobs"
        ).fetchone()
    connection.close()
    total = document["counts"]["completed"]
    return Run(total, barrier - created, end - created, document["barrier_gap_ms"], peak)


def peak_memory_mb(pid: int) -> float:
    """VmHWM of the process itself, without its children (proc(5)); 0 where it is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    peaks = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(peaks[0].split()[1]) / 1024 if peaks else 0.0


def bare_rate(urls: list[tuple[str, list[str]]], executions: int, *, stream: bool, loop: str = "asyncio") -> float:
    """Requests a second of a client, in a process of its own, that only sends the requests and reads the answers."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_bare_process, urls, executions, stream, loop).result()


def _bare_process(urls: list[tuple[str, list[str]]], executions: int, stream: bool, loop: str) -> float:
    run = uvloop.run if loop == "uvloop" else asyncio.run
    return run(_bare_loop(urls, executions, stream))


async def _bare_loop(urls: list[tuple[str, list[str]]], executions: int, stream: bool) -> float:
    share = executions // len(urls)
    began = time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(
            *(
                _bare_worker(session, url, models, share // IN_FLIGHT + (n < share % IN_FLIGHT), stream)
                for url, models in urls
                for n in range(IN_FLIGHT)
            )
        )
    return share * len(urls) / (time.perf_counter() - began)


async def _bare_worker(session: aiohttp.ClientSession, url: str, models: list[str], count: int, stream: bool) -> None:
    for number in range(count):
        body = {
            "model": models[number % len(models)],
            "messages": [{"role": "user", "content": f"What is the square of {number % 20}?"}],
            "temperature": 0.7,
            "max_tokens": 400,
            "stream": stream,
        } | ({"stream_options": {"include_usage": True}} if stream else {})
        async with session.post(f"{url}/chat/completions", json=body) as response:
            payload = await response.read()
            if response.status != 200 or not payload:
                raise SystemExit(f"the lab answered {response.status} to the bare loop")


async def throughput(folder: Path, executions: int, rounds: int) -> None:
    print(f"Throughput: {executions} executions, {IN_FLIGHT} in flight at each of {len(REGIONS)} providers")
    async with start_lab("instant", record=False) as lab:
        urls = [(str(provider.url), list(provider.models.values())) for provider in lab.fleet.providers]
        for stream in (False, True):
            print(f"  {'streaming' if stream else 'not streaming'}")
            await asyncio.to_thread(_beside_bare, folder, lab, urls, executions, rounds, stream)


def _beside_bare(
    folder: Path, lab: Lab, urls: list[tuple[str, list[str]]], executions: int, rounds: int, stream: bool
) -> None:
    shares = []
    before = bare_rate(urls, executions, stream=stream)
    for _ in range(rounds):
        run = beacon_run(folder, lab, spec(executions), stream=stream, concurrency=IN_FLIGHT)
        after = bare_rate(urls, executions, stream=stream)
        shares.append(run.rate / ((before + after) / 2))
        print(
            f"    bare loop {before:5.0f} and {after:5.0f}/s   beacon {run.rate:5.0f}/s   share {shares[-1]:4.0%}"
            f"   barrier gap {run.barrier_gap_ms:.1f} ms, end {run.to_end_s - run.to_barrier_s:.2f} s later"
        )
        before = after
    on_uvloop = bare_rate(urls, executions, stream=stream, loop="uvloop")
    print(f"    share, median of {rounds} rounds: {median(shares):.0%}   (bare loop on uvloop {on_uvloop:.0f}/s)")


async def memory(folder: Path) -> None:
    async with start_lab("instant", record=False) as lab:
        run = await asyncio.to_thread(beacon_run, folder, lab, spec(1_000), concurrency=IN_FLIGHT)
    print(f"Memory: peak of the process of a {run.executions}-execution job {run.peak_mb:.0f} MB")


async def schedule(folder: Path, slots: int, executions: int) -> None:
    """Ideal: the larger of the longest latency and, over providers, the sum of latencies over concurrency."""
    async with start_lab("slow") as lab:
        run = await asyncio.to_thread(beacon_run, folder, lab, spec(executions), concurrency=slots)
        requests = await lab.requests()
    by_region: dict[str, list[float]] = defaultdict(list)
    for request in requests:
        by_region[request["region"]].append(request["latency_ms"] / 1000)
    sums = {region: sum(latencies) / slots for region, latencies in by_region.items()}
    ideal = max(max(map(max, by_region.values())), *sums.values())
    print(f"Schedule: {run.executions} executions, {slots} slots a provider, one provider a region")
    for region, seconds in sums.items():
        print(f"  {region:5} {len(by_region[region])} requests, {seconds:.2f} s of latency a slot")
    print(f"  ideal {ideal:.2f} s   job to its barrier {run.to_barrier_s:.2f} s ({run.to_barrier_s / ideal - 1:+.1%})")
    print(f"  job to its end {run.to_end_s:.2f} s ({run.to_end_s / ideal - 1:+.1%})")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--executions", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        await throughput(Path(name), arguments.executions, arguments.rounds)
        await memory(Path(name))
        await schedule(Path(name), slots=8, executions=540)


if __name__ == "__main__":
    asyncio.run(main())
