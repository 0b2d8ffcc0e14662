"""The console's actions: send codes; send, relay and repeat deliveries.

The console observes the bridge from outside: its responses, its log, and the API calls that it makes.
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

from signup_bridge.cli.installation import command_line
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

from . import proxy
from .deliveries import Deliveries, Delivery, HttpRequest, RepeatKind, Via
from .event_stream import EventStream
from .masking import masked
from .proxy import BridgeTarget

STALE_AGE = 600.0
"""The age in seconds of a stale delivery's signature: twice the default tolerance."""

SIGNUP_PATH, CODE_PATH = "/webhooks/signup", "/webhooks/code"
SEND, CREATE, DELETE = "SendIntlPhoneEmailCode", "CreateIntlPhoneEmail", "DeleteIntlPhoneEmail"
TYPES = {"phone": 1, "email": 2}
TYPE_NAMES = {number: name for name, number in TYPES.items()}

_UNUSABLE_REPLY = "an armed fault damaged the API's reply; send the code again"

_TOKEN = "Bearer $WEBHOOK_SECRETS"  # noqa: S105  a shell variable, not a token


class ConsoleError(Exception):
    """An action is not possible. The text names the cause and the remedy."""


@dataclass(frozen=True)
class DeliveryRequest:
    """A delivery to send. Without a ``verify_code`` it requests a code."""

    contact: str
    verify_code: str | None
    type: str | None = None
    sender: str | None = None


