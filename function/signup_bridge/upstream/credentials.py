"""Read the credentials for each call, because the platform renews those of an execution role.

Sources: the settings, the environment of an event function, or the headers of a request to a web function. Headers
are used only after the request's signature has been verified.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from signup_bridge.core import Value

if TYPE_CHECKING:
    from signup_bridge.inbound.signatures import Headers


class Credentials(Value):
    """An API key, or temporary credentials with their ``token``."""

    hidden = ("secret_id", "secret_key", "token")

    def __init__(self, secret_id: str, secret_key: str, token: str | None = None) -> None:
        self.secret_id: Final = secret_id
        self.secret_key: Final = secret_key
        self.token: Final = token

    def get_credential_info(self) -> tuple[str, str, str | None]:
        """Implement the SDK's protocol for credentials."""
        return self.secret_id, self.secret_key, self.token


CredentialsProvider = Callable[[], "Credentials | None"]

_HEADERS = ("X-Scf-Secret-Id", "X-Scf-Secret-Key", "X-Scf-Session-Token")
"""The execution role's credentials, on each request to a web function. Source: Tencent Cloud SCF documents them for
image functions."""


def provider(static: Credentials | None, *, from_environment: bool) -> CredentialsProvider:
    """Return a function that returns the credentials of a call, or None if there are none.

    Credentials in a request's headers apply only to the calls of that request: see `RateLimitedApi.with_credentials`.
    """
    return _from_environment if from_environment and not static else lambda: static


def _from_environment() -> Credentials | None:
    """Return the execution role's credentials in an event function. Those in a web function's environment expire."""
    names = ("TENCENTCLOUD_SECRETID", "TENCENTCLOUD_SECRETKEY", "TENCENTCLOUD_SESSIONTOKEN")
    secret_id, secret_key, token = (os.environ.get(name, "") for name in names)
    complete = _is_visible(secret_id) and _is_visible(secret_key) and (not token or _is_visible(token))
    return Credentials(secret_id, secret_key, token or None) if complete else None


def from_headers(headers: Headers) -> Credentials | None:
    """Return the credentials in the headers of a request whose signature has been verified, or None.

    Each of the three headers must occur once, with visible ASCII. Servers join duplicate headers with a comma.
    """
    values = [headers.get(name) or "" for name in _HEADERS]
    complete = all(_is_visible(value) and "," not in value for value in values)
    return Credentials(*values) if complete else None


def _is_visible(value: str) -> bool:
    """Return whether a value consists of visible ASCII characters only, so that a header can contain it."""
    return bool(value) and value.isascii() and value.isprintable() and " " not in value
