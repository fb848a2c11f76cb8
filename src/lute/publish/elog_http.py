"""One request to the eLog: where it goes, how one logs in, how long it may take. Needs httpx, loaded when it is used.

Environment read, each before what the facility says: `LUTE_ELOG_URL`, `LUTE_ELOG_LOGIN`, `LUTE_ELOG_USER`,
`LUTE_ELOG_PASSWORD`, `LUTE_ELOG_TOKEN`, `LUTE_ELOG_LOGIN_FILE`, `LUTE_ELOG_CA_FILE`.
"""

from __future__ import annotations

import base64
import functools
import ipaddress
import json
import logging
import os
import re
import ssl
import stat
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import lute
from lute import facility
from lute.base import secrets
from lute.base.time_limits import CallTimeout, call_in_thread
from lute.errors import ElogError

__all__ = ["NOT_CONFIGURED", "Request", "Service", "ask", "check_address", "shown"]

NOT_CONFIGURED = "no eLog is configured: set LUTE_ELOG_URL, or load a plug-in whose Facility has an elog_url"
LOGINS = ("basic", "token", "kerberos", "none")
PORTS = {"http": 80, "https": 443}
TOO_MANY = 429
KEY_HEADER = "Idempotency-Key"
"""The header by which a server can tell that it has seen a post before."""


@dataclass(frozen=True)
class Service:
    """An eLog's web service, and how one logs in to it.

    Attributes:
        url: Its address, without `/` at the end; empty for none.
        login: One of `LOGINS`.
        user: User for `basic`.
        login_file: File whose first line is the password or the token.
        ca_file: File with the certificates to trust; empty for the usual ones.
    """

    url: str = ""
    login: str = "none"
    user: str = ""
    login_file: str = ""
    ca_file: str = ""

    @classmethod
    def of(cls, experiment: str = "") -> Service:
        """Returns the eLog of an experiment, by the environment and the facility."""
        site, env = facility.current(), os.environ

        def told(variable: str, template: str) -> str:
            return env.get(variable) or site.path(template, experiment)

        token, user = env.get("LUTE_ELOG_TOKEN"), env.get("LUTE_ELOG_USER")
        guessed = "token" if token else "basic" if user else site.elog_login
        return cls(
            url=told("LUTE_ELOG_URL", site.elog_url).rstrip("/"),
            login=(env.get("LUTE_ELOG_LOGIN") or guessed or "none").lower(),
            user=user or site.path(site.elog_user, experiment),
            login_file=told("LUTE_ELOG_LOGIN_FILE", site.elog_login_file),
            ca_file=told("LUTE_ELOG_CA_FILE", site.elog_ca_file),
        )


@dataclass(frozen=True)
class Request:
    """What is asked of the eLog.

    Attributes:
        method: `GET` or `POST`.
        address: A path below the eLog's address, or a whole URL, to which one logs in only if it is the same server.
        query: What follows `?`.
        body: What is sent as JSON, or None.
        form: What is sent as the fields of a form.
        files: Name, contents and media type of what is attached to the form.
        key: Tells a post from every other; empty for none.
    """

    method: str
    address: str
    query: dict[str, str] = field(default_factory=dict)
    body: Any = None
    form: dict[str, str] = field(default_factory=dict)
    files: tuple[tuple[str, bytes, str], ...] = ()
    key: str = ""


def check_address(url: str) -> str | None:
    """Returns what is wrong with an address; None if it can be used."""
    if _server(url) is None:
        return f"the address {shown(url)!r} cannot be used: expected http:// or https:// and a host"
    if "@" in urlsplit(url).netloc:
        return (
            f"the address {shown(url)} has a user or password in it, which would be written down: set LUTE_ELOG_USER"
            " and LUTE_ELOG_PASSWORD"
        )
    return None


