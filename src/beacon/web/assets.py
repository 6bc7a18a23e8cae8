"""Static files: Beacon's own, and those of other people that the build brings.

All stand under one address that holds a hash of everything, so browsers may keep them for ever, and relative
addresses inside a stylesheet work unchanged. They are read once, at start.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from beacon.web.problems import RefusedError

STATIC = Path(__file__).parent / "static"
PREFIX = "/static"
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}
_WORTH_COMPRESSING = frozenset({".css", ".js", ".json", ".svg", ".txt"})


@dataclass(frozen=True, slots=True)
class Asset:
    content: bytes
    compressed: bytes | None
    media_type: str


@dataclass(frozen=True, slots=True)
class ThirdParty:
    """A package that a built file came from."""

    package: str
    version: str
    licence: str


class Assets:
    """Files by their logical name, such as `portal.css` or `fonts/beacon-text-latin.woff2`."""

    def __init__(self, files: dict[str, bytes], third_party: tuple[ThirdParty, ...] = ()) -> None:
        self.third_party = third_party
        self._assets = {name: _asset(name, content) for name, content in sorted(files.items())}
        digest = hashlib.sha256()
        for name, asset in self._assets.items():
            digest.update(f"{name}\0{len(asset.content)}\0".encode() + asset.content)
        self.version = digest.hexdigest()[:16]

    @classmethod
    def load(cls, root: Path = STATIC) -> Assets:
        """Own files from `src/`; built ones as `built/manifest.json` lists them, where the build has been run."""
        files = {path.name: path.read_bytes() for path in (root / "src").iterdir() if path.is_file()}
        built = _manifest(root / "built" / "manifest.json")
        for name in built:
            files[name] = (root / "built" / name).read_bytes()
        packages = dict.fromkeys(ThirdParty(e["package"], e["version"], e["licence"]) for e in built.values())
        return cls(files, tuple(packages))

    def __contains__(self, name: str) -> bool:
        return name in self._assets

    def content(self, name: str) -> bytes | None:
        """What the file holds; None where there is none."""
        asset = self._assets.get(name)
        return None if asset is None else asset.content

    @property
    def size_sent(self) -> int:
        """Bytes of all files as they go over the wire, the texts of licences left out, which no page asks for."""
        sent = (asset for name, asset in self._assets.items() if not name.endswith(".txt"))
        return sum(len(asset.compressed or asset.content) for asset in sent)

    def url(self, name: str) -> str:
        if name not in self._assets:
            raise KeyError(name)
        return f"{PREFIX}/{self.version}/{name}"

    def respond(self, request: Request, version: str, name: str) -> Response:
        """The file; under the address of another version it is served too, but not to be kept. Raises RefusedError."""
        asset = self._assets.get(name)
        if asset is None:
            raise RefusedError(404, f"there is no file {name!r}")
        current = version == self.version
        headers = {
            "Cache-Control": "public, max-age=31536000, immutable" if current else "no-cache",
            "Vary": "Accept-Encoding",
        }
        content = asset.content
        if asset.compressed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            content = asset.compressed
            headers["Content-Encoding"] = "gzip"
        return Response(content, headers=headers, media_type=asset.media_type)


def _manifest(path: Path) -> dict[str, dict[str, str]]:
    """Built files by name, as the build hook lists them; none where the build has not been run."""
    if not path.exists():
        return {}
    files: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))["files"]
    return files


def _asset(name: str, content: bytes) -> Asset:
    suffix = Path(name).suffix
    compressed = gzip.compress(content, 9, mtime=0) if suffix in _WORTH_COMPRESSING else None
    return Asset(content, compressed, _MEDIA_TYPES.get(suffix, "application/octet-stream"))
