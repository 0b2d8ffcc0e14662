"""Choose the reply to a call: the API's checks, then an armed fault, a magic contact, and the account's state."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from signup_bridge.core import strict_json

from . import tc3
from .account.domain import Domain
from .account.error_codes import API_CODES, ApiError
from .calls import Call
from .faults import magic_contacts
from .faults.armed_faults import Faults
from .faults.wire_faults import PROCESSED, WIRE_FAULTS


class Account(Protocol):
    """The account that is called: its state, armed faults, API keys and clock."""

    domain: Domain
    faults: Faults
    keys: dict[str, str]
    tokens: dict[str, str]
    now: Callable[[], float]
    delay: float


class Dispatched(NamedTuple):
    """A recorded call and its reply, which is sent after ``delay`` seconds and damaged by ``wire_fault``."""

    call: Call
    reply: bytes
    wire_fault: str | None
    delay: float


def dispatch(account: Account, request: tc3.SignedRequest) -> Dispatched:
    """Check a request and perform its action."""
    headers, parameters = request.headers, parse_parameters(request.body)
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
        magic = magic_contacts.find_magic_contact(action, contact) if call.fault is None else None
        if magic is None:
            _raise_api_error(call.fault)
            if call.fault is None or call.fault in PROCESSED:
                response = account.domain.perform(action, parameters)
            else:
                call.result = call.fault
        else:
            delay += magic.delay
            _apply_magic_contact(account, magic, call)
    except ApiError as error:
        call.result = error.code
        response = {"Error": {"Code": error.code, "Message": error.message}}
    reply = json.dumps({"Response": {**response, "RequestId": call.request_id}}).encode()
    return Dispatched(call, reply, call.fault if call.fault in WIRE_FAULTS else None, delay)


def _check_method(method: str) -> None:
    """Check that the method is POST. Raises ApiError with the code that the API documents for other methods."""
    if method == "GET":
        raise ApiError("InternalError.MethodNotMatch", "Method mismatch: the action requires POST with a JSON body.")
    if method != "POST":
        raise ApiError("UnsupportedProtocol", f"The method {method} is not supported: send POST.")


def _apply_magic_contact(account: Account, magic: magic_contacts.MagicContact, call: Call) -> None:
    account.domain.check_parameters(call.action, call.request)
    call.fault = magic.fault
    _raise_api_error(magic.fault)
    if magic.accepts:
        account.domain.accept((call.request["Type"], call.request["Code"]))
    elif magic.fault is not None:
        call.result = magic.fault


def _raise_api_error(fault: str | None) -> None:
    """Raise ApiError if the fault is an API error code."""
    if fault is not None and fault not in WIRE_FAULTS:
        raise ApiError(fault, API_CODES.get(fault, "An armed error."))


def parse_parameters(body: bytes) -> dict[str, Any]:
    """Return the parameters, none if the body is not a JSON object: the check then reports them as missing."""
    try:
        document: Any = strict_json.loads(body)
    except ValueError:
        return {}
    return dict(document) if isinstance(document, Mapping) else {}
