"""Whose account a call is made for: read anew at every call, since the platform renews what it gives.

In come the settings, the environment and, in a web function that asks for it, the headers of the request that is being
answered. It must never keep or show what it reads, nor take headers from whom the signature has not vouched for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signup_bridge.inbound.signatures import Headers


@dataclass(frozen=True)
class Credentials:
    """What a call is signed with; ``token`` belongs to temporary credentials."""

    secret_id: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


CredentialsProvider = Callable[[], "Credentials | None"]

_HEADERS = ("X-Scf-Secret-Id", "X-Scf-Secret-Key", "X-Scf-Session-Token")
"""The execution role's, on each request of a web function. Source: Tencent Cloud SCF, widely used, official for image
functions."""

_of_request: ContextVar[Credentials | None] = ContextVar("credentials", default=None)


def provider(static: Credentials | None, *, from_environment: bool) -> CredentialsProvider:
    """Return the function that is called before every API call; it returns None if there are no credentials.

    Without ``static`` ones they are the execution role's, of the environment or of the request's headers.
    """
    if static:
        return lambda: static
    return _of_environment if from_environment else _of_request.get


def _of_environment() -> Credentials | None:
    """The execution role's in an event function. A web function's environment never changes, and they expire."""
    names = ("TENCENTCLOUD_SECRETID", "TENCENTCLOUD_SECRETKEY", "TENCENTCLOUD_SESSIONTOKEN")
    secret_id, secret_key, token = (os.environ.get(name, "") for name in names)
    if not _is_visible(secret_id) or not _is_visible(secret_key) or not (not token or _is_visible(token)):
        return None
    return Credentials(secret_id, secret_key, token or None)


@contextmanager
def use_request_headers(headers: Headers) -> Iterator[None]:
    """While a request is answered whose signature has passed: what the platform's headers on it give, if anything.

    All three must be there, each once and visible ASCII; servers join what comes twice with a comma.
    """
    values = [headers.get(name) or "" for name in _HEADERS]
    whole = all(_is_visible(value) and "," not in value for value in values)
    token = _of_request.set(Credentials(*values) if whole else None)
    try:
        yield
    finally:
        _of_request.reset(token)


def _is_visible(value: str) -> bool:
    """Whether it is something that can stand in a header: visible ASCII characters."""
    return bool(value) and value.isascii() and value.isprintable() and " " not in value
