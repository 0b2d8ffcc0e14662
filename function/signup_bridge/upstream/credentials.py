"""The credentials of a call. They are read for every call, since the platform renews those of an execution role.

Sources: the settings, the environment of an event function, or the headers of a request to a web function. Headers
count only after the request's signature has been verified.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from signup_bridge.inbound.signatures import Headers


@dataclass(frozen=True)
class Credentials:
    """What a call is signed with. ``token`` belongs to temporary credentials."""

    secret_id: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)

    def get_credential_info(self) -> tuple[str, str, str | None]:
        """Return the three values; the SDK's protocol for credentials."""
        return self.secret_id, self.secret_key, self.token


CredentialsProvider = Callable[[], "Credentials | None"]

_HEADERS = ("X-Scf-Secret-Id", "X-Scf-Secret-Key", "X-Scf-Session-Token")
"""The execution role's credentials, on each request to a web function. Source: Tencent Cloud SCF, widely used, official
for image functions."""


def provider(static: Credentials | None, *, from_environment: bool) -> CredentialsProvider:
    """Return the function that is called before every API call; it returns None if there are no credentials.

    Without ``static`` ones they are the execution role's, of the environment. Those in a request's headers belong to
    its calls alone: `DomainApi.with_credentials`.
    """
    return _from_environment if from_environment and not static else lambda: static


def _from_environment() -> Credentials | None:
    """Return the execution role's in an event function. In a web function the environment's expire and never change."""
    names = ("TENCENTCLOUD_SECRETID", "TENCENTCLOUD_SECRETKEY", "TENCENTCLOUD_SESSIONTOKEN")
    secret_id, secret_key, token = (os.environ.get(name, "") for name in names)
    if not _is_visible(secret_id) or not _is_visible(secret_key) or not (not token or _is_visible(token)):
        return None
    return Credentials(secret_id, secret_key, token or None)


def from_headers(headers: Headers) -> Credentials | None:
    """Return the credentials in the headers of a request whose signature has been verified, None if there are none.

    Each of the three headers must be there once, in visible ASCII. Servers join duplicate headers with a comma.
    """
    values = [headers.get(name) or "" for name in _HEADERS]
    complete = all(_is_visible(value) and "," not in value for value in values)
    return Credentials(*values) if complete else None


def _is_visible(value: str) -> bool:
    """Return whether a header can hold the value: visible ASCII characters only."""
    return bool(value) and value.isascii() and value.isprintable() and " " not in value
