"""The settings, read from the environment. All problems are reported together, without the value of a secret."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
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
"""Maximum number of deliveries that wait for another one with the same id or contact, in addition to those in
progress."""

MAPPED_BODY_LIMIT = 262_144
"""The default of ``BODY_LIMIT`` with a payload mapping: Supabase sends up to 200 KB, Clerk twice 8 KB of metadata."""

LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
LOG_FORMATS = ("auto", "json", "text")


class SettingsError(Exception):
    """Settings are missing or invalid. The text names each of them and the remedy."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("startup failed:\n" + "\n".join(f"  {problem}" for problem in problems))
        self.problems = problems


class Setting(NamedTuple):
    """A setting: its name, its default as a string, and its parser, which raises ValueError for an invalid value."""

    name: str
    default: str
    parse: Callable[[str], Any]


def _setting(default: str, parse: Callable[[str], Any]) -> dict[str, Any]:
    return {"default": default, "parse": parse}


@dataclass(frozen=True, kw_only=True, eq=False)
class Settings:
    """The settings, under their names in lower case. Times are in seconds. An empty setting is None or ``()``."""

    tencent_secret_id: str | None = field(default=None, repr=False, metadata=_setting("", setting_parsers.credential))
    tencent_secret_key: str | None = field(default=None, repr=False, metadata=_setting("", setting_parsers.credential))
    tencent_session_token: str | None = field(
        default=None, repr=False, metadata=_setting("", setting_parsers.credential)
    )
    role_credentials_from_headers: bool = field(metadata=_setting("false", setting_parsers.parse_bool))
    domain_api_url: str = field(metadata=_setting("https://domain.tencentcloudapi.com", setting_parsers.api_url))
    domain_api_ca_bundle: str | None = field(default=None, metadata=_setting("", str))
    domain_api_rate: float = field(metadata=_setting("20", setting_parsers.number(0.1, 100_000)))
    request_budget: float = field(metadata=_setting("8", setting_parsers.number(0.1, 900)))
    webhook_auth: str = field(metadata=_setting("standard-webhooks", setting_parsers.choice(*WEBHOOK_AUTHS)))
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False, metadata=_setting("", setting_parsers.parse_list))
    webhook_tolerance: float = field(metadata=_setting("300", setting_parsers.number(1, 86_400)))
    sender_profile: str = field(metadata=_setting("status", setting_parsers.choice(*PROFILES)))
    payload_preset: str | None = field(default=None, metadata=_setting("", setting_parsers.choice(*PRESETS)))
    payload_contact: Pointer | None = field(default=None, metadata=_setting("", json_pointer.parse))
    payload_code: Pointer | None = field(default=None, metadata=_setting("", json_pointer.parse))
    payload_type: Pointer | TypeWord | None = field(default=None, metadata=_setting("", parse_type))
    body_limit: int = field(metadata=_setting("16384", setting_parsers.whole_number(1024, 1_048_576)))
    send_codes: bool = field(metadata=_setting("false", setting_parsers.parse_bool))
    send_interval: float = field(metadata=_setting("60", setting_parsers.number(0, 3600)))
    send_per_contact: int = field(metadata=_setting("5", setting_parsers.whole_number(0, 1000)))
    send_per_prefix: int = field(metadata=_setting("100", setting_parsers.whole_number(0, 100_000)))
    send_per_hour: int = field(metadata=_setting("0", setting_parsers.whole_number(0, 1_000_000)))
    send_allowed_prefixes: tuple[str, ...] = field(default=(), metadata=_setting("", setting_parsers.prefixes))
    ledger_url: str = field(repr=False, metadata=_setting("", ledger_url.read))
    ledger_key: str | None = field(default=None, repr=False, metadata=_setting("", setting_parsers.ledger_key))
    ledger_ttl: float = field(metadata=_setting("345600", setting_parsers.number(1, 31_536_000)))
    resolve_unknown: str = field(metadata=_setting("describe", setting_parsers.choice("describe", "never")))
    reveal_already_verified: bool = field(metadata=_setting("true", setting_parsers.parse_bool))
    max_wrong_codes: int = field(metadata=_setting("5", setting_parsers.whole_number(0, 1000)))
    wrong_code_window: float = field(metadata=_setting("600", setting_parsers.number(1, 86_400)))
    after_verified: str = field(metadata=_setting("keep", setting_parsers.choice("keep", "release")))
    concurrency: int = field(metadata=_setting("16", setting_parsers.whole_number(1, 100)))
    keep_alive: int = field(metadata=_setting("360", setting_parsers.whole_number(1, 3600)))
    metrics: bool = field(metadata=_setting("false", setting_parsers.parse_bool))
    log_level: str = field(metadata=_setting("INFO", setting_parsers.choice(*LOG_LEVELS)))
    log_format: str = field(metadata=_setting("auto", setting_parsers.choice(*LOG_FORMATS)))
    host: str = field(metadata=_setting("0.0.0.0", setting_parsers.host))  # noqa: S104  SCF's proxy reaches a web function from outside its namespace
    port: int = field(metadata=_setting("9000", setting_parsers.whole_number(1, 65_535)))
    ledger_is_default: bool = False
    event_function: bool = False

    @property
    def mapping(self) -> PayloadMapping | None:
        """The payload mapping; None for the bridge's own member names. A pointer overrides the preset's."""
        contact, code = self.payload_contact, self.payload_code
        if self.payload_preset:
            preset = PRESETS[self.payload_preset]
        elif contact and code:
            preset = PayloadMapping((contact,), code)
        else:
            return None
        contacts = (contact,) if contact else preset.contact
        return PayloadMapping(contacts, code or preset.code, self.payload_type or preset.type, preset.event)

    @property
    def ledger_file(self) -> Path | None:
        """The file of the SQLite ledger; None for Redis."""
        parsed = ledger_url.parse(self.ledger_url)
        return parsed if isinstance(parsed, Path) else None

    @property
    def verifies_ledger(self) -> bool:
        """Whether TLS verifies the certificate of the Redis server; True for SQLite."""
        parsed = ledger_url.parse(self.ledger_url)
        return isinstance(parsed, Path) or parsed.verifies_certificate

    @property
    def profile(self) -> Profile:
        return PROFILES[self.sender_profile]

    @property
    def webhook_keys(self) -> tuple[bytes, ...]:
        """The bytes of the secrets."""
        return tuple(setting_parsers.webhook_key(secret, self.webhook_auth) for secret in self.webhook_secrets)

    @property
    def weak_secrets(self) -> list[int]:
        """The positions, counted from 1, of secrets with less than 16 bytes."""
        keys = enumerate(self.webhook_keys, start=1)
        return [position for position, key in keys if len(key) < setting_parsers.MIN_SECRET_SIZE]

    @property
    def quoted_secrets(self) -> list[str]:
        """The names of the settings whose secret or key is wrapped in quotes."""
        names = ("TENCENT_SECRET_ID", "TENCENT_SECRET_KEY", "TENCENT_SESSION_TOKEN", "LEDGER_KEY")
        quoted = [name for name in names if setting_parsers.is_quoted(getattr(self, name.lower()) or "")]
        secrets = (*self.webhook_secrets, " ".join(self.webhook_secrets))
        return [*quoted, "WEBHOOK_SECRETS"] if any(map(setting_parsers.is_quoted, secrets)) else quoted


