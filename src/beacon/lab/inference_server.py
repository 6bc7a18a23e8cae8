"""A real inference server (llama.cpp's, from the package xllamacpp) in the foreground, for one model file.

    python -m beacon.lab.inference_server MODEL.gguf PORT NAME

It speaks the OpenAI API under the model name NAME, prints one JSON line with its address once it answers, and ends
when its standard input does, so that it never outlives who started it.
"""

from __future__ import annotations

import json
import sys

import xllamacpp

CONTEXT_TOKENS = 4096
PARALLEL = 2


def serve(model: str, port: int, name: str) -> None:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = model
    parameters.model_alias = {name}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = PARALLEL
    # llama.cpp's threads wait for each other by spinning; more of them than free cores come to a standstill.
    parameters.cpuparams.n_threads = 1
    parameters.warmup = False
    server = xllamacpp.Server(parameters)
    print(json.dumps({"url": f"{server.listening_address}/v1"}), flush=True)
    sys.stdin.buffer.read()


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), sys.argv[3])
