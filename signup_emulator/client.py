"""The commands `codes` and `deliveries`, which call a running emulator."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any

import requests
from signup_bridge.cli.installation import command_line

from .console.masking import masked
from .http_client import CommandError, EmulatorClient


def codes(options: argparse.Namespace) -> int:
    """Print the codes that were sent, or send one and print only it. Raises CommandError."""
    with EmulatorClient(options.emulator) as emulator:
        if options.send:
            found = [emulator.request("POST", "/emulator/codes", {"contact": options.send})]
        else:
            found = emulator.request("GET", "/emulator/codes", contact=options.contact)
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for code in found:
        row = f"{_format_time(code['sent_at'])}  {code['code']}  {code['contact']}  {code['state']}"
        print(code["code"] if options.send else row)
    if not found:
        print(f"no codes yet; to send one: {command_line('codes', '--send')} CONTACT")
    return 0


def deliveries(options: argparse.Namespace) -> int:
    """Print the deliveries; with `--follow` also each new one. Raises CommandError."""
    if not options.follow:
        with EmulatorClient(options.emulator) as emulator:
            found = emulator.request("GET", "/emulator/deliveries", contact=options.contact)
        if options.json:
            print(json.dumps(found, indent=2))
        for delivery in [] if options.json else found:
            print(_format_line(delivery))
        return 0
    shown: set[int] = set()
    for delivery in _stream_deliveries(options.emulator):
        # The emulator publishes a delivery each time it changes.
        if delivery["state"] != "done" or delivery["number"] in shown:
            continue
        shown.add(delivery["number"])
        if options.contact and not _is_for(delivery, options.contact):
            continue
        print(json.dumps(delivery) if options.json else _format_line(delivery), flush=True)
    raise CommandError("the emulator has stopped")


def _stream_deliveries(url: str) -> Iterator[dict[str, Any]]:
    """Yield the deliveries that the emulator publishes, each one every time it changes."""
    with EmulatorClient(url) as emulator, emulator.stream("/emulator/events") as response:
        event = ""
        try:
            for line in response.iter_lines(chunk_size=1):
                name, _, value = line.decode().partition(": ")
                if name == "event":
                    event = value
                elif name == "data" and event == "delivery":
                    yield json.loads(value)
        except requests.exceptions.ChunkedEncodingError:
            return


def _format_line(delivery: dict[str, Any]) -> str:
    marks = [name for name in ("replayed", "resolved") if delivery[name]]
    marks += [f"{delivery['as']} repeat of {delivery['repeats']}"] if delivery["repeats"] else []
    outcome = delivery["outcome"] or delivery["error"] or "?"
    line = (
        f"{delivery['number']:4}  {_format_time(delivery['at'])}  {delivery['status'] or '---'}  {outcome:22}  "
        f"{delivery['sender'] or '-':9}  {delivery['contact'] or '-':24}  {delivery['duration_ms'] or 0:8.1f} ms"
    )
    return "  ".join((line, *marks))


def _is_for(delivery: dict[str, Any], contact: str) -> bool:
    request = delivery["request"]
    return contact in request["body"] if request else delivery["contact"] == masked(contact)


def _format_time(at: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(at))