SETTINGS = tuple(Setting(one.name.upper(), **one.metadata) for one in fields(Settings) if one.metadata)


def load(environ: Mapping[str, str], *, event_function: bool = False, check_files: bool = True) -> Settings:
    """Return the settings in an environment; an empty variable counts as unset. Raises SettingsError.

    ``event_function``: they are for `main_handler`, not for a web server. ``check_files``: also check the files that
    the settings refer to; False if these are on another machine.
    """
    env = {name: value.strip() for name, value in environ.items() if value.strip()}
    on_scf = is_scf(environ)
    problems: list[str] = []
    values: dict[str, Any] = {}
    for setting in SETTINGS:
        if value := env.get(setting.name, setting.default):
            try:
                values[setting.name.lower()] = setting.parse(value)
            except ValueError as error:
                problems.append(f"{setting.name}: {error}{setting_parsers.quotes_hint(value)}")
    problems += _budget_problems(env, values) + _mapping_problems(env)
    if check_files:
        problems += _file_problems(values)
    problems += _missing(env, values, on_scf=on_scf)
    problems += setting_parsers.webhook_secret_problems(values.get("webhook_auth"), values.get("webhook_secrets", ()))
    if values.get("role_credentials_from_headers"):
        problems += _header_credentials_problems(env, on_scf=on_scf, event_function=event_function)
    if problems:
        raise SettingsError(problems)
    _set_dependent_values(env, values)
    if "LEDGER_URL" not in env:
        values |= {"ledger_url": _default_ledger(environ, on_scf=on_scf), "ledger_is_default": True}
    if on_scf or event_function:  # the log service of SCF searches the fields of JSON
        values["log_format"] = "json"
    return Settings(**values, event_function=event_function)


