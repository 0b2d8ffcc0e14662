"""What the console does, whoever asks for it: codes are sent, deliveries made, passed on and repeated.

Nothing here is part of the bridge: it is watched from outside, by its answers, its log and the calls that it makes.
"""

from __future__ import annotations

import http.client
import json
import shlex
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from signup_emulator.api.account.domain import Contact
from signup_emulator.api.account.error_codes import ApiError
from signup_emulator.api.calls import Call
from signup_emulator.api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY, ApiServer
from signup_toolkit import sample_payloads, senders

from . import proxy as way
from .deliveries import As, Deliveries, Delivery, Request, Via
from .event_stream import EventStream
from .masking import masked
from .proxy import BridgeTarget

STALE = 600.0
"""Seconds by which a stale delivery's signature is old: twice the usual tolerance."""

SIGNUP_PATH, CODE_PATH = "/webhooks/signup", "/webhooks/code"
SEND, CREATE, DELETE = "SendIntlPhoneEmailCode", "CreateIntlPhoneEmail", "DeleteIntlPhoneEmail"
TYPES = {"phone": 1, "email": 2}
TYPE_NAMES = {number: name for name, number in TYPES.items()}


class ConsoleError(Exception):
    """What was asked for cannot be done; its text says why, and what to do."""


@dataclass(frozen=True)
class DeliveryRequest:
    """A delivery that is to be made; without a ``verify_code`` it asks the bridge to send one."""

    contact: str
    verify_code: str | None
    type: str | None = None
    sender: str | None = None


