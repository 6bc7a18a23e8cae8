"""Asking the processes of a lab about themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import aiohttp


async def ask(urls: Sequence[str], method: str, path: str) -> list[dict[str, Any]]:
    """What each answers, in their order. Raises aiohttp's errors."""
    answers = []
    async with aiohttp.ClientSession() as session:
        for url in urls:
            async with session.request(method, url + path) as response:
                response.raise_for_status()
                answers.append(await response.json())
    return answers