def ask(service: Service, request: Request, seconds: float) -> Any:
    """Sends one request. Returns the value that came back.

    Args:
        service: The eLog.
        request: What is asked.
        seconds: Longest time for all of it, in s.

    Raises:
        ElogError: It was not done.
    """
    whole = "://" in request.address
    url = request.address if whole else service.url + request.address
    if not whole and not service.url:
        raise ElogError(NOT_CONFIGURED)
    if wrong := check_address(url):
        raise ElogError(f"eLog: {wrong}", final=whole)
    login = _Login.none() if whole and _server(url) != _server(service.url) else _Login.of(service, url)
    to_hide = [*login.secrets, *secrets.secret_values(os.environ)]
    try:
        return _value(_exchange(service, request, url, login, seconds), must_be_json=not whole)
    except ElogError as error:
        text = secrets.hide(f"eLog: {request.method} {shown(url)}: {error}", to_hide)
        raise ElogError(text, final=error.final, retry_after=error.retry_after) from None


def _exchange(service: Service, request: Request, url: str, login: _Login, seconds: float) -> Any:
    httpx = _httpx()
    headers = {"User-Agent": f"lute/{lute.__version__}", **login.headers}
    content: dict[str, Any] = {"params": request.query} if request.query else {}
    if request.key:
        headers[KEY_HEADER] = request.key
    if request.body is not None:
        headers["Content-Type"] = "application/json"
        content["content"] = json.dumps(request.body).encode()
    elif request.method == "POST":
        content["data"] = request.form
        content |= {"files": [("files", item) for item in request.files]} if request.files else {}

    def talk() -> Any:
        with httpx.Client(verify=_tls(service.ca_file), timeout=0.9 * seconds, auth=login.auth) as client:
            return client.request(request.method, url, headers=headers, **content)

    try:
        return call_in_thread(talk, seconds, give_up=lambda: False, look=seconds)
    except (CallTimeout, httpx.TimeoutException):
        raise ElogError(f"no answer within {seconds:.1f} s") from None
    except ElogError:
        raise
    except Exception as error:  # of httpx, TLS or Kerberos: whatever it is, the post stays
        hint = " Is there a ticket? See: klist, kinit" if service.login == "kerberos" else ""
        raise ElogError(f"{type(error).__name__}: {error}.{hint}") from None


def _httpx() -> Any:
    try:
        import httpx
    except ImportError:
        raise ElogError("the eLog needs httpx: pip install 'lute-executor[elog]'") from None
    for name in ("httpx", "httpcore"):  # they log whole addresses and cookies
        logging.getLogger(name).setLevel(logging.WARNING)
    return httpx


@functools.lru_cache(maxsize=4)
def _tls(ca_file: str) -> ssl.SSLContext:
    """Returns what checks the server's certificate; it costs some 20 ms, so it is kept."""
    if not ca_file:
        return _httpx().create_ssl_context()  # type: ignore[no-any-return]
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise ElogError(f"the CA file {ca_file} cannot be used: {error.strerror or error}") from None


# -------------------------------------------------------------------------------------------- logging in


@dataclass(frozen=True, repr=False)
class _Login:
    """What a request carries to log in, and what of it must not be written down."""

    headers: dict[str, str] = field(default_factory=dict)
    auth: Any = None
    secrets: tuple[str, ...] = ()

    @classmethod
    def none(cls) -> _Login:
        return cls()

    @classmethod
    def of(cls, service: Service, url: str) -> _Login:
        if service.login == "none":
            return cls()
        if service.login == "kerberos":
            return cls(auth=_kerberos())
        if service.login not in LOGINS:
            raise ElogError(f"eLog: the login {service.login!r} is unknown: use one of {', '.join(LOGINS)}")
        _check_private(service.login, url)
        if service.login == "token":
            token = _secret(service, "LUTE_ELOG_TOKEN", "token")
            return cls({"Authorization": f"Bearer {token}"}, None, (token,))
        if not service.user:
            raise ElogError("eLog: the login basic needs a user: set LUTE_ELOG_USER")
        password = _secret(service, "LUTE_ELOG_PASSWORD", "password")
        pair = base64.b64encode(f"{service.user}:{password}".encode()).decode()
        return cls({"Authorization": f"Basic {pair}"}, None, (pair, password))


