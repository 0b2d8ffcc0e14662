"""Send deliveries with ids chosen by the test, one or many at once, and query their outcomes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from tests.support.bridge.instances import Bridge
from tests.support.bridge.responses import HttpResponse, parse_response
from tests.support.bridge.signed_requests import body, signed

Build = Callable[..., Bridge]
WRONG = "000000"


def deliver(to: Bridge, delivery_id: str = "msg_1", **members: Any) -> HttpResponse:
    data = body(**members)
    return to.post(data, signed(data, delivery_id=delivery_id))


def at_once(count: int, work: Callable[[int], HttpResponse]) -> list[HttpResponse]:
    responses: list[HttpResponse] = []
    threads = [threading.Thread(target=lambda n: responses.append(work(n)), args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(responses) == count
    return responses


def replay_of(first: HttpResponse) -> HttpResponse:
    return HttpResponse(first.status, first.headers | {"idempotent-replayed": "true"}, first.body)


def ask(of: Bridge, delivery_id: str, **headers: str) -> tuple[int, Any]:
    response = of.client.get(f"/deliveries/{delivery_id}", headers=signed(b"") | headers)
    parsed = parse_response(response.status_code, list(response.headers), response.data, timed=of.timed)
    return parsed.status, parsed.json
