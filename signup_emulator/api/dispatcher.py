"""What one call of the API is answered by: its own checks, then an armed fault, then the contact's, then the truth.

In comes a request, out comes what to note of it and what to send; nothing is sent here.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from . import tc3
from .account.error_codes import API_CODES, ApiError
from .calls import Call
from .faults import magic_contacts
from .faults.wire_faults import PROCESSED, WIRE_FAULTS

if TYPE_CHECKING:
    from .server import ApiServer


class Answer(NamedTuple):
    """The API's own reply, ``delay`` seconds after the call; ``broken`` is the wire fault that befalls it."""

    call: Call
    reply: bytes
    broken: str | None
    delay: float


def answer(server: ApiServer, request: tc3.Request) -> Answer:
    """Judge a request and do what it asks."""
    headers, parameters = request.headers, parameters_of(request.body)
    contact = parameters.get("Code") if isinstance(parameters.get("Code"), str) else None
    action = headers.get("x-tc-action", "")
    call = Call(server.now(), action, contact, "OK", str(uuid.uuid4()), request=parameters)
    call.trace_id = headers.get("x-tc-traceid")
    response: dict[str, Any] = {}
    delay = server.delay
    try:
        behaviour = server.domain.behaviour
        tc3.check(
            request,
            keys=server.keys,
            tokens=server.tokens,
            now=server.now(),
            any_host=behaviour.any_host_signed,
        )
        server.domain.check_action(action, headers.get("x-tc-version", ""))
        _check_method(request.method)
        server.domain.check_rate(action)
        call.fault = server.faults.take(action, contact)
        chosen = magic_contacts.chosen(action, contact) if call.fault is None else None
        if chosen is None:
            _raise(call.fault)
            if call.fault is None or call.fault in PROCESSED:
                response = server.domain.perform(action, parameters)
            else:
                call.result = call.fault
        else:
            delay += chosen.delay
            _as_chosen(server, chosen, call)
    except ApiError as error:
        call.result = error.code
        response = {"Error": {"Code": error.code, "Message": error.message}}
    reply = json.dumps({"Response": {**response, "RequestId": call.request_id}}).encode()
    return Answer(call, reply, call.fault if call.fault in WIRE_FAULTS else None, delay)


def _check_method(method: str) -> None:
    """Raises ApiError unless it is POST, by the codes that the API documents for other methods."""
    if method == "GET":
        raise ApiError("InternalError.MethodNotMatch", "Method mismatch: the action takes POST with a JSON body.")
    if method != "POST":
        raise ApiError("UnsupportedProtocol", f"The method {method} is not supported: send POST.")


def _as_chosen(server: ApiServer, chosen: magic_contacts.MagicContact, call: Call) -> None:
    server.domain.check_parameters(call.action, call.request)
    call.fault = chosen.fault
    _raise(chosen.fault)
    if chosen.accepts:
        server.domain.accept((call.request["Type"], call.request["Code"]))
    elif chosen.fault is not None:
        call.result = chosen.fault


def _raise(fault: str | None) -> None:
    """Raises ApiError for a fault that is the API's own error."""
    if fault is not None and fault not in WIRE_FAULTS:
        raise ApiError(fault, API_CODES.get(fault, "An error that was asked for."))


def parameters_of(body: bytes) -> dict[str, Any]:
    """The call's parameters; none when they are not a JSON object, so that the check names what is missing."""
    try:
        document: Any = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return dict(document) if isinstance(document, Mapping) else {}