class Console:
    """The console of an emulated account.

    ``bridge`` is None as long as there is none; ``forget`` empties its ledger, if that is this console's to do.
    """

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        self.live = EventStream()
        self.bridge: BridgeTarget | None = None
        self.forget: Callable[[], None] = lambda: None
        self.deliveries = Deliveries(lambda document: self.live.publish("delivery", document), lambda: api.calls)
        api.on_call = self._called

    def send_code(self, contact: str, kind: str | None) -> dict[str, Any]:
        """Have a code sent, through the API and the official SDK, as a signup system would; the code.

        Raises ApiError, or ConsoleError when the API gave no usable answer.
        """
        profile = ClientProfile(
            httpProfile=HttpProfile(protocol=self.api.scheme, endpoint=self.api.address, reqTimeout=10)
        )
        client = CommonClient("domain", "2018-08-08", Credential(DEMO_SECRET_ID, DEMO_SECRET_KEY), "", profile)
        number = TYPES[kind or ("email" if "@" in contact else "phone")]
        try:
            reply = json.loads(client.call(SEND, {"Type": number, "Code": contact}))["Response"]
        except TencentCloudSDKException as error:
            if error.get_request_id():
                raise ApiError(error.get_code(), error.get_message()) from None
            raise ConsoleError(f"the API gave no answer: {error.get_code()}") from None
        except (ValueError, KeyError, TypeError):
            raise ConsoleError("the API's answer is not usable: a fault is armed") from None
        if "RequestId" not in reply or "Error" in reply:
            raise ConsoleError("the API's answer is not usable: a fault is armed")
        return next(code for code in self.codes() if code["contact"] == contact)

    def codes(self, contact: str | None = None) -> list[dict[str, Any]]:
        """The codes that were sent, of all contacts or of one, the newest first."""
        behaviour, now = self.api.domain.behaviour, self.api.now()
        newest: set[Contact] = set()
        codes = []
        for number, code in reversed(list(enumerate(self.api.domain.all_codes(), 1))):
            replaced = code.contact in newest and not behaviour.replaced_code_good
            newest.add(code.contact)
            if code.sent_at is None or contact not in (None, code.contact[1]):
                continue
            expires_at = code.sent_at + behaviour.code_life
            gone = "used" if code.used else "expired" if now > expires_at else "replaced" if replaced else None
            codes.append(
                {
                    "id": number,
                    **_shown(code.contact),
                    "code": code.code,
                    "sent_at": code.sent_at,
                    "expires_at": expires_at,
                    "state": gone or "good",
                }
            )
        return codes

    def verified(self) -> list[dict[str, Any]]:
        """The contacts on the account's list, the newest first."""
        listed = sorted(self.api.domain.verified().items(), key=lambda item: -item[1])
        return [{**_shown(contact), "verified_at": at} for contact, at in listed]

    def deliver(self, order: DeliveryRequest, *, wait: bool = True) -> Delivery:
        """Sign a delivery as a sender does, and post it. Raises ConsoleError."""
        bridge = self._bridge()
        if order.verify_code is None and not bridge.sends:
            raise ConsoleError("verify_code: is missing, and the bridge sends no codes: set SEND_CODES=true for that")
        sender = order.sender or senders.default_sender(bridge.auth)
        body = sample_payloads.build_body(order.contact, order.verify_code, order.type, bridge.preset)
        path = CODE_PATH if order.verify_code is None else SIGNUP_PATH
        return self._make(self._signed(bridge, sender, body, path=path), "console", wait=wait)

    def redeliver(self, number: int, repeated_as: As) -> Delivery:
        """Post a delivery again: under the same id with a fresh signature, with a stale one, or with a byte changed.

        Raises ConsoleError.
        """
        first = self._seen(number)
        request = self._again(first, stale=repeated_as == "stale")
        if repeated_as == "tampered":
            request.body = _tampered(request.body)
        return self._make(request, "console", repeats=number, repeated_as=repeated_as)

    def curl(self, number: int) -> str:
        """A command that posts a delivery again, freshly signed. Raises ConsoleError."""
        bridge, request = self._bridge(), self._again(self._seen(number))
        command = ["curl", "-i", "-X", request.method, f"{bridge.url}{request.path}"]
        for name, value in way.kept(request.headers):
            command += ["-H", f"{name}: {value}"]
        return shlex.join([*command, "--data-binary", request.body])

    def pass_on(self, request: Request) -> Delivery:
        """Pass a request on to the bridge, and note it. Raises ConsoleError."""
        self._bridge()
        return self._make(request, "proxy")

    def reset(self) -> None:
        """Start afresh: nothing sent, verified, delivered or armed, and the bridge's own ledger empty."""
        self.api.reset()
        self.forget()
        self.deliveries.clear()
        self.live.publish("reset", {})

    def close(self) -> None:
        self.live.close()

    def _bridge(self) -> BridgeTarget:
        if self.bridge is None:
            raise ConsoleError("there is no bridge: this is the API's emulator alone; start both by `make run`")
        return self.bridge

    def _seen(self, number: int) -> Delivery:
        delivery = self.deliveries.get(number)
        if delivery is None:
            raise ConsoleError(f"there is no delivery {number}")
        if delivery.request is None:
            raise ConsoleError("it was posted straight to the bridge: what it looked like is not known")
        return delivery

    def _again(self, first: Delivery, *, stale: bool = False) -> Request:
        """The request of a delivery, signed again by the sender that it came from."""
        request, sender = first.request, first.sender or "none"
        if request is None:
            raise ConsoleError("what it looked like is not known")
        if stale and senders.AUTHS[sender] != "standard-webhooks":
            raise ConsoleError(f"the sender {sender} signs no time: nothing of it grows stale")
        delivery_id = None if sender == "supabase" else first.delivery_id  # it mints a new one at each try
        at = time.time() - STALE if stale else None
        return self._signed(
            self._bridge(), sender, request.body.encode("utf-8", "surrogateescape"), request, delivery_id, at
        )

    def _signed(
        self,
        bridge: BridgeTarget,
        sender: str,
        body: bytes,
        like: Request | None = None,
        delivery_id: str | None = None,
        at: float | None = None,
        *,
        path: str = SIGNUP_PATH,
    ) -> Request:
        """A request with this body, with the headers of another one but for those that sign it."""
        try:
            signed = senders.sign_headers(body, sender=sender, secret=bridge.secret, delivery_id=delivery_id, at=at)
        except senders.SecretError as error:
            raise ConsoleError(str(error)) from None
        new = {name.lower() for name in signed}
        rest = [(name, value) for name, value in (like.headers if like else []) if name.lower() not in new]
        if like is not None and ("Content-Type", signed["Content-Type"]) not in like.headers:
            rest = [*(pair for pair in like.headers if pair[0].lower() == "content-type"), *rest]
            del signed["Content-Type"]
        return Request(
            "POST", like.path if like else path, [*rest, *signed.items()], body.decode("utf-8", "surrogateescape")
        )

    def _make(self, request: Request, via: Via, *, wait: bool = True, **known: Any) -> Delivery:
        """Note a delivery, pass it on, and note its answer; without ``wait`` after this returns."""
        bridge = self._bridge()
        headers, trace = way.traced(request.headers)
        sender, delivery_id = senders.detect_sender({name.lower(): value for name, value in request.headers})
        delivery = self.deliveries.begin(
            via, sender=sender, delivery_id=delivery_id, request=request, trace=trace, **known
        )

        def go() -> None:
            try:
                answer = way.pass_on(bridge, request, headers)
            except (OSError, http.client.HTTPException, ValueError) as error:  # the last: it is no HTTP
                told = f"the bridge at {bridge.url} gave no answer: {type(error).__name__}"
                self.deliveries.end(delivery, None, told)
            else:
                self.deliveries.end(delivery, answer)

        if wait:
            go()
        else:
            threading.Thread(target=go, daemon=True).start()
        return delivery

    def _called(self, call: Call) -> None:
        """The API was called: codes may be used up, and faults."""
        if call.action in (SEND, CREATE) and call.contact is not None:
            for code in reversed(self.codes(call.contact)):
                self.live.publish("code", code)
        if call.fault is not None:
            self.live.publish("faults", self.api.faults.armed())


def _shown(contact: Contact) -> dict[str, str]:
    return {"type": TYPE_NAMES[contact[0]], "contact": contact[1], "masked": masked(contact[1])}


def _tampered(body: str) -> str:
    """The body with one byte changed, its last digit or letter: still JSON, but not what was signed."""
    for at in range(len(body) - 1, -1, -1):
        if body[at].isascii() and body[at].isalnum():
            return f"{body[:at]}{'1' if body[at] != '1' else '2'}{body[at + 1 :]}"
    return body + " "


REPEATED_AS: tuple[As, ...] = get_args(As)
