"""Call a server of the test through the SDK, as the bridge calls the API."""

from __future__ import annotations

import socket

from signup_bridge.core.actions import CREATE
from signup_bridge.core.clock import Deadline, SystemClock
from signup_bridge.upstream.client import DomainApi
from signup_bridge.upstream.credentials import Credentials
from signup_bridge.upstream.reply import CallResult

from tests.support.bridge.signed_requests import CODE, PHONE
from tests.support.network.upstream import SUCCESS, reply

PARAMS = {"Type": 1, "Code": PHONE, "VerifyCode": CODE}


def succeed(connection: socket.socket) -> None:
    connection.sendall(reply(SUCCESS))


CREDENTIALS = Credentials("id", "key")


def api_at(url: str, *, clock: SystemClock | None = None) -> DomainApi:
    return DomainApi(url, connections=4, clock=clock or SystemClock())


def call(api: DomainApi, budget: float = 5.0, *, credentials: Credentials = CREDENTIALS) -> CallResult:
    return api.call(CREATE, PARAMS, credentials, Deadline(SystemClock(), budget))
