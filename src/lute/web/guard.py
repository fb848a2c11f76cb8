"""What stands before every page: is it for this server, may who asks see it, and what may a browser do with it."""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lute.web.render import page
from lute.web.site import Site

if TYPE_CHECKING:
    pass

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " frame-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
OPEN = "/static/"
"""Below it are our own style and script, which everybody may have."""
COOKIE_USE, FORM_USE = "cookie", "form"


class Guard:
    """Lets through to the site's pages only who may see them, and puts the headers on every answer.

    Args:
        app: The pages.
        site: The server's.
    """

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app, self._site = app, site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._answer(Request(scope)) or self._app
        await answer(scope, receive, send_with_headers)

    def _answer(self, request: Request) -> Response | None:
        """Returns the answer where the pages are not asked; None to ask them."""
        if _host(request.headers.get("host", "")) not in self._site.hosts:
            name = request.headers.get("host", "")
            return _refusal(request, 421, f"this server is not called {name!r}. To allow it: lute serve --allow-host")
        if self._site.token is None or request.url.path.startswith(OPEN):
            return None
        given = request.query_params.get("token")
        if given is not None and request.method == "GET" and same(given, self._site.token):
            return self._welcome(request)
        if given is None and self._knows(request):
            return None
        answer = _refusal(request, 401, "the token is missing or wrong")
        answer.headers["WWW-Authenticate"] = "Bearer"
        return answer

    def _knows(self, request: Request) -> bool:
        return is_bearer(request, self._site) or same(
            request.cookies.get(self._site.cookie, ""), self._site.derived(COOKIE_USE)
        )

    def _welcome(self, request: Request) -> Response:
        """Keeps that the visitor knows the token in a cookie, and takes the token out of the address."""
        rest = urlencode([pair for pair in request.query_params.multi_items() if pair[0] != "token"])
        path = "/" + request.scope["path"].lstrip("/")  # `//name` would lead to another server
        answer = RedirectResponse(path + (f"?{rest}" if rest else ""), status_code=303)
        secret = self._site.derived(COOKIE_USE)
        answer.set_cookie(self._site.cookie, secret, httponly=True, samesite="strict")
        return answer


def is_bearer(request: Request, site: Site) -> bool:
    """Returns whether a request brings the token in its header, as no foreign page can make a browser do."""
    kind, _, given = request.headers.get("authorization", "").partition(" ")
    return site.token is not None and kind.lower() == "bearer" and same(given.strip(), site.token)


def may_act(request: Request, form: Mapping[str, str], site: Site) -> str:
    """Returns why a request must not change anything; empty if it may.

    It is one of our own forms, or brings the token in its header, and no other site's page sent it.
    """
    if site.token is None:
        return "without a token nobody can change anything: start lute serve without --no-token"
    origin = request.headers.get("origin", "null")  # `null` also from our own forms: the referrer policy says so
    if origin != "null" and urlsplit(origin).netloc != request.headers.get("host"):
        return f"the request comes from another site, {origin!r}"
    if is_bearer(request, site) or same(form.get("check", ""), site.derived(FORM_USE)):
        return ""
    return "the request does not come from one of this server's forms"


def same(given: str, expected: str) -> bool:
    """Returns whether two texts are the same, in a time that does not tell how far they are."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), expected.encode())


def _host(header: str) -> str:
    """Returns the name in a Host header, without the port, in small letters."""
    end = header.rfind("]") + 1 if header.startswith("[") else header.find(":")
    name, rest = (header[:end], header[end:]) if end > 0 else (header, "")
    return name.lower() if not rest or rest[1:].isdigit() else ""


def _refusal(request: Request, code: int, text: str) -> Response:
    if request.url.path.startswith("/api/") or code != 401:
        return JSONResponse({"error": text}, code)
    return page("locked.html", code, path=request.url.path, wrong="token" in request.query_params)
