"""Evidence over the API: a sealed job as one file."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Query
from starlette.responses import StreamingResponse

from beacon.runner.bundle import write_bundle
from beacon.store import jobs
from beacon.web.api import PROBLEMS
from beacon.web.portal import Here

ZIP = "application/zip"
CHUNK_BYTES = 256 * 1024
_CONTENT = {ZIP: {"schema": {"type": "string", "format": "binary"}}}

router = APIRouter(prefix="/api/v1", responses=PROBLEMS)


@router.get(
    "/jobs/{job_id}/bundle",
    tags=["jobs"],
    response_class=StreamingResponse,
    responses={
        200: {"description": "the bundle", "content": _CONTENT},
        409: {**PROBLEMS[409], "description": "not sealed yet, or the database no longer holds what was sealed"},
    },
)
async def get_bundle(
    job_id: str, portal: Here, generation: Annotated[int | None, Query(ge=1, lt=2**31)] = None
) -> StreamingResponse:
    """The job as it was sealed last, or as its `generation` was, to be checked offline by `beacon verify`."""
    await portal.database.read(jobs.get, job_id)
    # The file loses its name at once and its space when it is closed, also where the client goes away.
    with tempfile.TemporaryDirectory(prefix="beacon-bundle-") as folder:
        path = Path(folder) / "bundle.zip"
        written = await write_bundle(portal.database, job_id, path, generation)
        file: BinaryIO = await asyncio.to_thread(open, path, "rb")
    headers = {
        "Content-Length": str(os.fstat(file.fileno()).st_size),
        "Content-Disposition": f'attachment; filename="{job_id}-{written}.zip"',
    }
    return StreamingResponse(_chunks(file), media_type=ZIP, headers=headers)


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
