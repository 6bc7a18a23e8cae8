"""What the lab was asked and did, and which text it must have answered."""

from __future__ import annotations

from typing import Any

from beacon.domain.answer import Answer
from beacon.lab.completion import ChatRequest
from beacon.lab.knowledge import Asked
from beacon.lab.script import Scriptwriter
from beacon.lab.world import read_world

FINISHED = {"substantive", "empty", "content_filter", "retracted"}
"""Outcomes of requests that the lab answered to the end."""


class Expectation:
    """`requests` are the rows that the lab keeps. Its answers are drawn from its seed, so they can be told here."""

    def __init__(self, world: str, region: str, seed: int, requests: list[dict[str, Any]]) -> None:
        self._writer = Scriptwriter(read_world(world), region, seed)
        self._region = region
        self._requests: dict[str, list[dict[str, Any]]] = {}
        for request in requests:
            self._requests.setdefault(request["key"], []).append(request)

    def times_asked(self, key: str) -> int:
        return len(self._requests.get(key, ()))

    def finished(self, key: str) -> bool:
        return any(request["outcome"] in FINISHED for request in self._requests.get(key, ()))

    def text(self, key: str) -> str:
        """What was answered under the key."""
        (request,) = self._requests[key]
        asked = ChatRequest(request["model"], (), stream=False, include_usage=False, max_tokens=400)
        script = self._writer.write(
            request["model"], asked, Asked("", "en", None), request["prompt"], request["n"], request["attempt"]
        )
        return "".join(script.completion.tokens)

    def faults_of_answer(self, key: str, answer: Answer) -> list[str]:
        """An answer to something else, of another model or from another region."""
        if not self.finished(key):
            return [f"{key} has an answer that the lab did not give"]
        (request,) = self._requests[key]
        found = [] if answer.text == self.text(key) else [f"{key} has the answer to something else"]
        if answer.model_echoed != request["model"]:
            found.append(f"{key} was answered by {answer.model_echoed}")
        if answer.region_stated != self._region:
            found.append(f"{key} was answered in {answer.region_stated}")
        return found