def _secret(service: Service, variable: str, what: str) -> str:
    if os.environ.get(variable):
        return os.environ[variable].strip()
    if not service.login_file:
        raise ElogError(
            f"eLog: the login {service.login} needs a {what}: set {variable}, or LUTE_ELOG_LOGIN_FILE to a file with it"
        )
    try:
        with open(service.login_file, encoding="utf-8") as file:
            about = os.fstat(file.fileno())
            others = 0o077 if about.st_uid == os.geteuid() else 0o007
            if stat.S_IMODE(about.st_mode) & others:
                raise ElogError(
                    f"eLog: {service.login_file} can be read by others: chmod {'600' if others == 0o077 else 'o='} it"
                )
            secret = file.readline().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise ElogError(f"eLog: the file {service.login_file} cannot be read: {reason}") from None
    if not secret:
        raise ElogError(f"eLog: the first line of {service.login_file} is empty: expected the {what}")
    return secret


def _check_private(login: str, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise ElogError(f"eLog: the login {login} is not sent over http:// to {parts.hostname}: use https://")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _kerberos() -> Any:
    try:
        import httpx_gssapi
    except (ImportError, OSError):
        raise ElogError("eLog: the login kerberos needs: pip install 'lute-executor[elog,kerberos]'") from None
    logging.getLogger("httpx_gssapi").setLevel(logging.CRITICAL)  # it logs tickets; what fails is in the error
    return httpx_gssapi.HTTPSPNEGOAuth(opportunistic_auth=True)


# ----------------------------------------------------------------------------------------------- answers


def _value(answer: Any, must_be_json: bool) -> Any:
    content = _content(answer)
    said = content.get("error_msg") if isinstance(content, dict) else None
    if not answer.is_success:
        _raise_for_status(answer, said)
    if isinstance(content, dict) and content.get("success") is False:
        raise ElogError(str(said or "it was refused, with no reason given"), final=True)
    if content is None and must_be_json:
        kind = answer.headers.get("Content-Type", "something unknown")
        raise ElogError(f"the answer is no JSON but {kind}: is LUTE_ELOG_URL an eLog's address?", final=True)
    return content.get("value", content) if isinstance(content, dict) else content


def _content(answer: Any) -> Any:
    """Returns an answer's JSON: `{}` if it is empty, None if it is something else."""
    if not answer.content:
        return {}
    try:
        return answer.json()
    except ValueError:
        return None


def _raise_for_status(answer: Any, said: Any) -> None:
    status = answer.status_code
    text = f"{status} {answer.reason_phrase}".strip() + (f": {said}" if said else "")
    if status in (401, 403):
        text += ". Is the login right? See: lute elog status"
    if answer.is_redirect:
        text += f" to {shown(answer.headers.get('Location', ''))}: is LUTE_ELOG_URL right?"
    waits = status == TOO_MANY or status >= 500
    raise ElogError(text, final=not waits, retry_after=_retry_after(answer) if waits else None)


def _retry_after(answer: Any) -> float | None:
    """Returns the time in s that the header `Retry-After` asks for, as a number or a date; None without one."""
    from email.utils import parsedate_to_datetime

    text = answer.headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None


def _server(url: str) -> tuple[str, str, int] | None:
    """Returns scheme, host and port of an address; None if it is none of the web."""
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS[parts.scheme]
        return (parts.scheme, parts.hostname, port) if parts.hostname and parts.scheme in PORTS else None
    except (ValueError, KeyError):
        return None


def shown(url: str) -> str:
    """Returns an address without what may be secret: user, password, query."""
    address = re.split(r"[?#]", url, maxsplit=1)[0]
    return re.sub(r"//[^/]*@", "//", address)
