"""The settings: read once from the environment, with all problems reported at once.

Defaults are secure, and no error shows the value of a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from . import setting_parsers
from .inbound import json_pointer
from .inbound.json_pointer import Pointer
from .inbound.payload_mapping import PRESETS, PayloadMapping, TypeWord, parse_type
from .ledger import url as ledger_url
from .web.profiles import PROFILES, Profile

WEBHOOK_AUTHS = ("standard-webhooks", "github", "bearer", "none")
MAX_QUEUED = 64
"""Deliveries that may wait at once for another one of the same id or contact to end, beside those worked on."""

MAPPED_BODY_LIMIT = 262_144
"""The default of ``BODY_LIMIT`` with a payload mapping: Supabase sends up to 200 KB, Clerk twice 8 KB of metadata."""

MAPPING_SETTINGS = {"PAYLOAD_PRESET", "PAYLOAD_CONTACT"}
"""The settings that make a payload mapping."""

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
    parse: Callable[[str], Any]


SETTINGS: tuple[Setting, ...] = (
    Setting("TENCENT_SECRET_ID", "", setting_parsers.credential),
    Setting("TENCENT_SECRET_KEY", "", setting_parsers.credential),
    Setting("TENCENT_SESSION_TOKEN", "", setting_parsers.credential),
    Setting("ROLE_CREDENTIALS_FROM_HEADERS", "false", setting_parsers.parse_bool),
    Setting("DOMAIN_API_URL", "https://domain.tencentcloudapi.com", setting_parsers.api_url),
    Setting("DOMAIN_API_CA_BUNDLE", "", setting_parsers.parse_str),
    Setting("DOMAIN_API_RATE", "20", setting_parsers.number(0.1, 100_000)),
    Setting("REQUEST_BUDGET", "8", setting_parsers.number(0.1, 900)),
    Setting("WEBHOOK_AUTH", "standard-webhooks", setting_parsers.choice(*WEBHOOK_AUTHS)),
    Setting("WEBHOOK_SECRETS", "", setting_parsers.parse_list),
    Setting("WEBHOOK_TOLERANCE", "300", setting_parsers.number(1, 86_400)),
    Setting("SENDER_PROFILE", "status", setting_parsers.choice(*PROFILES)),
    Setting("PAYLOAD_PRESET", "", setting_parsers.choice(*PRESETS)),
    Setting("PAYLOAD_CONTACT", "", json_pointer.parse),
    Setting("PAYLOAD_CODE", "", json_pointer.parse),
    Setting("PAYLOAD_TYPE", "", parse_type),
    Setting("BODY_LIMIT", "16384", setting_parsers.whole_number(1024, 1_048_576)),
    Setting("SEND_CODES", "false", setting_parsers.parse_bool),
    Setting("SEND_INTERVAL", "60", setting_parsers.number(0, 3600)),
    Setting("SEND_PER_CONTACT", "5", setting_parsers.whole_number(0, 1000)),
    Setting("SEND_PER_PREFIX", "100", setting_parsers.whole_number(0, 100_000)),
    Setting("SEND_PER_HOUR", "0", setting_parsers.whole_number(0, 1_000_000)),
    Setting("SEND_ALLOWED_PREFIXES", "", setting_parsers.prefixes),
    Setting("LEDGER_URL", "", ledger_url.read),
    Setting("LEDGER_KEY", "", setting_parsers.ledger_key),
    Setting("LEDGER_TTL", "345600", setting_parsers.number(1, 31_536_000)),
    Setting("RESOLVE_UNKNOWN", "describe", setting_parsers.choice("describe", "never")),
    Setting("REVEAL_ALREADY_VERIFIED", "true", setting_parsers.parse_bool),
    Setting("MAX_WRONG_CODES", "5", setting_parsers.whole_number(0, 1000)),
    Setting("WRONG_CODE_WINDOW", "600", setting_parsers.number(1, 86_400)),
    Setting("AFTER_VERIFIED", "keep", setting_parsers.choice("keep", "release")),
    Setting("CONCURRENCY", "16", setting_parsers.whole_number(1, 100)),
    Setting("KEEP_ALIVE", "360", setting_parsers.whole_number(1, 3600)),
    Setting("METRICS", "false", setting_parsers.parse_bool),
    Setting("LOG_LEVEL", "INFO", setting_parsers.choice(*LOG_LEVELS)),
    Setting("HOST", "0.0.0.0", setting_parsers.host),  # noqa: S104  SCF's proxy reaches a web function from outside its namespace
    Setting("PORT", "9000", setting_parsers.whole_number(1, 65_535)),
)


@dataclass(frozen=True)
class Settings:
    """The settings under their names in lower case; seconds where they are times. An empty one is None or ``()``."""

    domain_api_url: str
    domain_api_rate: float
    request_budget: float
    webhook_auth: str
    webhook_tolerance: float
    sender_profile: str
    send_codes: bool
    send_interval: float
    send_per_contact: int
    send_per_prefix: int
    send_per_hour: int
    ledger_ttl: float
    resolve_unknown: str
    max_wrong_codes: int
    wrong_code_window: float
    after_verified: str
    reveal_already_verified: bool
    concurrency: int
    keep_alive: int
    body_limit: int
    metrics: bool
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
    send_allowed_prefixes: tuple[str, ...] = ()
    payload_preset: str | None = None
    payload_contact: Pointer | None = None
    payload_code: Pointer | None = None
    payload_type: Pointer | TypeWord | None = None

    @property
    def mapping(self) -> PayloadMapping | None:
        """Where a body has what is asked; None for the bridge's own members. A pointer goes before its preset's."""
        preset = PRESETS[self.payload_preset] if self.payload_preset else None
        contact = (self.payload_contact,) if self.payload_contact else preset and preset.contact
        code = self.payload_code or (preset and preset.code)
        if not contact or not code:
            return None
        return PayloadMapping(
            contact, code, self.payload_type or (preset and preset.type), bool(preset and preset.event)
        )

    @property
    def ledger_file(self) -> Path | None:
        """The SQLite ledger's file; None when the ledger is a Redis."""
        parsed = ledger_url.parse(self.ledger_url)
        return parsed if isinstance(parsed, Path) else None

    @property
    def verifies_ledger(self) -> bool:
        """Whether the certificate of a Redis that is reached over TLS is verified."""
        parsed = ledger_url.parse(self.ledger_url)
        return isinstance(parsed, Path) or parsed.verifies_certificate

    @property
    def profile(self) -> Profile:
        return PROFILES[self.sender_profile]

    @property
    def webhook_keys(self) -> tuple[bytes, ...]:
        """The secrets as the bytes that are signed or compared with."""
        return tuple(setting_parsers.webhook_key(secret, self.webhook_auth) for secret in self.webhook_secrets)

    @property
    def weak_secrets(self) -> list[int]:
        """The positions, from 1 on, of secrets of less than 16 bytes."""
        keys = enumerate(self.webhook_keys, start=1)
        return [position for position, key in keys if len(key) < setting_parsers.MIN_SECRET_SIZE]

    @property
    def quoted_secrets(self) -> list[str]:
        """The names of settings with a secret or key that is wrapped in quotes."""
        values = {
            "TENCENT_SECRET_ID": self.tencent_secret_id,
            "TENCENT_SECRET_KEY": self.tencent_secret_key,
            "TENCENT_SESSION_TOKEN": self.tencent_session_token,
            "LEDGER_KEY": self.ledger_key,
        }
        quoted = [name for name, value in values.items() if value and setting_parsers.is_quoted(value)]
        secrets = (*self.webhook_secrets, " ".join(self.webhook_secrets))
        return [*quoted, "WEBHOOK_SECRETS"] if any(map(setting_parsers.is_quoted, secrets)) else quoted


