"""Forms that change something carry a token that only a page of this server can know.

The token stands in a cookie that scripts cannot read and other sites' requests do not carry, and again in the
form; both must be equal. It is the second lock: the first is the origin check of the guard.
"""

from __future__ import annotations

import hmac
import secrets

from starlette.datastructures import FormData, ImmutableMultiDict
from starlette.requests import Request
from starlette.responses import Response

from beacon.web.guard import LOOPBACK, host_name
from beacon.web.problems import RefusedError

COOKIE = "beacon-form"
FIELD = "token"
MOST_REASON = 200
_BYTES = 24
_MOST_FIELDS = 5_000
_MOST_FORM_BYTES = 8_000_000

Sent = ImmutableMultiDict[str, str]
"""A form's fields in their order; `getlist` gives all values of one name."""


def token_of(request: Request) -> str:
    """The token of this browser, or a new one that `keep` must send with the page."""
    token: str | None = getattr(request.state, "form_token", None) or request.cookies.get(COOKIE)
    if token is None or len(token) > 100:
        token = secrets.token_urlsafe(_BYTES)
    request.state.form_token = token
    return token


def keep(request: Request, response: Response) -> None:
    """Sets the cookie where the browser does not have it yet."""
    token: str | None = getattr(request.state, "form_token", None)
    if token is not None and request.cookies.get(COOKIE) != token:
        set_cookie(request, response, COOKIE, token)


def set_cookie(request: Request, response: Response, name: str, value: str, max_age: int | None = None) -> None:
    """Beyond loopback a cookie travels over HTTPS alone, whatever a proxy made of the scheme."""
    secure = request.url.scheme == "https" or host_name(request.headers.get("host", "")) not in LOOPBACK
    response.set_cookie(name, value, max_age=max_age, path="/", httponly=True, samesite="lax", secure=secure)


async def read(request: Request) -> Sent:
    """The text fields of a form whose token fits, and the content of its one file. Raises RefusedError."""
    async with request.form(max_files=1, max_fields=_MOST_FIELDS, max_part_size=_MOST_FORM_BYTES) as form:
        fields = await _texts(form)
    sent, own = fields.get(FIELD, ""), request.cookies.get(COOKIE, "")
    if not own or not hmac.compare_digest(sent.encode(), own.encode()):
        todo = "open the page again and press the button there; cookies must be allowed for this address"
        raise RefusedError(403, "the form's token does not fit this browser", where=FIELD, todo=todo)
    return fields


async def _texts(form: FormData) -> Sent:
    """A file that holds anything stands under its field's name as text; what is no UTF-8 is replaced."""
    found: list[tuple[str, str]] = []
    for name, value in form.multi_items():
        if isinstance(value, str):
            # Browsers send the line ends of a text area as CR LF.
            found.append((name, value.replace("\r\n", "\n")))
        elif content := await value.read():
            found.append((name, content.decode("utf-8", "replace")))
    return ImmutableMultiDict(found)


def reason(request: Request, sent: Sent, otherwise: str = "") -> str:
    """Why somebody does something, in one line that begins with the name under which they signed in."""
    given = " ".join(sent.get("why", "").split())[:MOST_REASON] or otherwise
    name: str = request.state.person.name
    return ": ".join(filter(None, (name, given)))


def own_path(path: str, otherwise: str) -> str:
    """A path of this server, and never the address of another."""
    own = path.startswith("/") and not path.startswith("//") and "\\" not in path and path.isprintable()
    return path if own else otherwise


def new_key() -> str:
    """An idempotency key for a form, so that pressing its button twice does the thing once."""
    return f"form-{secrets.token_urlsafe(_BYTES)}"