class Console:
    """The console of an emulated account.

    ``bridge`` is None if there is none. ``clear_ledger`` empties the bridge's ledger if `run` created it.
    """

    def __init__(self, api: ApiServer) -> None:
        self.api = api
        self.events = EventStream()
        self.bridge: BridgeTarget | None = None
        self.clear_ledger: Callable[[], None] = lambda: None
        self.deliveries = Deliveries(lambda document: self.events.publish("delivery", document), lambda: api.calls)
        api.on_call = self._on_call

    def send_code(self, contact: str, kind: str | None) -> dict[str, Any]:
        """Send a code with the official SDK, as a signup system does, and return it.

        Raises ApiError, or ConsoleError if the API returns no usable reply.
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
            raise ConsoleError(f"the API did not reply: {error.get_code()}") from None
        except (ValueError, KeyError, TypeError):
            raise ConsoleError(_UNUSABLE_REPLY) from None
        if "RequestId" not in reply or "Error" in reply:
            raise ConsoleError(_UNUSABLE_REPLY)
        return next(code for code in self.codes() if code["contact"] == contact)

    def codes(self, contact: str | None = None) -> list[dict[str, Any]]:
        """Return the codes that were sent, to all contacts or to one, newest first."""
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
                    **_contact_document(code.contact),
                    "code": code.code,
                    "sent_at": code.sent_at,
                    "expires_at": expires_at,
                    "state": gone or "good",
                }
            )
        return codes

    def verified(self) -> list[dict[str, Any]]:
        """Return the contacts on the account's list, newest first."""
        listed = sorted(self.api.domain.verified().items(), key=lambda item: -item[1])
        return [{**_contact_document(contact), "verified_at": at} for contact, at in listed]

    def deliver(self, request: DeliveryRequest, *, wait: bool = True) -> Delivery:
        """Sign a delivery as a sender does and post it. Raises ConsoleError."""
        bridge = self._require_bridge()
        if request.verify_code is None and not bridge.sends:
            raise ConsoleError("verify_code: is required; to have the bridge send a code instead, set SEND_CODES=true")
        sender = request.sender or senders.default_sender(bridge.auth)
        body = sample_payloads.build_body(request.contact, request.verify_code, request.type, bridge.preset)
        path = CODE_PATH if request.verify_code is None else SIGNUP_PATH
        return self._post(self._sign(bridge, sender, body, path=path), "console", wait=wait)

    def redeliver(self, number: int, repeated_as: RepeatKind) -> Delivery:
        """Post a delivery again under its id: freshly signed, with a stale signature, or with one byte changed.

        Raises ConsoleError.
        """
        first = self._get_delivery(number)
        request = self._sign_again(first, stale=repeated_as == "stale")
        if repeated_as == "tampered":
            request.body = _tamper(request.body)
        return self._post(request, "console", repeats=number, repeated_as=repeated_as)

    def curl(self, number: int, *, show_secret: bool) -> str:
        """Return a command that posts a delivery again, freshly signed. Raises ConsoleError.

        Unless ``show_secret``, the shell inserts a bearer token from its own environment.
        """
        bridge, request = self._require_bridge(), self._sign_again(self._get_delivery(number))
        command = ["curl", "-i", "-X", request.method, f"{bridge.url}{request.path}"]
        for name, value in proxy.end_to_end(request.headers):
            command += ["-H", f"{name}: {_TOKEN if name.lower() == 'authorization' and not show_secret else value}"]
        quoted = shlex.join([*command, "--data-binary", request.body])
        return quoted.replace(f"'Authorization: {_TOKEN}'", f'"Authorization: {_TOKEN}"')

    def forward(self, request: HttpRequest) -> Delivery:
        """Relay a request to the bridge and record it as a delivery. Raises ConsoleError."""
        self._require_bridge()
        return self._post(request, "proxy")

    def reset(self) -> None:
        """Delete all codes, verified contacts, deliveries and faults, and empty the bridge's ledger."""
        self.api.reset()
        self.clear_ledger()
        self.deliveries.clear()
        self.events.publish("reset", {})

    def close(self) -> None:
        self.events.close()

    def _require_bridge(self) -> BridgeTarget:
        if self.bridge is None:
            raise ConsoleError(f"no bridge runs beside this emulator; start both with `{command_line('run')}`")
        return self.bridge

    def _get_delivery(self, number: int) -> Delivery:
        delivery = self.deliveries.get(number)
        if delivery is None:
            raise ConsoleError(f"delivery {number} does not exist")
        if delivery.request is None:
            raise ConsoleError("the request is unknown, because it was posted directly to the bridge")
        return delivery

    def _sign_again(self, first: Delivery, *, stale: bool = False) -> HttpRequest:
        """Sign the request of a delivery again, as its sender does."""
        request, sender = first.request, first.sender or "none"
        if request is None:
            raise ConsoleError("the request is unknown")
        if stale and senders.AUTHS[sender] != "standard-webhooks":
            raise ConsoleError(f"as: stale is not supported for the sender {sender}, which signs no timestamp")
        delivery_id = None if sender == "supabase" else first.delivery_id  # Supabase uses a new id for each attempt
        at = time.time() - STALE_AGE if stale else None
        return self._sign(
            self._require_bridge(), sender, request.body.encode("utf-8", "surrogateescape"), request, delivery_id, at
        )

    def _sign(
        self,
        bridge: BridgeTarget,
        sender: str,
        body: bytes,
        like: HttpRequest | None = None,
        delivery_id: str | None = None,
        at: float | None = None,
        *,
        path: str = SIGNUP_PATH,
    ) -> HttpRequest:
        """Build a signed request with this body and the other headers of ``like``."""
        try:
            signed = senders.sign_headers(body, sender=sender, secret=bridge.secret, delivery_id=delivery_id, at=at)
        except senders.SecretError as error:
            raise ConsoleError(str(error)) from None
        new = {name.lower() for name in signed}
        rest = [(name, value) for name, value in (like.headers if like else []) if name.lower() not in new]
        if like is not None and ("Content-Type", signed["Content-Type"]) not in like.headers:
            rest = [*(pair for pair in like.headers if pair[0].lower() == "content-type"), *rest]
            del signed["Content-Type"]
        return HttpRequest(
            "POST", like.path if like else path, [*rest, *signed.items()], body.decode("utf-8", "surrogateescape")
        )

    def _post(self, request: HttpRequest, via: Via, *, wait: bool = True, **known: Any) -> Delivery:
        """Record a delivery, send it and record its response. Without ``wait``, return before the response."""
        bridge = self._require_bridge()
        headers, trace = proxy.with_traceparent(request.headers)
        sender, delivery_id = senders.detect_sender({name.lower(): value for name, value in request.headers})
        delivery = self.deliveries.begin(
            via, sender=sender, delivery_id=delivery_id, request=request, trace=trace, **known
        )

        def exchange() -> None:
            try:
                response = proxy.forward(bridge, request, headers)
            except (OSError, http.client.HTTPException, ValueError) as error:  # ValueError: the reply is not HTTP
                problem = f"no response from the bridge at {bridge.url}: {type(error).__name__}"
                self.deliveries.end(delivery, None, problem)
            else:
                self.deliveries.end(delivery, response)

        if wait:
            exchange()
        else:
            threading.Thread(target=exchange, daemon=True).start()
        return delivery

    def _on_call(self, call: Call) -> None:
        """Publish the codes and armed faults, which a call of the API may have changed."""
        if call.action in (SEND, CREATE) and call.contact is not None:
            for code in reversed(self.codes(call.contact)):
                self.events.publish("code", code)
        if call.fault is not None:
            self.events.publish("faults", self.api.faults.armed())


def _contact_document(contact: Contact) -> dict[str, str]:
    return {"type": TYPE_NAMES[contact[0]], "contact": contact[1], "masked": masked(contact[1])}


def _tamper(body: str) -> str:
    """Change the last letter or digit. The body stays valid JSON, but the signature does not match it."""
    for at in range(len(body) - 1, -1, -1):
        if body[at].isascii() and body[at].isalnum():
            return f"{body[:at]}{'1' if body[at] != '1' else '2'}{body[at + 1 :]}"
    return body + " "


REPEAT_KINDS: tuple[RepeatKind, ...] = get_args(RepeatKind)