def load(environ: Mapping[str, str], *, event_function: bool = False, check_files: bool = True) -> Settings:
    """Read and check the settings. ``event_function``: they are for `main_handler`, not for a web server.

    ``check_files``: also read the files that settings name; False if these are on another machine. A name set to
    nothing counts as not set. Raises SettingsError with every problem there is.
    """
    problems: list[str] = []
    values: dict[str, Any] = {}
    written = {name: value.strip() for name, value in environ.items() if value.strip()}
    for setting in SETTINGS:
        value = written.get(setting.name, setting.default)
        if value:
            try:
                values[setting.name.lower()] = setting.parse(value)
            except ValueError as error:
                problems.append(f"{setting.name}: {error}{setting_parsers.quotes_hint(value)}")
    problems += _budget(written, values)
    problems += _unmapped(written)
    if check_files:
        problems += _unusable_files(values)
    if "LEDGER_URL" not in written:
        values |= {"ledger_url": _default_ledger(environ), "ledger_is_default": True}
    problems += _missing(written, values, on_scf=_is_scf(environ))
    problems += setting_parsers.webhook_secret_problems(values.get("webhook_auth"), values.get("webhook_secrets", ()))
    if values.get("role_credentials_from_headers"):
        problems += _not_from_headers(written, on_scf=_is_scf(environ), event_function=event_function)
    if problems:
        raise SettingsError(problems)
    if "BODY_LIMIT" not in written and MAPPING_SETTINGS & set(written):
        values["body_limit"] = MAPPED_BODY_LIMIT
    return Settings(**values, event_function=event_function)


def _budget(written: Mapping[str, str], values: dict[str, Any]) -> list[str]:
    """Give the budget its profile's default; what is wrong with one that is set."""
    profile = PROFILES.get(values.get("sender_profile", ""))
    if profile and "REQUEST_BUDGET" not in written:
        values["request_budget"] = profile.budget
    if profile and values.get("request_budget", 0) > profile.longest_budget:
        most = f"must be {profile.longest_budget:g} at most with SENDER_PROFILE={profile.name}"
        return [f"REQUEST_BUDGET: {most}, which gives up soon after; or leave it out"]
    return []


def _unmapped(written: Mapping[str, str]) -> list[str]:
    """What is missing beside pointers that are set without a preset."""
    given = [name for name in ("PAYLOAD_CONTACT", "PAYLOAD_CODE", "PAYLOAD_TYPE") if name in written]
    if not given or "PAYLOAD_PRESET" in written:
        return []
    return [
        f"{name}: is not set; {' and '.join(given)} alone cannot be used: point to it, too, or name a PAYLOAD_PRESET"
        for name in ("PAYLOAD_CONTACT", "PAYLOAD_CODE")
        if name not in written
    ]


def _unusable_files(values: Mapping[str, Any]) -> list[str]:
    checks: dict[str, Callable[[str], object]] = {
        "DOMAIN_API_CA_BUNDLE": setting_parsers.ca_bundle,
        "LEDGER_URL": ledger_url.check_files,
    }
    problems = []
    for name, check in checks.items():
        if value := values.get(name.lower()):
            try:
                check(value)
            except ValueError as error:
                problems.append(f"{name}: {error}")
    return problems


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
    if values.get("ledger_url", "").startswith("redis") and "LEDGER_KEY" not in written:
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
    return f"sqlite:///{quote(str(Path(state).absolute() / 'signup-bridge' / 'ledger.db'))}"
