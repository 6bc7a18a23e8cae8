"""Pictures as PNG, drawn in a process of its own.

The renderer holds Python's global lock for as long as it draws, up to seconds for a large picture, and the server's
event loop must not wait for that.
"""

from __future__ import annotations

import asyncio
import sys

from beacon.errors import UnavailableError

LONGEST_S = 30.0
"""For how long a PNG of a chart may take, waiting for others included, before the portal gives up on it."""
PROCESS = "beacon.web.figures.png_process"
# One after the other: a browser that asks for many takes one core at most.
_turn = asyncio.Semaphore(1)


async def drawn(svg: str) -> bytes:
    """Raises UnavailableError."""
    try:
        async with asyncio.timeout(LONGEST_S), _turn:
            return await _child(svg.encode())
    except TimeoutError as error:
        what = f"the picture was not drawn within {LONGEST_S:g} s"
        raise UnavailableError(what, todo="take it as SVG, or try again") from error


async def _child(svg: bytes) -> bytes:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", PROCESS, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        content, said = await process.communicate(svg)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        lines = said.decode(errors="replace").strip().splitlines()
        why = lines[-1] if lines else f"its process ended with {process.returncode}"
        raise UnavailableError(f"the picture cannot be drawn as PNG: {why}", todo="take it as SVG")
    return content
