"""The settings: read once from the environment, all problems told at once.

In comes an environment, out comes a `Settings` or a `SettingsError`. It must never fall back to a default that is not
secure, nor show a secret's value.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

WEBHOOK_AUTHS = ("standard-webhooks", "github", "bearer", "none")
WAITING = 64
"""Deliveries that may wait at once for another one of the same id or contact to end, beside those worked on."""

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class SettingsError(Exception):
    """The bridge does not start. Its text names every setting that is wrong and the remedy."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("start refused:\n" + "\n".join(f"  {problem}" for problem in problems))
        self.problems = problems


class Setting(NamedTuple):
    """One setting: its name in the environment, its default as it would be written there, and how it is read.

    ``read`` turns what is written into the value; it raises ValueError with a text that says what it must be.
    """

    name: str
    default: str
    read: Callable[[str], Any]


def _text(value: str) -> str:
    return value


def _credential(value: str) -> str:
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("must be visible ASCII characters")
    return value


def _number(low: float, high: float) -> Callable[[str], float]:
    def read(value: str) -> float:
        if not re.fullmatch("[0-9]{1,9}([.][0-9]{1,9})?", value) or not low <= float(value) <= high:
            raise ValueError(f"must be a number from {low:g} to {high:g}")
        return float(value)

    return read


