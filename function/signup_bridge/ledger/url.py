"""Parse `LEDGER_URL` strictly, so that no part of a password is mistaken for a host, a path or an option.

URL libraries end a password at an unescaped ``@``, ``/``, ``?`` or ``#``, and an error may show the rest. The errors of
this module repeat no part of the URL except the name of an option.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from signup_bridge import setting_parsers
from signup_bridge.core import Value

_FORMS = "must be sqlite:////absolute/path, redis://host:port/0 or rediss://host:port/0"
_AMBIGUOUS = (
    "is ambiguous; percent-encode these characters in the user name, password and path: "
    "@ as %40, / as %2F, ? as %3F, # as %23, [ as %5B, ] as %5D"
)
_SERVER = (
    r"(?P<host>[0-9A-Za-z._-]+|\[[0-9A-Fa-f:.]+\])(:(?P<port>[0-9]{1,5}))?(/(?P<database>[^?]*))?([?](?P<query>.*))?"
)

_TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
_INSTEAD = {
    "db": "write the database as the path, such as redis://host:port/2",
    "username": "write it before the host: redis://user:password@host:port/0",
    "password": "write it before the host: redis://user:password@host:port/0",
}


class RedisUrl(Value):
    """A Redis server. ``options`` contains its address, the login and the TLS options, under redis-py's names."""

    hidden = ("options",)

    def __init__(self, *, tls: bool, options: Mapping[str, Any]) -> None:
        self.tls: Final = tls
        self.options: Final = options

    @property
    def verifies_certificate(self) -> bool:
        """Whether TLS, if it is used, verifies the server's identity."""
        return self.options.get("ssl_cert_reqs") != "none" and self.options.get("ssl_check_hostname", True)


def parse(url: str) -> RedisUrl | Path:
    """Return the Redis server or the path of the SQLite file. Raises ValueError with the problem and the remedy."""
    scheme, separator, rest = url.partition("://")
    if not separator or not url.isprintable() or scheme not in ("sqlite", "redis", "rediss"):
        raise ValueError(_FORMS)
    try:
        unquote(url, errors="strict")
    except UnicodeDecodeError:
        raise ValueError("must be percent-encoded UTF-8") from None
    if re.search("%(?![0-9A-Fa-f]{2})", url):
        raise ValueError("contains a % that is not followed by two hexadecimal digits; write % as %25")
    if "%00" in url:
        raise ValueError("must not contain a null character, %00")
    return _sqlite_file(rest) if scheme == "sqlite" else _redis_server(rest, tls=scheme == "rediss")


def read(url: str) -> str:
    """Check the setting's value and return it. Raises ValueError."""
    parse(url)
    return url


def check_files(url: str) -> None:
    """Raise ValueError if a file in the URL cannot be used. A SQLite file need not exist."""
    parsed = parse(url)
    if isinstance(parsed, Path):
        if parsed.is_dir():
            raise ValueError("is a folder; add the name of a file in it, such as /ledger.db")
        return
    options = parsed.options
    if "ssl_ca_certs" in options:
        try:
            setting_parsers.check_ca_bundle(options["ssl_ca_certs"])
        except ValueError as error:
            raise ValueError(f"the option ssl_ca_certs {error}") from None
    if "ssl_certfile" in options:
        try:
            # Without a password argument, OpenSSL would prompt for a passphrase at the terminal.
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(
                options["ssl_certfile"], options.get("ssl_keyfile"), password=""
            )
        except (OSError, ValueError):
            raise ValueError(
                "the options ssl_certfile and ssl_keyfile must be the paths of a PEM certificate and of its key, "
                "without a passphrase"
            ) from None


def _sqlite_file(rest: str) -> Path:
    path, _, query = rest.partition("?")
    if "#" in rest:
        raise ValueError(_AMBIGUOUS)
    if query:
        raise ValueError(f"{_label(query.partition('=')[0])} is not supported with sqlite://; remove it")
    if not path.startswith("/") or path == "/":
        raise ValueError(_FORMS)
    if not path.startswith("//"):
        raise ValueError("is a relative path; write four slashes and the absolute path: sqlite:////absolute/path")
    if path.endswith("/"):
        raise ValueError("must be the path of a file: sqlite:////absolute/path")
    return Path(unquote(path[1:]))


def _redis_server(rest: str, *, tls: bool) -> RedisUrl:
    user, at, server = rest.rpartition("@")
    if re.search(r"[@/?#\[\]]", user) or "#" in server:
        raise ValueError(_AMBIGUOUS)
    match = re.fullmatch(_SERVER, server)
    port = int(match["port"] or 6379) if match else 0
    if not match or not 0 < port < 65_536:
        raise ValueError(_FORMS)
    host, database = match["host"], match["database"] or "0"
    if host.startswith("["):
        try:
            host = str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise ValueError(_FORMS) from None
    if not re.fullmatch("[0-9]{1,5}", database):
        raise ValueError("the database must be a number, such as redis://host:port/0")
    options = {"host": host, "port": port, "db": int(database)}
    options |= (_login(user) if at else {}) | _options(match["query"] or "", tls=tls)
    return RedisUrl(tls=tls, options=options)


def _login(user: str) -> dict[str, Any]:
    name, _, password = user.partition(":")
    if not password:
        raise ValueError("has no password before the @; write redis://:password@host or redis://user:password@host")
    return {"username": unquote(name) or None, "password": unquote(password)}


def _options(query: str, *, tls: bool) -> dict[str, Any]:
    """Return the TLS options. Raises ValueError for any other option, because it would have no effect."""
    pairs = parse_qsl(query, keep_blank_values=True)
    names = [name for name, _ in pairs]
    for name, value in pairs:
        if name not in _TLS_OPTIONS:
            remedy = _INSTEAD.get(name, f"remove it. Supported options: {', '.join(_TLS_OPTIONS)}")
            raise ValueError(f"{_label(name)} is not supported; {remedy}")
        if not tls:
            raise ValueError(f"{_label(name)} requires TLS; start the URL with rediss://")
        if names.count(name) > 1:
            raise ValueError(f"{_label(name)} must not be repeated")
        if not value:
            raise ValueError(f"{_label(name)} requires a value")
    options: dict[str, Any] = dict(pairs)
    if "ssl_keyfile" in options and "ssl_certfile" not in options:
        raise ValueError("the option ssl_keyfile requires ssl_certfile; set both")
    if options.get("ssl_cert_reqs", "required") not in ("required", "none"):
        raise ValueError("the option ssl_cert_reqs must be required or none")
    if options.get("ssl_check_hostname", "true") not in ("true", "false"):
        raise ValueError("the option ssl_check_hostname must be true or false")
    if "ssl_check_hostname" in options:
        options["ssl_check_hostname"] = options["ssl_check_hostname"] == "true"
    return options


def _label(option: str) -> str:
    """Return the option's name for an error, unless it may be part of a password."""
    return f"the option {option}" if re.fullmatch("[a-z][a-z_]{0,31}", option) else "an option"
