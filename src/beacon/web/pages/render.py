"""Templates into pages: escaping is on, an unknown name is an error, and every page gets what all pages need."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from starlette.requests import Request
from starlette.responses import HTMLResponse

from beacon import __version__
from beacon.domain.clock import Clock
from beacon.web import charts, forms, text
from beacon.web.assets import Assets

TEMPLATES = Path(__file__).parent.parent / "templates"
THEME_COOKIE = "beacon-theme"
THEMES = ("light", "dark")


class Renderer:
    """Renders templates of one set of assets."""

    def __init__(self, assets: Assets, clock: Clock) -> None:
        self._clock = clock
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters |= {
            "text": text.visible,
            "sentence": text.sentence,
            "plain": text.plain,
            "cut": text.cut,
            "number": text.number,
            "duration": text.duration,
            "moment": text.moment,
            "fine_moment": fine_moment,
            "iso": text.iso,
            "stamp": text.stamp,
            "dollars": text.dollars,
            "words": text.words,
            "css": text.css,
        }
        self._environment.globals |= {
            "asset": assets.url,
            "has_asset": assets.__contains__,
            "bar": charts.bar,
            "share_bar": charts.share_bar,
            "counted": text.counted,
            "url": url,
            "version": __version__,
        }

    def template(self, name: str) -> Template:
        return self._environment.get_template(name)

    def page(self, request: Request, name: str, status: int = 200, nav: str = "/jobs", **context: Any) -> HTMLResponse:
        """A whole page. `nav` is the entry of the top bar that it belongs to."""
        began: float = request.scope.get("state", {}).get("began", time.perf_counter())
        theme = request.cookies.get(THEME_COOKIE)
        path, query = request.url.path, request.url.query
        shared: dict[str, Any] = {
            "theme": theme if theme in THEMES else None,
            "token": forms.token_of(request),
            "path": path,
            "back": f"{path}?{query}" if query else path,
            "nav": nav,
            "person": getattr(request.state, "person", None),
            "now": self._clock.wall(),
            "took": lambda: text.duration(1000 * (time.perf_counter() - began)),
        }
        response = HTMLResponse(self.template(name).render(shared | context), status)
        forms.keep(request, response)
        return response


def fine_moment(at: float | None) -> str | None:
    return text.moment(at, fine=True)


def url(path: str, **parameters: object) -> str:
    """`path` with those parameters that say something; a list stands for several of one name."""
    given = {name: value for name, value in parameters.items() if value not in (None, "", [], ())}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path
