"""Send requests to the REST interface of the console."""

from __future__ import annotations

from typing import Any

import requests

from tests.support.emulator.make_run import Pair

CONTACT = "18700001234"


def code_for(pair: Pair, contact: str = CONTACT) -> str:
    code: str = pair.post("codes", {"contact": contact})["code"]
    return code


def signed_up(pair: Pair, sender: str = "standard", contact: str = CONTACT) -> Any:
    order = {"contact": contact, "verify_code": code_for(pair, contact), "sender": sender}
    return pair.post("deliveries", order)


def refusal(pair: Pair, method: str, path: str, document: Any = None) -> tuple[int, str]:
    response = requests.request(method, f"{pair.url}/emulator/{path}", json=document, timeout=60)
    return response.status_code, response.json()["error"]
