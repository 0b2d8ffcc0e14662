"""What the command line asks of a running emulator, and of a bridge anywhere: `send`, `codes`, `deliveries`."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator
from typing import Any

import requests

from signup_toolkit import sample_payloads, senders

from .console.masking import masked


class Refused(Exception):  # noqa: N818  not a fault: what was asked for cannot be done
    """What was asked for is refused; the text says why. ``status`` is the exit status, 2 for wrong usage."""

    def __init__(self, why: str, status: int = 1) -> None:
        super().__init__(why)
        self.status = status


def send(options: argparse.Namespace) -> int:
    """Sign one delivery, post it, print the answer; 0 when it is verified. Raises Refused, requests' exceptions."""
    sender = options.sender or _of_environment()
    secret = next(iter(os.environ.get("WEBHOOK_SECRETS", "").split()), senders.DEMO_SECRET)
    preset = os.environ.get("PAYLOAD_PRESET")
    if not options.url:  # the bridge beside the emulator reads what it was told to, whatever is set here
        preset = _ask(options.emulator, "GET", "/emulator/status")["preset"]
    if preset and preset not in sample_payloads.PAYLOADS:
        raise Refused(f"PAYLOAD_PRESET: {preset} is none of {', '.join(sample_payloads.PAYLOADS)}", 2)
    body = sample_payloads.build_body(options.contact, options.code, preset=preset)
    try:
        headers = senders.sign_headers(body, sender=sender, secret=secret)
    except senders.SecretError as error:
        raise Refused(str(error), 2) from None
    if options.fault:
        _ask(options.emulator, "POST", "/emulator/faults", {"fault": options.fault, "contact": options.contact})
    url = options.url or f"{options.emulator}/webhooks/signup"
    try:
        answer = senders.post(url, body, headers)
    except requests.ConnectionError:
        raise Refused(f"nobody answers at {url}; is `signup-bridge run` running?") from None
    try:
        document = answer.json()
    except ValueError:
        document = None
    if options.json:
        told = {"status": answer.status_code, "reason": answer.reason, "headers": dict(answer.headers)}
        print(json.dumps({**told, "body": answer.text if document is None else document}, indent=2))
    else:
        print(f"{answer.status_code} {answer.reason}")
        for name, value in answer.headers.items():
            print(f"{name}: {value}")
        print()
        print(answer.text if document is None else json.dumps(document, indent=2, ensure_ascii=False))
    return 0 if isinstance(document, dict) and document.get("status") == "verified" else 1


def codes(options: argparse.Namespace) -> int:
    """Print the codes that were sent. Raises Refused, requests' exceptions."""
    if options.send:
        found = [_ask(options.emulator, "POST", "/emulator/codes", {"contact": options.send})]
    else:
        found = _ask(options.emulator, "GET", "/emulator/codes", contact=options.contact)
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for code in found:
        print(f"{_clock(code['sent_at'])}  {code['code']}  {code['contact']}  {code['state']}")
    if not found:
        print("no codes yet; have one sent: signup-bridge codes --send CONTACT")
    return 0


def deliveries(options: argparse.Namespace) -> int:
    """Print the deliveries that were seen, and go on if told to. Raises Refused, requests' exceptions."""
    if not options.follow:
        found = _ask(options.emulator, "GET", "/emulator/deliveries", contact=options.contact)
        if options.json:
            print(json.dumps(found, indent=2))
        for delivery in [] if options.json else found:
            print(_line(delivery))
        return 0
    shown: set[int] = set()
    for delivery in _live(options.emulator):
        # It is told more than once; one from before may be told again, for what became of it since.
        if delivery["state"] != "done" or delivery["number"] in shown:
            continue
        shown.add(delivery["number"])
        if options.contact and not _is_of(delivery, options.contact):
            continue
        print(json.dumps(delivery) if options.json else _line(delivery), flush=True)
    raise Refused("the emulator has stopped")


def _live(emulator: str) -> Iterator[dict[str, Any]]:
    """The deliveries as they come, each as often as more is known of it."""
    with requests.Session() as session:
        session.trust_env = False
        with _answered(session, emulator, "GET", "/emulator/events", stream=True) as answer:
            event = ""
            try:
                for line in answer.iter_lines(chunk_size=1):
                    name, _, value = line.decode().partition(": ")
                    if name == "event":
                        event = value
                    elif name == "data" and event == "delivery":
                        yield json.loads(value)
            except requests.exceptions.ChunkedEncodingError:
                return


def _ask(emulator: str, method: str, path: str, body: Any = None, **query: str | None) -> Any:
    with requests.Session() as session:
        session.trust_env = False
        return _answered(session, emulator, method, path, json=body, params=query, timeout=30).json()


def _answered(session: requests.Session, emulator: str, method: str, path: str, **options: Any) -> requests.Response:
    try:
        answer = session.request(method, emulator + path, **options)
    except requests.ConnectionError:
        raise Refused(f"nobody answers at {emulator}; is `signup-bridge run` running?") from None
    if not answer.ok:
        raise Refused(answer.json()["error"])
    return answer


def _line(delivery: dict[str, Any]) -> str:
    marks = [name for name in ("replayed", "resolved") if delivery[name]]
    marks += [f"{delivery['as']} repeat of {delivery['repeats']}"] if delivery["repeats"] else []
    verdict = delivery["outcome"] or delivery["error"] or "?"
    line = (
        f"{delivery['number']:4}  {_clock(delivery['at'])}  {delivery['status'] or '---'}  {verdict:22}  "
        f"{delivery['sender'] or '-':9}  {delivery['contact'] or '-':24}  {delivery['duration_ms'] or 0:8.1f} ms"
    )
    return "  ".join((line, *marks))


def _is_of(delivery: dict[str, Any], contact: str) -> bool:
    request = delivery["request"]
    return contact in request["body"] if request else delivery["contact"] == masked(contact)


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))


def _of_environment() -> str:
    """The sender that a bridge with this environment believes. Raises Refused."""
    try:
        return senders.default_sender(os.environ.get("WEBHOOK_AUTH") or "standard-webhooks")
    except ValueError as error:
        raise Refused(str(error), 2) from None
