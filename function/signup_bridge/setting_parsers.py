"""How each setting is read: what is written in the environment becomes a value.

In comes a text, out comes the value, or a ValueError that says what it must be and never repeats it.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import ssl
from collections.abc import Callable, Sequence

MIN_SECRET_SIZE = 16
"""Bytes below which a secret can be guessed."""


def parse_str(value: str) -> str:
    return value


def credential(value: str) -> str:
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be visible ASCII characters")
    return value


def number(low: float, high: float) -> Callable[[str], float]:
    def read(value: str) -> float:
        if not re.fullmatch("[0-9]{1,9}([.][0-9]{1,9})?", value) or not low <= float(value) <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return float(value)

    return read


def whole_number(low: int, high: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", value) or not low <= int(value) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return read


def choice(*choices: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return value

    return read


def parse_bool(value: str) -> bool:
    return choice("true", "false")(value) == "true"


def parse_list(value: str) -> tuple[str, ...]:
    if not value.isascii() or not value.isprintable():
        raise ValueError("must be visible ASCII characters, several secrets separated by a space")
    return tuple(value.split())


def is_quoted(value: str) -> bool:
    """Whether a value is wrapped in quotes, which a shell removes and an env file or a console may not."""
    return len(value) > 1 and value[0] == value[-1] and value[0] in "'\""


def quotes_hint(*values: str) -> str:
    """Return an addition to an error text, which is empty unless one of the values is wrapped in quotes."""
    return " (it is wrapped in quotes; remove them)" if any(map(is_quoted, values)) else ""


_LABEL = "[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
_URL = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_LABEL}([.]{_LABEL})*|\[[0-9A-Fa-f:.]+\])(:(?P<port>[1-9][0-9]*))?/?"
)


def host(value: str) -> str:
    """The address to listen on, or a name of it."""
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        if not re.fullmatch(f"{_LABEL}([.]{_LABEL})*", value):
            raise ValueError("must be an IP address or a host name, such as 127.0.0.1") from None
    return value


def api_url(value: str) -> str:
    value = value.lower()
    match = _URL.fullmatch(value)
    if not match or int(match["port"] or 443) > 65_535 or not _is_host(match["host"]):
        raise ValueError("must be a URL of scheme, host and perhaps port, such as https://domain.tencentcloudapi.com")
    if match["scheme"] != "https" and not _is_loopback(match["host"]):
        raise ValueError("must begin with https:// (http:// is for an emulator on a loopback address only)")
    return value.rstrip("/")


def _is_host(host: str) -> bool:
    """Whether what stands in brackets is an IPv6 address."""
    try:
        return not host.startswith("[") or ipaddress.ip_address(host.strip("[]")).version == 6
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def ca_bundle(value: str) -> str:
    try:
        ssl.create_default_context(cafile=value)
    except (OSError, ValueError):  # ssl's own error is an OSError, too
        raise ValueError("must be the path of a PEM file of certificates that can be read") from None
    return value


def ledger_key(value: str) -> str:
    if len(value.encode("utf-8", "surrogatepass")) < 32:
        raise ValueError("must be 32 bytes or more, such as `openssl rand -hex 32` gives")
    return value


def prefixes(value: str) -> tuple[str, ...]:
    """The beginnings of phone numbers, as digits."""
    prefix = "([+]|00)?(?!00)[0-9]{1,15}"
    if not re.fullmatch(f"{prefix}( +{prefix})*", value):
        raise ValueError("must be the digits that phone numbers may begin with, separated by spaces, such as +86 +1")
    return tuple(one.removeprefix("+").removeprefix("00") for one in value.split())


def standard_webhooks_key(secret: str) -> bytes:
    """The key in a secret written ``whsec_<base64>`` or ``v1,whsec_<base64>``. Raises ValueError without naming it."""
    prefix, _, encoded = secret.removeprefix("v1,").partition("_")
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if prefix != "whsec" or not key:
        raise ValueError("must be written whsec_<base64> or v1,whsec_<base64>, several separated by spaces")
    return key


def webhook_key(secret: str, auth: str) -> bytes:
    """Return a secret's bytes for a value of ``WEBHOOK_AUTH``. Raises ValueError, which does not repeat the secret."""
    return standard_webhooks_key(secret) if auth == "standard-webhooks" else secret.encode()


def webhook_secret_problems(auth: str | None, secrets: Sequence[str]) -> list[str]:
    """Return the problems of ``WEBHOOK_SECRETS``. ``auth`` is None if that setting is invalid.

    Each part is accepted as a secret, so a comment or a stray word must not be one.
    """
    if auth in (None, "none"):
        return []
    problems: list[str] = []
    for position, secret in enumerate(secrets, start=1):
        this = f"WEBHOOK_SECRETS: number {position}"
        if secret.startswith("#"):
            return [*problems, f"{this} begins with #; comments are not supported, remove it and what follows"]
        try:
            length = len(webhook_key(secret, auth))
        except ValueError as error:
            problems.append(f"{this} {error}{quotes_hint(secret, ' '.join(secrets))}")
            continue
        if length < MIN_SECRET_SIZE and len(secrets) > 1:
            problems.append(
                f"{this} is shorter than {MIN_SECRET_SIZE} bytes; each part is accepted as a secret: "
                "remove it, or replace it with 24 random bytes"
            )
    return problems
