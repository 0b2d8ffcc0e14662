"""What one call of the API is answered by: its own checks, then an armed fault, then the contact's, then the truth.

In comes a request, out comes what to note of it and what to send; nothing is sent here.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from . import tc3
from .account.domain import Domain
from .account.error_codes import API_CODES, ApiError
from .calls import Call
from .faults import magic_contacts
from .faults.armed_faults import Faults
from .faults.wire_faults import PROCESSED, WIRE_FAULTS


class Account(Protocol):
    """The account that is called: its state, the faults that are armed, its API keys and its clock."""

    domain: Domain
    faults: Faults
    keys: dict[str, str]
    tokens: dict[str, str]
    now: Callable[[], float]
    delay: float


class Answer(NamedTuple):
    """The API's own reply, ``delay`` seconds after the call; ``broken`` is the wire fault that befalls it."""

    call: Call
    reply: bytes
    broken: str | None
    delay: float


def answer(account: Account, request: tc3.SignedRequest) -> Answer:
    """Judge a request and do what it asks."""
    headers, parameters = request.headers, parameters_of(request.body)
    contact = parameters.get("Code") if isinstance(parameters.get("Code"), str) else None
    action = headers.get("x-tc-action", "")
    call = Call(account.now(), action, contact, "OK", str(uuid.uuid4()), request=parameters)
    call.trace_id = headers.get("x-tc-traceid")
    response: dict[str, Any] = {}
    delay = account.delay
    try:
        behaviour = account.domain.behaviour
        tc3.check(
            request,
            keys=account.keys,
            tokens=account.tokens,
            now=account.now(),
            any_host=behaviour.any_host_signed,
        )
        account.domain.check_action(action, headers.get("x-tc-version", ""))
        _check_method(request.method)
        account.domain.check_rate(action)
        call.fault = account.faults.take(action, contact)
        chosen = magic_contacts.find_magic_contact(action, contact) if call.fault is None else None
        if chosen is None:
            _raise(call.fault)
            if call.fault is None or call.fault in PROCESSED:
                response = account.domain.perform(action, parameters)
            else:
                call.result = call.fault
        else:
            delay += chosen.delay
            _as_chosen(account, chosen, call)
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


def _as_chosen(account: Account, chosen: magic_contacts.MagicContact, call: Call) -> None:
    account.domain.check_parameters(call.action, call.request)
    call.fault = chosen.fault
    _raise(chosen.fault)
    if chosen.accepts:
        account.domain.accept((call.request["Type"], call.request["Code"]))
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
