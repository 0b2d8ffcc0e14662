"""Convert HTTP events of a Function URL or an API gateway to WSGI requests to the application.

They need the application's routes, headers and signature check. Source of the formats: Tencent Cloud SCF's
documentation of Function URL and API Gateway triggers.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from werkzeug.wrappers import Response

from signup_bridge.core.outcomes import BODY_MALFORMED, RequestRejected
from signup_bridge.web.responses import HttpResponse, common_headers
from signup_bridge.web.wsgi_environ import BUDGET

from .invocation import Invocation

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

_METHOD = re.compile(r"[A-Z]{3,20}")
_HEADER_NAME = re.compile(r"[0-9A-Za-z!#$%&'*+.^`|~-]+")  # a token (RFC 9110) without _, as gunicorn requires

TRANSPORT_HEADERS = ("CONTENT_LENGTH", "TRANSFER_ENCODING")
"""Headers that describe how the body reached the trigger; the event contains the whole body."""


class _Response(Response):
    default_mimetype = None  # the application sets it


def is_http_event(event: Mapping[Any, Any]) -> bool:
    """Return whether the event has a method and headers."""
    method = event.get("httpMethod")
    return isinstance(method, str) and bool(_METHOD.fullmatch(method)) and isinstance(event.get("headers"), dict)


def respond(application: WSGIApplication, event: Mapping[Any, Any], invocation: Invocation) -> dict[str, Any]:
    """Return the application's response to an HTTP event. Raises RequestRejected if the event's body is invalid."""
    environ = _environ(event["httpMethod"], event.get("path"), _body(event))
    for name, value in event["headers"].items():
        if isinstance(name, str) and _HEADER_NAME.fullmatch(name):
            _add_header(environ, name, value)
    environ[BUDGET] = invocation.budget
    if invocation.request_id is not None:
        environ["HTTP_X_SCF_REQUEST_ID"] = invocation.request_id
    response = _Response.from_app(application, environ)
    return _result(response.status_code, dict(response.headers), response.get_data(as_text=True))


def to_result(response: HttpResponse, request_id: str) -> dict[str, Any]:
    """Return the result of an event that the application did not handle."""
    headers = dict(response.headers) | common_headers(request_id, response.timing)
    return _result(response.status, headers | {"Content-Length": str(len(response.body))}, response.body.decode())


def _result(status: int, headers: dict[str, str], body: str) -> dict[str, Any]:
    return {"isBase64Encoded": False, "statusCode": status, "headers": headers, "body": body}


def _body(event: Mapping[Any, Any]) -> bytes:
    body = event.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        raise RequestRejected(BODY_MALFORMED, "The event's body must be a string.")
    if event.get("isBase64Encoded") is not True:
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise RequestRejected(BODY_MALFORMED, "The event's body must be valid Base64.") from None


def _environ(method: str, path: object, body: bytes) -> dict[str, Any]:
    target = path.partition("?")[0] if isinstance(path, str) and path.startswith("/") else "/"
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(target.encode("utf-8", "surrogatepass")).decode("latin-1"),
        "RAW_URI": target,
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }


def _add_header(environ: dict[str, Any], name: str, value: object) -> None:
    """Add a header as a server would: join several values, and decode the bytes as Latin-1 (PEP 3333)."""
    values = [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]
    key = name.upper().replace("-", "_")
    if not values or key in TRANSPORT_HEADERS:
        return
    key = key if key == "CONTENT_TYPE" else f"HTTP_{key}"
    text = ",".join(values).strip()
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        text = text.encode("utf-8", "surrogatepass").decode("latin-1")
    environ[key] = f"{environ[key]},{text}" if key in environ else text
