"""The command `send`, which signs deliveries as a sender does, posts them, and prints the responses."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import requests
from signup_bridge.cli.installation import COMMAND, command_line
from signup_bridge.inbound import spelling

from signup_toolkit import sample_payloads, senders

from .api.faults.magic_contacts import CREATE, find_magic_contact
from .console.console import CODE_PATH, SIGNUP_PATH
from .console.origin_check import is_loopback
from .http_client import CommandError, EmulatorClient, no_response

CONTACT, CODE = "18766554433", "123456"
"""The example of the API's reference, which the emulator accepts once although no code was sent."""

_ADVICE = ", or set --url to post to another bridge"
_NO_CODE = "no code was sent to this contact: add --signup"
_NOT_ACCEPTED = "the bridge does not accept the first secret in WEBHOOK_SECRETS of this environment"
_EMULATOR_SIGNS = "WEBHOOK_SECRETS is not set in this environment: the emulator signs with the secret of its bridge"
_NOT_SET = "WEBHOOK_SECRETS: is not set; set it to the secret of the bridge at --url"


class Reply(NamedTuple):
    """The response to a delivery."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    text: str

    @property
    def document(self) -> Any:
        """The body as JSON values, None if it is not JSON."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None

    @property
    def code(self) -> str | None:
        document = self.document
        return document.get("code") if isinstance(document, dict) else None


class Target(NamedTuple):
    """The bridge that receives deliveries. Without a ``secret`` the emulator signs for this command.

    ``own_secret``: it is from this environment. ``emulated``: the bridge is the one beside the emulator.
    """

    sender: str
    secret: str | None
    preset: str | None
    own_secret: bool = True
    emulated: bool = False
    sends: bool = False


class Session(NamedTuple):
    """The values that each step of the command uses."""

    options: argparse.Namespace
    emulator: EmulatorClient
    target: Target


def send(options: argparse.Namespace) -> int:
    """Send one delivery; with `--signup` have a code sent and verify it. Return 0 if it is verified, otherwise 1.

    Raises CommandError.
    """
    if options.signup and options.url:
        raise CommandError("--signup: is not supported with --url, because the code is read from the emulator", 2)
    with EmulatorClient(options.emulator, advice=_ADVICE) as emulator:
        session = Session(options, emulator, _find_target(options, emulator))
        return _sign_up(session) if options.signup else _verify_once(session)


def _verify_once(session: Session) -> int:
    contact = session.options.contact or CONTACT
    return _finish(session, contact, _verify(session, contact, session.options.code or CODE))


def _sign_up(session: Session) -> int:
    """Have a code sent, read it from the emulator and verify it. Raises CommandError."""
    options, emulator = session.options, session.emulator
    contact = options.contact or f"signup-{secrets.token_hex(4)}@example.com"
    plain = _plain(contact)
    if session.target.sends:
        _narrate(options, f"POST {CODE_PATH}")
        reply = _deliver(session, contact, None)
        if reply.code != "sent":
            return _finish(session, contact, reply)
        if not options.json:
            _print_reply(reply, options)
    else:
        _narrate(options, "POST /emulator/codes, because SEND_CODES is false")
        emulator.request("POST", "/emulator/codes", {"contact": plain})
    codes = emulator.request("GET", "/emulator/codes", contact=plain)
    if not codes:
        raise CommandError(f"the emulator has no code for {contact}; the bridge may use another API")
    _narrate(options, f"\nThe emulator sent the code {codes[0]['code']} to {plain}.\n\nPOST {SIGNUP_PATH}")
    return _finish(session, contact, _verify(session, contact, codes[0]["code"]))


def _finish(session: Session, contact: str, reply: Reply) -> int:
    """Print the last response and a hint, and return the exit status."""
    _print_reply(reply, session.options)
    hint = _hint(session, contact, reply.code)
    if hint:
        _say(hint)
    return int(reply.code != "verified")


def _verify(session: Session, contact: str, code: str) -> Reply:
    """Post a verification; with `--fault` the API call for it fails. Raises CommandError."""
    if session.options.fault:
        fault = {"fault": session.options.fault, "contact": _plain(contact)}
        session.emulator.request("POST", "/emulator/faults", fault)
    return _deliver(session, contact, code)


def _deliver(session: Session, contact: str, code: str | None) -> Reply:
    """Sign and post a delivery; without a code it requests one. Raises CommandError."""
    options, target = session.options, session.target
    if target.secret is None:
        return _deliver_by_emulator(session, contact, code)
    body = sample_payloads.build_body(contact, code, preset=target.preset)
    try:
        headers = senders.sign_headers(body, sender=target.sender, secret=target.secret)
    except senders.SecretError as error:
        raise CommandError(str(error), 2) from None
    url = options.url or f"{options.emulator.rstrip('/')}{CODE_PATH if code is None else SIGNUP_PATH}"
    try:
        response = senders.post(url, body, headers)
    except requests.RequestException as error:
        raise CommandError(no_response(url, error)) from None
    return Reply(response.status_code, response.reason, list(response.headers.items()), response.text)