def _set_dependent_values(env: Mapping[str, str], values: dict[str, Any]) -> None:
    """Set the defaults that depend on other settings."""
    if "REQUEST_BUDGET" not in env:
        values["request_budget"] = PROFILES[values["sender_profile"]].budget
    if "BODY_LIMIT" not in env and ("PAYLOAD_PRESET" in env or "PAYLOAD_CONTACT" in env):
        values["body_limit"] = MAPPED_BODY_LIMIT


def is_scf(environ: Mapping[str, str]) -> bool:
    """Return whether this is the environment of a function on SCF."""
    return environ.get("TENCENTCLOUD_RUNENV") == "SCF" or any(name.startswith("SCF_") for name in environ)


def _budget_problems(env: Mapping[str, str], values: Mapping[str, Any]) -> list[str]:
    profile = PROFILES.get(values.get("sender_profile", ""))
    if "REQUEST_BUDGET" not in env or not profile or values.get("request_budget", 0) <= profile.longest_budget:
        return []
    limit = f"must be at most {profile.longest_budget:g} with SENDER_PROFILE={profile.name}"
    return [f"REQUEST_BUDGET: {limit}, whose sender times out soon after; lower or remove it"]


def _mapping_problems(env: Mapping[str, str]) -> list[str]:
    """Return a problem for each required pointer that is missing. Without a preset, contact and code are required."""
    pointers = [name for name in ("PAYLOAD_CONTACT", "PAYLOAD_CODE", "PAYLOAD_TYPE") if name in env]
    if not pointers or "PAYLOAD_PRESET" in env:
        return []
    return [
        f"{name}: is not set, but is required with {' and '.join(pointers)}; set it, or set PAYLOAD_PRESET"
        for name in ("PAYLOAD_CONTACT", "PAYLOAD_CODE")
        if name not in env
    ]


def _file_problems(values: Mapping[str, Any]) -> list[str]:
    problems = []
    checks = {"DOMAIN_API_CA_BUNDLE": setting_parsers.check_ca_bundle, "LEDGER_URL": ledger_url.check_files}
    for name, check in checks.items():
        if value := values.get(name.lower()):
            try:
                check(value)
            except ValueError as error:
                problems.append(f"{name}: {error}")
    return problems


def _header_credentials_problems(env: Mapping[str, str], *, on_scf: bool, event_function: bool) -> list[str]:
    """Return why the bridge must not read its credentials from the headers of requests."""
    reasons = {
        "is for web functions only; an event function reads its role's credentials from its environment; "
        "remove it": event_function,
        "is supported on SCF only, because elsewhere any caller could send these headers; remove it": not on_scf,
        "is not supported with WEBHOOK_AUTH=none, because any caller could send these headers; "
        "remove it, or set WEBHOOK_AUTH": env.get("WEBHOOK_AUTH") == "none",
    }
    return [f"ROLE_CREDENTIALS_FROM_HEADERS: {reason}" for reason, holds in reasons.items() if holds]


def _missing(env: Mapping[str, str], values: Mapping[str, Any], *, on_scf: bool) -> list[str]:
    problems = []
    absent = [name for name in ("TENCENT_SECRET_ID", "TENCENT_SECRET_KEY") if name not in env]
    if len(absent) == 1 or (absent and not on_scf):  # an execution role can provide both on SCF
        problems += [f"{name}: is not set; copy it from the account's API key" for name in absent]
    if env.get("WEBHOOK_AUTH") != "none" and "WEBHOOK_SECRETS" not in env:
        problems.append(
            "WEBHOOK_SECRETS: is not set; set it to the sender's secret, "
            "or set WEBHOOK_AUTH=none to accept unsigned requests from anyone"
        )
    if values.get("ledger_url", "").startswith("redis") and "LEDGER_KEY" not in env:
        problems.append(
            "LEDGER_KEY: is not set; with Redis, all instances need the same key of at least 32 bytes; "
            "generate one with `openssl rand -hex 32`"
        )
    return problems


def _default_ledger(environ: Mapping[str, str], *, on_scf: bool) -> str:
    """Return the URL of a file in /tmp on SCF, where no other folder is writable; else in the XDG state folder."""
    if on_scf:
        return "sqlite:////tmp/signup-bridge.db"
    state = environ.get("XDG_STATE_HOME") or Path(environ.get("HOME") or "~").expanduser() / ".local" / "state"
    return f"sqlite:///{quote(str(Path(state).absolute() / 'signup-bridge' / 'ledger.db'))}"
