"""Build the events that the platform passes to an event function, and pass them to a bridge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from tests.support import ROOT, log_audit
from tests.support.bridge.instances import Bridge
from tests.support.bridge.responses import HttpResponse, parse_response
from tests.support.bridge.signed_requests import CODE, PHONE, body, signed
from tests.support.log_lines import lines_of

CONTEXT = {
    "memory_limit_in_mb": 128,
    "time_limit_in_ms": 10_000,
    "request_id": "c1ab2d3e-0000-4000-8000-000000000000",
    "function_name": "signup-bridge",
    "tencentcloud_region": "ap-singapore",
}
DIRECT = {"type": "phone", "contact": PHONE, "verify_code": CODE}


def url_event(data: bytes | None = None, **changed: Any) -> dict[str, Any]:
    """Return the event of a Function URL."""
    data = body() if data is None else data
    headers = {name.lower(): value for name, value in signed(data).items()}
    event = {"body": data.decode(), "headers": headers, "httpMethod": "POST", "path": "/", "queryString": {}}
    return {name: value for name, value in (event | changed).items() if value is not ...}


def gateway_event(data: bytes | None = None, **changed: Any) -> dict[str, Any]:
    """Return the event of an API gateway."""
    data = body() if data is None else data
    return (
        url_event(
            data,
            headers=signed(data),
            path="/webhooks/signup",
            requestContext={"serviceId": "s", "path": "/webhooks/signup", "httpMethod": "POST", "stage": "release"},
            queryStringParameters={},
            pathParameters={},
            headerParameters={},
            stageVariables={},
            isBase64Encoded=False,
        )
        | changed
    )


def handle(bridged: Bridge, event: object, context: object = CONTEXT) -> HttpResponse:
    response = bridged.events.handle(event, context)
    assert set(response) == {"isBase64Encoded", "statusCode", "headers", "body"}
    assert response["isBase64Encoded"] is False
    assert json.loads(json.dumps(response)) == response
    return parse_response(response["statusCode"], response["headers"].items(), response["body"].encode())


INVOKE = """
import json, sys
from index import main_handler
for line in sys.stdin:
    print("ANSWER", json.dumps(main_handler(json.loads(line), {"request_id": "r-1"})), flush=True)
"""


def invoke(environ: dict[str, str], *events: object) -> tuple[list[dict[str, Any]], str]:
    """Call the deployed entry point in a separate process; return the responses and the process's output."""
    kept = {name: value for name, value in os.environ.items() if name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-c", INVOKE],
        cwd=ROOT / "function",
        env=kept | environ,
        input="".join(json.dumps(event) + "\n" for event in events),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert log_audit.leaks(done.stdout + done.stderr) == []
    responses = [json.loads(line.removeprefix("ANSWER ")) for line in lines if line.startswith("ANSWER ")]
    written = "\n".join([line for line in lines if not line.startswith("ANSWER ")] + [done.stderr])
    lines_of(written)
    return responses, written
