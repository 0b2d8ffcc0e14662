"""Parsers of settings. Each raises ValueError, whose text states what the value must be and never repeats it."""

from __future__ import annotations

import base64
import ipaddress
import re
import ssl
from collections.abc import Callable, Sequence

MIN_SECRET_SIZE = 16
"""Minimum size in bytes. A shorter secret can be guessed."""


def credential(value: str) -> str:
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must contain only visible ASCII characters, without spaces")
    return value


def number(low: float, high: float) -> Callable[[str], float]:
    def parse(value: str) -> float:
        if not re.fullmatch("[0-9]{1,9}([.][0-9]{1,9})?", value) or not low <= float(value) <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return float(value)

    return parse


def whole_number(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", value) or not low <= int(value) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return parse


def choice(*choices: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return value

    return parse


def parse_bool(value: str) -> bool:
    return choice("true", "false")(value) == "true"


def parse_list(value: str) -> tuple[str, ...]:
    if not value.isascii() or not value.isprintable():
        raise ValueError("must contain only visible ASCII characters; separate several secrets with spaces")
    return tuple(value.split())


def is_quoted(value: str) -> bool:
    """Return whether a value is wrapped in quotes, which a shell removes but an env file may keep."""
    return len(value) > 1 and value[0] == value[-1] and value[0] in "'\""


def quotes_hint(*values: str) -> str:
    """Return an addition to an error text; an empty string unless one of the values is wrapped in quotes."""
    return "; remove the quotes around it" if any(map(is_quoted, values)) else ""


_LABEL = "[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
_URL = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_LABEL}([.]{_LABEL})*|\[[0-9A-Fa-f:.]+\])(:(?P<port>[1-9][0-9]*))?/?"
)


def host(value: str) -> str:
    address = _address(value)
    if not address and not re.fullmatch(f"{_LABEL}([.]{_LABEL})*", value):
        raise ValueError("must be an IP address or a host name, such as 127.0.0.1")
    return str(address or value)


def api_url(value: str) -> str:
    value = value.lower()
    match = _URL.fullmatch(value)
    address = _address(match["host"].strip("[]")) if match else None
    if (
        not match
        or int(match["port"] or 443) > 65_535
        or ("[" in match["host"] and not isinstance(address, ipaddress.IPv6Address))
    ):
        raise ValueError(
            "must be a URL with a scheme, a host and an optional port, such as https://domain.tencentcloudapi.com"
        )
    is_loopback = address.is_loopback if address else match["host"] == "localhost"
    if match["scheme"] != "https" and not is_loopback:
        raise ValueError("must start with https://; http:// is supported for loopback addresses only")
    return value.rstrip("/")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def check_ca_bundle(path: str) -> None:
    try:
        ssl.create_default_context(cafile=path)
    except (OSError, ValueError):  # ssl's errors are OSErrors
        raise ValueError("must be the path of a readable PEM file with certificates") from None


def ledger_key(value: str) -> str:
    if len(value.encode("utf-8", "surrogatepass")) < 32:
        raise ValueError("must have at least 32 bytes; generate a key with `openssl rand -hex 32`")
    return value


def prefixes(value: str) -> tuple[str, ...]:
    prefix = "([+]|00)?(?!00)[0-9]{1,15}"
    if not re.fullmatch(f"{prefix}( +{prefix})*", value):
        raise ValueError("must be prefixes of phone numbers, separated by spaces, such as +86 +1")
    return tuple(one.removeprefix("+").removeprefix("00") for one in value.split())


def standard_webhooks_key(secret: str) -> bytes:
    """Return the key in a secret of the form ``whsec_<base64>`` or ``v1,whsec_<base64>``."""
    prefix, _, encoded = secret.removeprefix("v1,").partition("_")
    try:
        key = base64.b64decode(encoded, validate=True)
    except ValueError:
        key = b""
    if prefix != "whsec" or not key:
        raise ValueError("must have the form whsec_<base64> or v1,whsec_<base64>; separate several secrets with spaces")
    return key


def webhook_key(secret: str, auth: str) -> bytes:
    """Return a secret's bytes for a value of ``WEBHOOK_AUTH``."""
    return standard_webhooks_key(secret) if auth == "standard-webhooks" else secret.encode()


def webhook_secret_problems(auth: str | None, secrets: Sequence[str]) -> list[str]:
    """Return the problems of ``WEBHOOK_SECRETS``. ``auth`` is None if ``WEBHOOK_AUTH`` is invalid.

    Each word is accepted as a secret, so a comment or a stray word is a problem.
    """
    if auth in (None, "none"):
        return []
    problems: list[str] = []
    for position, secret in enumerate(secrets, start=1):
        this = f"WEBHOOK_SECRETS: secret {position}"
        if secret.startswith("#"):
            return [*problems, f"{this} starts with #; comments are not supported, remove it and the text after it"]
        try:
            length = len(webhook_key(secret, auth))
        except ValueError as error:
            problems.append(f"{this} {error}{quotes_hint(secret, ' '.join(secrets))}")
            continue
        if length < MIN_SECRET_SIZE and len(secrets) > 1:
            problems.append(
                f"{this} is shorter than {MIN_SECRET_SIZE} bytes; each word is accepted as a secret: "
                "remove it, or replace it with 24 random bytes"
            )
    return problems
