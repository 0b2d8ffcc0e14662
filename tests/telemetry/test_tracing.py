"""Test that a request's trace is in the log lines and in the calls of the API."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import requests
from signup_bridge.telemetry import tracing

from tests.support.bridge.event_builders import handle, url_event
from tests.support.bridge.instances import bridge, gunicorn, post
from tests.support.bridge.signed_requests import body, signed
from tests.support.network.upstream import Upstream, reply, send

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE}-00f067aa0ba902b7-01"
VERIFIED = reply({"Response": {"RequestId": "eac6b301-a322-493a-8e36-83b295459397"}})


def trace_ids(upstream: Upstream) -> list[bytes]:
    lines = b"\r\n".join(upstream.requests).split(b"\r\n")
    return [line.partition(b": ")[2] for line in lines if line.lower().startswith(b"x-tc-traceid:")]


def test_trace_id_is_on_every_line_and_call(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Upstream(send(VERIFIED)) as upstream:
        with gunicorn(upstream.url, log, LOG_LEVEL="DEBUG") as url:
            data = body()
            assert post(url, data, signed(data) | {"traceparent": TRACEPARENT}).status == 200
            assert requests.post(url, data=data, headers={"traceparent": TRACEPARENT}, timeout=60).status_code == 401
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        assert trace_ids(upstream) == [TRACE.encode()]
    request_lines = [line for line in lines if "request_id" in line]
    assert {line["outcome"] for line in request_lines} == {"verified", "signature-invalid"}
    assert {line["trace_id"] for line in request_lines} == {TRACE}
    assert [line for line in lines if line not in request_lines and "trace_id" in line] == []


def test_call_without_trace_has_its_own_id() -> None:
    with Upstream(send(VERIFIED)) as upstream:
        bridged = bridge(upstream.url)
        for delivery in (body(), body(contact="10086")):
            assert bridged.post(delivery, signed(delivery) | {"traceparent": "00-none"}).status == 200
        first, second = trace_ids(upstream)
    assert first != second


def test_http_event_trace_reaches_api() -> None:
    data = body()
    event = url_event(data, headers=signed(data) | {"traceparent": TRACEPARENT})
    with Upstream(send(VERIFIED)) as upstream:
        assert handle(bridge(upstream.url), event).status == 200
        assert trace_ids(upstream) == [TRACE.encode()]


@pytest.mark.parametrize(
    "header", [TRACEPARENT, f" {TRACEPARENT}\t", f"01-{TRACE}-00f067aa0ba902b7-01-more", "cc" + TRACEPARENT[2:]]
)
def test_from_header_valid_traceparent_returns_trace_id(header: str) -> None:
    assert tracing.from_header(header) == TRACE


@pytest.mark.parametrize(
    "header",
    [
        "",
        TRACE,
        TRACEPARENT.upper(),
        "ff" + TRACEPARENT[2:],
        f"{TRACEPARENT}-more",
        f"{TRACEPARENT}0",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{'18766554433'.rjust(32, '1')}-00f067aa0ba902b7-01",
        f"00-{TRACE}-00f067aa0ba902b7-01\n{TRACEPARENT}",
        f"01-{TRACE}-00f067aa0ba902b7-01-\nmore",
    ],
)
def test_from_header_invalid_traceparent_returns_none(header: str) -> None:
    assert tracing.from_header(header) is None
