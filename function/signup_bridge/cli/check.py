"""``signup-bridge check``: connect with the current settings, and report what is missing and how to fix it."""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from typing import Literal, NamedTuple

import certifi
import urllib3

from signup_bridge import settings as settings_module
from signup_bridge.app import build_domain_api, build_ledger, static_credentials, warn_weak_settings
from signup_bridge.core.actions import DESCRIBE
from signup_bridge.core.clock import Deadline, SystemClock
from signup_bridge.core.contact import ContactType
from signup_bridge.core.outcomes import BRIDGE_MISCONFIGURED, VERIFIED
from signup_bridge.ledger import LedgerUnavailable
from signup_bridge.settings import Settings, SettingsError
from signup_bridge.telemetry.logs import log
from signup_bridge.upstream import reply
from signup_bridge.upstream.error_codes import NO_CREDENTIALS, remedy_for

from .trial import send_and_verify

DESCRIPTION = """\
Connect with the settings in the environment, and report each problem and its remedy. The command
checks the settings, the API's endpoint, the clock of this machine, the API key and its policy (one
call of DescribeIntlPhoneEmailList, which changes nothing), and the ledger.

--send-code sends a real code to your own phone or mailbox, and verifies the code that you type. Only
this option shows that the key may call SendIntlPhoneEmailCode and CreateIntlPhoneEmail. The message
is billed, and the contact is then on the account's contact list."""

TIMEOUT = 10.0
"""Seconds for each check."""

MAX_CLOCK_DIFFERENCE = 60.0
"""Seconds. The API rejects signatures that are off by more than 300 s, and most webhook receivers do the same."""

Status = Literal["ok", "warning", "failed", "skipped"]


class Finding(NamedTuple):
    """The result of one check, with the remedy if it failed."""

    check: str
    status: Status
    text: str


def configure_check(parser: argparse.ArgumentParser) -> None:
    parser.description = DESCRIPTION
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--send-code", metavar="CONTACT", help="also send a code to this contact and verify it")
    parser.set_defaults(execute=check)


def check(options: argparse.Namespace) -> int:
    """Run the checks and print each finding immediately. Return 0 if no check failed."""
    try:
        settings = settings_module.load(os.environ)
    except SettingsError as error:
        return _report(Finding("settings", "failed", problem) for problem in error.problems)
    status = _report(_findings(settings))
    if options.send_code is None:
        return status
    if status:
        print("No code was sent. Fix the problems above first.")  # noqa: T201  a command prints to a terminal
        return status
    return send_and_verify(settings, options.send_code)


def _report(findings: Iterator[Finding]) -> int:
    failures = 0
    for finding in findings:
        status = finding.status.upper() if finding.status == "failed" else finding.status
        print(f"{finding.check:<9} {status:<8} {finding.text}", flush=True)  # noqa: T201  as above
        failures += finding.status == "failed"
    if failures:
        print(f"\nFailed checks: {failures}. Fix the problems and run the command again.")  # noqa: T201  as above
    return min(failures, 1)


def _findings(settings: Settings) -> Iterator[Finding]:
    yield from _with_warnings("settings", lambda: _check_settings(settings))
    endpoint, difference = _check_endpoint(settings)
    yield endpoint
    if endpoint.status == "ok":
        yield _check_clock(difference)
        yield _check_api_key(settings)
    else:
        yield Finding("clock", "skipped", "requires the endpoint")
        yield Finding("API key", "skipped", "requires the endpoint")
    yield from _with_warnings("ledger", lambda: _check_ledger(settings))


def _check_settings(settings: Settings) -> Finding:
    warn_weak_settings(settings)
    return Finding("settings", "ok", "all settings are valid")


