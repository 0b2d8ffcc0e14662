"""The SCF API, and a rehearsal of it that changes nothing.

In comes an action and its parameters, out comes the reply's content, or a DeployError. It must never print or raise a
secret: neither the deployer's key nor what is in ``secrets``.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import SplitResult, urlsplit

import requests
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

from .errors import ApiError, DeployError, UnreachableError
from .masking import Mask

ENDPOINT = "https://scf.tencentcloudapi.com"
READING = ("Get", "List")
"""What the actions that change nothing begin with."""

CONNECTING, ANSWER, ANSWER_AFTER_UPLOAD = 10, 30, 300
"""Seconds to connect, and for the answer."""

_NETWORK = {"ClientNetworkError", "ServerNetworkError"}
"""The SDK's own codes for a request that failed, and for an answer that is not 200."""

# At DEBUG the SDK's logger prints the signature and every variable.
logging.getLogger("tencentcloud_sdk_common").addFilter(lambda _record: False)


@dataclass(frozen=True)
class Credentials:
    """The deployer's."""

    secret_id: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


class Api(Protocol):
    """What the deployment calls. ``real``: what is called happens."""

    real: bool

    def call(self, action: str, parameters: Mapping[str, Any]) -> dict[str, Any]: ...


class ScfApi:
    """SCF's API 3.0, version 2018-04-16, through the official SDK.

    ``secrets`` are taken out of whatever the API says; ``endpoint`` is another one in tests only.
    """

    real = True

    def __init__(
        self, credentials: Credentials, region: str, *, secrets: tuple[str, ...] = (), endpoint: str = ENDPOINT
    ) -> None:
        parts = urlsplit(endpoint)
        try:
            credential = Credential(credentials.secret_id, credentials.secret_key, credentials.token)
        except TencentCloudSDKException as error:
            raise DeployError(f"TENCENT_SECRET_ID, TENCENT_SECRET_KEY: {error.get_message()}") from None
        own = (credentials.secret_id, credentials.secret_key, credentials.token or "")
        self._host = parts.netloc
        self._masked = Mask({*secrets, *own}).of
        self._reading, self._writing = (
            _client(credential, region, parts, answer) for answer in (ANSWER, ANSWER_AFTER_UPLOAD)
        )

    def call(self, action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Call once; the content of ``Response``. Raises ApiError and UnreachableError."""
        client = self._reading if action.startswith(READING) else self._writing
        try:
            document = json.loads(client.call(action, dict(parameters)))
        except TencentCloudSDKException as error:
            code, message = str(error.get_code()), self._masked(str(error.get_message()))
            if code in _NETWORK:
                raise self._unreachable(action, message) from None
            raise ApiError(action, code, message, str(error.get_request_id())) from None
        except requests.RequestException as error:
            raise self._unreachable(action, self._masked(str(error))) from None
        except (ValueError, KeyError, TypeError):
            raise self._unreachable(action, "the answer is not the API's") from None
        response = document.get("Response") if isinstance(document, dict) else None
        if not isinstance(response, dict) or not response.get("RequestId"):
            raise self._unreachable(action, "the answer is not the API's")
        if refused := response.get("Error"):  # the SDK looks for it only under some content types
            code, message = str(refused.get("Code")), self._masked(str(refused.get("Message")))
            raise ApiError(action, code, message, response["RequestId"])
        for reason in response.get("StatusReasons") or ():  # words that are printed, too
            reason["ErrorMessage"] = self._masked(str(reason.get("ErrorMessage") or reason.get("ErrorCode")))
        return response

    def _unreachable(self, action: str, reason: str) -> UnreachableError:
        return UnreachableError(
            f"{action}: {self._host} gave no answer; look at the network and at HTTPS_PROXY, and run it again\n"
            f"  {' '.join(reason.split())[:300]}"
        )


def _client(credential: Credential, region: str, endpoint: SplitResult, answer: int) -> CommonClient:
    # The SDK hands the time-out on as it is, and so the two that its transport takes.
    http = HttpProfile(protocol=endpoint.scheme, endpoint=endpoint.netloc, reqTimeout=(CONNECTING, answer))
    client = CommonClient("scf", "2018-04-16", credential, region, ClientProfile(httpProfile=http, language="en-US"))
    session = client.request.conn._session  # noqa: SLF001  the SDK offers no other way to its transport
    session.trust_env = False  # a .netrc would replace the signature; the proxy is the SDK's own business
    session.max_redirects = 0
    return client


class DryRunApi:
    """Tells which calls would change something, and makes only those that read; none at all without ``api``."""

    real = False

    def __init__(self, api: Api | None, tell: Callable[[str], None] = print) -> None:
        self._api = api
        self._tell = tell
        self._changed_existence = False

    def call(self, action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        if not action.startswith(READING):
            self._changed_existence |= action in ("CreateFunction", "DeleteFunction")
            self._tell("\n".join([f"  would call {action}", *_shown(parameters)]))
            return {}
        if self._api is not None and not self._changed_existence:
            return self._api.call(action, parameters)
        if action == "GetFunction":
            raise ApiError(action, "ResourceNotFound.Function", "", "")
        return {}


def _shown(parameters: Mapping[str, Any]) -> Iterator[str]:
    """A line a parameter, without the zip, and without what the variables hold."""
    for name, value in parameters.items():
        match name:
            case "Code":
                text = f"(a zip, {len(value['ZipFile'])} characters in base64)"
            case "Environment":
                text = " ".join(f"{one['Key']}=…" for one in value["Variables"])
            case _:
                text = value if isinstance(value, str) else json.dumps(value)
        yield f"    {name}: {text}"