def _whole_number(low: int, high: int) -> Callable[[str], int]:
    def read(value: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", value) or not low <= int(value) <= high:
            raise ValueError(f"must be a whole number from {low} to {high}")
        return int(value)

    return read


def _choice(*choices: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return value

    return read


def _flag(value: str) -> bool:
    return _choice("true", "false")(value) == "true"


def _words(value: str) -> tuple[str, ...]:
    if not value.isascii() or not value.isprintable():
        raise ValueError("must be visible ASCII characters, several secrets separated by a space")
    return tuple(value.split())


_LABEL = "[0-9A-Za-z]([0-9A-Za-z-]{0,61}[0-9A-Za-z])?"
_URL = re.compile(
    rf"(?P<scheme>https?)://(?P<host>{_LABEL}([.]{_LABEL})*|\[[0-9A-Fa-f:.]+\])(:(?P<port>[1-9][0-9]*))?/?"
)


def _api_url(value: str) -> str:
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


def _ca_bundle(value: str) -> str:
    try:
        ssl.create_default_context(cafile=value)
    except (OSError, ValueError):  # ssl's own error is an OSError, too
        raise ValueError("must be the path of a PEM file of certificates that can be read") from None
    return value


def _ledger_url(value: str) -> str:
    parts = urlsplit(value)
    as_written = value.startswith(f"{parts.scheme}:")  # urlsplit reads another case, too, and drops line ends
    if as_written and parts.scheme == "sqlite" and not parts.netloc and len(parts.path) > 1:
        return value
    try:
        if as_written and parts.scheme in ("redis", "rediss") and parts.hostname and parts.port != 0:
            return value
    except ValueError:  # a port that is no number
        pass
    raise ValueError("must be sqlite:////absolute/path, redis://host:port/0 or rediss://host:port/0")


def _ledger_key(value: str) -> str:
    if len(value.encode("utf-8", "surrogatepass")) < 32:
        raise ValueError("must be 32 bytes or more, such as `openssl rand -hex 32` gives")
    return value


def standard_webhooks_key(secret: str) -> bytes:
    """The key in a secret written ``whsec_<base64>`` or ``v1,whsec_<base64>``. Raises ValueError without naming it."""
    prefix, _, encoded = secret.removeprefix("v1,").partition("_")
    try:
        key = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if prefix != "whsec" or not key:
        raise ValueError("must be written whsec_<base64> or v1,whsec_<base64>")
    return key


SETTINGS: tuple[Setting, ...] = (
    Setting("TENCENT_SECRET_ID", "", _credential),
    Setting("TENCENT_SECRET_KEY", "", _credential),
    Setting("TENCENT_SESSION_TOKEN", "", _credential),
    Setting("ROLE_CREDENTIALS_FROM_HEADERS", "false", _flag),
    Setting("DOMAIN_API_URL", "https://domain.tencentcloudapi.com", _api_url),
    Setting("DOMAIN_API_CA_BUNDLE", "", _ca_bundle),
    Setting("DOMAIN_API_RATE", "20", _number(0.1, 100_000)),
    Setting("REQUEST_BUDGET", "8", _number(0.1, 900)),
    Setting("WEBHOOK_AUTH", "standard-webhooks", _choice(*WEBHOOK_AUTHS)),
    Setting("WEBHOOK_SECRETS", "", _words),
    Setting("WEBHOOK_TOLERANCE", "300", _number(1, 86_400)),
    Setting("LEDGER_URL", "", _ledger_url),
    Setting("LEDGER_KEY", "", _ledger_key),
    Setting("LEDGER_TTL", "345600", _number(1, 31_536_000)),
    Setting("RESOLVE_UNKNOWN", "describe", _choice("describe", "never")),
    Setting("MAX_WRONG_CODES", "5", _whole_number(0, 1000)),
    Setting("WRONG_CODE_WINDOW", "600", _number(1, 86_400)),
    Setting("AFTER_VERIFIED", "keep", _choice("keep", "release")),
    Setting("CONCURRENCY", "16", _whole_number(1, 100)),
    Setting("LOG_LEVEL", "INFO", _choice(*LOG_LEVELS)),
    Setting("HOST", "0.0.0.0", _text),  # noqa: S104  SCF's proxy reaches a web function from outside its namespace
    Setting("PORT", "9000", _whole_number(1, 65_535)),
)


@dataclass(frozen=True)
class Settings:
    """The settings under their names in lower case; seconds where they are times. An empty one is None or ``()``."""

    domain_api_url: str
    domain_api_rate: float
    request_budget: float
    webhook_auth: str
    webhook_tolerance: float
    ledger_ttl: float
    resolve_unknown: str
    max_wrong_codes: int
    wrong_code_window: float
    after_verified: str
    concurrency: int
    log_level: str
    host: str
    port: int
    role_credentials_from_headers: bool
    domain_api_ca_bundle: str | None = None
    tencent_secret_id: str | None = field(default=None, repr=False)
    tencent_secret_key: str | None = field(default=None, repr=False)
    tencent_session_token: str | None = field(default=None, repr=False)
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    ledger_url: str = field(kw_only=True, repr=False)  # it may hold a password
    ledger_is_default: bool = False
    event_function: bool = False
    ledger_key: str | None = field(default=None, repr=False)

    @property
    def ledger_file(self) -> Path | None:
        """The SQLite ledger's file; None when the ledger is a Redis."""
        parts = urlsplit(self.ledger_url)
        return Path(unquote(parts.path[1:])) if parts.scheme == "sqlite" else None

    @property
    def webhook_keys(self) -> tuple[bytes, ...]:
        """The secrets as the bytes that are signed or compared with."""
        if self.webhook_auth == "standard-webhooks":
            return tuple(standard_webhooks_key(secret) for secret in self.webhook_secrets)
        return tuple(secret.encode() for secret in self.webhook_secrets)

    @property
    def weak_secrets(self) -> list[int]:
        """The positions, from 1 on, of secrets of less than 16 bytes."""
        return [position for position, key in enumerate(self.webhook_keys, start=1) if len(key) < 16]


def load(environ: Mapping[str, str], *, event_function: bool = False) -> Settings:
    """Read and check the settings. ``event_function``: they are for `main_handler`, not for a web server.

    A name set to nothing counts as not set. Raises SettingsError with every problem there is.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    written = {name: value.strip() for name, value in environ.items() if value.strip()}
    for setting in SETTINGS:
        value = written.get(setting.name, setting.default)
        if value:
            try:
                values[setting.name.lower()] = setting.read(value)
            except ValueError as error:
                problems.append(f"{setting.name}: {error}")
    if "LEDGER_URL" not in written:
        values |= {"ledger_url": _default_ledger(environ), "ledger_is_default": True}
    problems += _missing(written, values, on_scf=_is_scf(environ))
    problems += _faulty_secrets(values)
    if values.get("role_credentials_from_headers"):
        problems += _not_from_headers(written, on_scf=_is_scf(environ), event_function=event_function)
    if problems:
        raise SettingsError(problems)
    return Settings(**values, event_function=event_function)


def _is_scf(environ: Mapping[str, str]) -> bool:
    """Whether the platform runs this; its names cannot be configured there."""
    return environ.get("TENCENTCLOUD_RUNENV") == "SCF" or any(name.startswith("SCF_") for name in environ)


def _not_from_headers(written: Mapping[str, str], *, on_scf: bool, event_function: bool) -> list[str]:
    """Why the headers of a request may not say whose account is used."""
    reasons = {
        "an event function has its role's credentials in its environment; leave it out": event_function,
        "only SCF puts them on a request, elsewhere a caller would; leave it out": not on_scf,
        "not with WEBHOOK_AUTH=none, where whoever calls could send them": written.get("WEBHOOK_AUTH") == "none",
    }
    return [f"ROLE_CREDENTIALS_FROM_HEADERS: {reason}" for reason, holds in reasons.items() if holds]


def _missing(written: Mapping[str, str], values: Mapping[str, Any], *, on_scf: bool) -> list[str]:
    problems = []
    absent = [name for name in ("TENCENT_SECRET_ID", "TENCENT_SECRET_KEY") if name not in written]
    if len(absent) == 1 or (absent and not on_scf):  # there, an execution role may give them
        problems += [f"{name}: is not set; it comes with the account's API key" for name in absent]
    if written.get("WEBHOOK_AUTH") != "none" and "WEBHOOK_SECRETS" not in written:
        problems.append(
            "WEBHOOK_SECRETS: is not set; give the sender's secret, "
            "or say WEBHOOK_AUTH=none to believe whoever reaches the bridge"
        )
    if urlsplit(values.get("ledger_url", "")).scheme in ("redis", "rediss") and "LEDGER_KEY" not in written:
        problems.append(
            "LEDGER_KEY: is not set; with a Redis all instances need the same one, "
            "32 bytes or more, such as `openssl rand -hex 32` gives"
        )
    return problems


def _default_ledger(environ: Mapping[str, str]) -> str:
    """On SCF, where only /tmp can be written, a file there; else one in the user's state folder (XDG)."""
    if _is_scf(environ):
        return "sqlite:////tmp/signup-bridge.db"
    state = environ.get("XDG_STATE_HOME") or Path(environ.get("HOME") or "~").expanduser() / ".local" / "state"
    return f"sqlite:///{quote(str(Path(state) / 'signup-bridge' / 'ledger.db'))}"


def _faulty_secrets(values: Mapping[str, Any]) -> list[str]:
    if values.get("webhook_auth") != "standard-webhooks":
        return []
    problems = []
    for position, secret in enumerate(values.get("webhook_secrets", ()), start=1):
        try:
            standard_webhooks_key(secret)
        except ValueError as error:
            problems.append(f"WEBHOOK_SECRETS: number {position} {error}")
    return problems