def _check_endpoint(settings: Settings) -> tuple[Finding, float | None]:
    """Send one request without a signature. Also return the seconds by which the clock of this machine is ahead."""
    url = settings.domain_api_url
    ca_bundle = settings.domain_api_ca_bundle or certifi.where()
    started = time.time()
    try:
        with urllib3.PoolManager(ca_certs=ca_bundle, timeout=TIMEOUT, retries=False) as pool:
            response = pool.request("GET", url, redirect=False)
    except urllib3.exceptions.SSLError as error:
        remedy = "if a proxy with its own CA is in between, set DOMAIN_API_CA_BUNDLE to that CA's PEM file"
        return Finding(
            "endpoint", "failed", f"{url}: the certificate is not trusted ({_reason(error)}); {remedy}"
        ), None
    except urllib3.exceptions.HTTPError as error:
        remedy = "check DOMAIN_API_URL, the DNS server and the firewall"
        return Finding("endpoint", "failed", f"{url}: is not reachable ({_reason(error)}); {remedy}"), None
    finished = time.time()
    finding = Finding("endpoint", "ok", f"{url} responded in {(finished - started) * 1000:.0f} ms")
    try:
        theirs = parsedate_to_datetime(response.headers["Date"]).timestamp()
    except (KeyError, ValueError, OverflowError):
        return finding, None
    return finding, (started + finished) / 2 - theirs


def _reason(error: Exception) -> str:
    """Return the innermost cause, without the repr of the connection."""
    return str(error).rpartition(": ")[2] or type(error).__name__


def _check_clock(difference: float | None) -> Finding:
    if difference is None:
        return Finding("clock", "skipped", "the API's response has no Date header")
    direction = "ahead of" if difference > 0 else "behind"
    text = f"{abs(difference):.0f} s {direction} the API's clock"
    if abs(difference) <= MAX_CLOCK_DIFFERENCE:
        return Finding("clock", "ok", text)
    return Finding("clock", "failed", f"{text}; synchronize the clock of this machine, for example with NTP")


def _check_api_key(settings: Settings) -> Finding:
    """Call DescribeIntlPhoneEmailList for one row."""
    clock = SystemClock()
    params = {"Type": ContactType.PHONE.value, "Limit": 1, "Offset": 0}
    api = build_domain_api(settings, clock)
    call = api.call(DESCRIBE, params, static_credentials(settings), Deadline(clock, TIMEOUT))
    result = reply.classify(call, DESCRIBE)
    if result.outcome is VERIFIED:
        return Finding("API key", "ok", f"{DESCRIBE} is permitted (CreateIntlPhoneEmail was not called)")
    is_denied = (result.api_code or "").startswith(("UnauthorizedOperation", "AuthFailure.UnauthorizedOperation"))
    if is_denied and settings.resolve_unknown == "never":
        return Finding("API key", "ok", f"the key is valid; RESOLVE_UNKNOWN=never does not need {DESCRIBE}")
    if result.api_code and result.outcome is not BRIDGE_MISCONFIGURED:
        return Finding("API key", "failed", f"API error {result.api_code}; run the command again later")
    if result.api_code:
        remedy = remedy_for(result.api_code, DESCRIBE)
        return Finding("API key", "failed", f"{remedy} (API error {result.api_code})")
    if call.result == "no-credentials":
        return Finding("API key", "failed", NO_CREDENTIALS)
    return Finding("API key", "failed", f"the response is not from the API ({result.error}); check DOMAIN_API_URL")


def _check_ledger(settings: Settings) -> Finding:
    clock = SystemClock()
    ledger = build_ledger(settings, clock)
    try:
        ledger.ping(deadline=Deadline(clock, TIMEOUT))
    except LedgerUnavailable as error:
        return Finding("ledger", "failed", str(error))
    finally:
        ledger.close()
    if settings.ledger_file is None:
        return Finding("ledger", "ok", "the Redis server accepts writes; several instances can share it")
    return Finding("ledger", "ok", f"{settings.ledger_file} accepts writes; run one instance only")


def _with_warnings(name: str, run: Callable[[], Finding]) -> Iterator[Finding]:
    """Yield the finding of a check, and the warnings that the bridge logs during it."""
    with _Collector() as messages:
        finding = run()
    yield finding
    for message in messages:
        yield Finding(name, "warning", message)


class _Collector(logging.Handler):
    """Collects the messages of the bridge's log, so that the command does not print them as JSON."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())

    def __enter__(self) -> list[str]:
        self._before = log.level, log.propagate
        log.addHandler(self)
        log.setLevel(logging.INFO)
        log.propagate = False
        return self.messages

    def __exit__(self, *_: object) -> None:
        log.removeHandler(self)
        level, log.propagate = self._before
        log.setLevel(level)