def _deliver_by_emulator(session: Session, contact: str, code: str | None) -> Reply:
    """Have the emulator sign and post a delivery: it knows a secret that it does not serve. Raises CommandError."""
    members = {"contact": contact, "sender": session.target.sender, **({} if code is None else {"verify_code": code})}
    delivery = session.emulator.request("POST", "/emulator/deliveries", members)
    response = delivery["response"]
    if response is None:
        raise CommandError(delivery["error"])
    return Reply(response["status"], response["reason"], response["headers"], response["body"])


def _find_target(options: argparse.Namespace, emulator: EmulatorClient) -> Target:
    """Return the bridge beside the emulator, or the one at `--url`, which the environment describes.

    Raises CommandError.
    """
    status = _emulated_status(options, emulator)
    own_secret = next(iter(os.environ.get("WEBHOOK_SECRETS", "").split()), None)
    if status is None:
        return _target_from_environment(options, own_secret)
    sender = options.sender or status["sender"]
    is_own = not status["secret_generated"]
    secret = "" if senders.AUTHS[sender] == "none" else own_secret if is_own else status["secret"]
    if secret is None:
        if options.url:
            raise CommandError(_NOT_SET, 2)
        if is_own:
            _say(_EMULATOR_SIGNS)
    return Target(sender, secret, status["preset"], own_secret=is_own, emulated=True, sends=status["sends"])


def _emulated_status(options: argparse.Namespace, emulator: EmulatorClient) -> dict[str, Any] | None:
    """Return the emulator's status if the delivery goes to its bridge, otherwise None. Raises CommandError."""
    if options.url is None:
        status = emulator.status()
        if status["bridge"] is None:
            raise CommandError(
                f"no bridge runs beside the emulator at {options.emulator}; start both with `{command_line('run')}`"
            )
        return status
    parts = urlsplit(options.url)
    if not is_loopback(parts.hostname or ""):
        return None
    try:
        status = emulator.status()
    except CommandError:
        return None
    ports = {urlsplit(url).port for url in (status["bridge"], options.emulator) if url}
    return status if status["bridge"] and parts.port in ports else None


def _target_from_environment(options: argparse.Namespace, secret: str | None) -> Target:
    """Return the bridge at `--url`. Raises CommandError."""
    sender = options.sender
    try:
        sender = sender or senders.default_sender(os.environ.get("WEBHOOK_AUTH") or "standard-webhooks")
    except ValueError as error:
        raise CommandError(str(error), 2) from None
    preset = os.environ.get("PAYLOAD_PRESET") or None
    if preset and preset not in sample_payloads.PAYLOADS:
        expected = ", ".join(sample_payloads.PAYLOADS)
        raise CommandError(f"PAYLOAD_PRESET: {preset} is not supported; expected one of {expected}", 2)
    if senders.AUTHS[sender] == "none":
        secret = ""
    if secret is None:
        raise CommandError(_NOT_SET, 2)
    return Target(sender, secret, preset)


def _hint(session: Session, contact: str, code: str | None) -> str | None:
    """Return the remedy for a refusal whose cause the emulator knows. Raises CommandError."""
    target = session.target
    if not target.emulated:
        return None
    if code == "signature-invalid" and target.own_secret and target.secret and not session.options.sender:
        return _NOT_ACCEPTED
    if code != "code-incorrect" or find_magic_contact(CREATE, contact):
        return None
    return None if session.emulator.request("GET", "/emulator/codes", contact=_plain(contact)) else _NO_CODE


def _plain(contact: str) -> str:
    """Return the contact in the spelling in which the bridge passes it to the API."""
    return spelling.visible(contact) if "@" in contact else spelling.phone(contact)


def _print_reply(reply: Reply, options: argparse.Namespace) -> None:
    document = reply.document
    if options.json:
        result = {"status": reply.status, "reason": reply.reason, "headers": dict(reply.headers)}
        print(json.dumps({**result, "body": reply.text if document is None else document}, indent=2))
        return
    print(f"{reply.status} {reply.code or reply.reason}")
    if options.verbose:
        for name, value in reply.headers:
            print(f"{name}: {value}")
        print()
    print(reply.text if document is None else json.dumps(document, indent=2, ensure_ascii=False))


def _narrate(options: argparse.Namespace, text: str) -> None:
    if not options.json:
        print(text)


def _say(text: str) -> None:
    print(f"{COMMAND} send: {text}", file=sys.stderr)
