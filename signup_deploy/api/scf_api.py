"""Call SCF's API, or print the calls of a dry run.

No text or error contains a secret: neither the deployer's key nor any of ``secrets``.
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
READ_PREFIXES = ("Get", "List")
"""Prefixes of the actions that change nothing."""

CONNECT_TIMEOUT, READ_TIMEOUT, UPLOAD_TIMEOUT = 10, 30, 300
"""Maximum seconds to connect, for a reply, and for the reply to an upload."""

_NETWORK = {"ClientNetworkError", "ServerNetworkError"}
"""The SDK's codes for a failed request and for a status other than 200."""

# At DEBUG, the SDK's logger prints the signature and every variable.
logging.getLogger("tencentcloud_sdk_common").addFilter(lambda _record: False)


@dataclass(frozen=True)
class Credentials:
    """The deployer's API key."""

    secret_id: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


class Api(Protocol):
    """The API that a deployment calls. ``real``: not a dry run."""

    real: bool

    def call(self, action: str, parameters: Mapping[str, Any]) -> dict[str, Any]: ...


class ScfApi:
    """SCF's API 3.0, version 2018-04-16, through the official SDK.

    ``secrets`` are masked in the API's messages. ``endpoint`` differs in tests only.
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
        self._mask = Mask({*secrets, *own}).apply
        self._reading, self._writing = (
            _client(credential, region, parts, timeout) for timeout in (READ_TIMEOUT, UPLOAD_TIMEOUT)
        )

    def call(self, action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Make one call, and return the content of ``Response``. Raises ApiError and UnreachableError."""
        client = self._reading if action.startswith(READ_PREFIXES) else self._writing
        try:
            document = json.loads(client.call(action, dict(parameters)))
        except TencentCloudSDKException as error:
            code, message = str(error.get_code()), self._mask(str(error.get_message()))
            if code in _NETWORK:
                raise self._unreachable(action, message) from None
            raise ApiError(action, code, message, str(error.get_request_id())) from None
        except requests.RequestException as error:
            raise self._unreachable(action, self._mask(str(error))) from None
        except (ValueError, KeyError, TypeError):
            raise self._unreachable(action, "the response is not from the API") from None
        response = document.get("Response") if isinstance(document, dict) else None
        if not isinstance(response, dict) or not response.get("RequestId"):
            raise self._unreachable(action, "the response is not from the API")
        if failure := response.get("Error"):  # the SDK checks it for some content types only
            code, message = str(failure.get("Code")), self._mask(str(failure.get("Message")))
            raise ApiError(action, code, message, response["RequestId"])
        for reason in response.get("StatusReasons") or ():  # they are printed, too
            reason["ErrorMessage"] = self._mask(str(reason.get("ErrorMessage") or reason.get("ErrorCode")))
        return response

    def _unreachable(self, action: str, reason: str) -> UnreachableError:
        return UnreachableError(
            f"{action}: {self._host} did not respond. Check the network and HTTPS_PROXY, and run the command again.\n"
            f"  {' '.join(reason.split())[:300]}"
        )


def _client(credential: Credential, region: str, endpoint: SplitResult, timeout: int) -> CommonClient:
    # The SDK passes the timeout to its transport, which accepts a pair.
    http = HttpProfile(protocol=endpoint.scheme, endpoint=endpoint.netloc, reqTimeout=(CONNECT_TIMEOUT, timeout))
    client = CommonClient("scf", "2018-04-16", credential, region, ClientProfile(httpProfile=http, language="en-US"))
    session = client.request.conn._session  # noqa: SLF001  the SDK has no public access to its transport
    session.trust_env = False  # a .netrc file would replace the signature; the SDK sets the proxy
    session.max_redirects = 0
    return client


class DryRunApi:
    """Report the calls that would change something. Make only calls that read, and none without ``api``."""

    real = False

    def __init__(self, api: Api | None, report: Callable[[str], None] = print) -> None:
        self._api = api
        self._report = report
        self._changed_existence = False

    def call(self, action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        if not action.startswith(READ_PREFIXES):
            self._changed_existence |= action in ("CreateFunction", "DeleteFunction")
            self._report("\n".join([f"  would call {action}", *_format_parameters(parameters)]))
            return {}
        if self._api is not None and not self._changed_existence:
            return self._api.call(action, parameters)
        if action == "GetFunction":
            raise ApiError(action, "ResourceNotFound.Function", "", "")
        return {}


def _format_parameters(parameters: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each parameter, without the content of the zip and the values of variables."""
    for name, value in parameters.items():
        match name:
            case "Code":
                text = f"(a zip, {len(value['ZipFile'])} characters in base64)"
            case "Environment":
                text = " ".join(f"{one['Key']}=…" for one in value["Variables"])
            case _:
                text = value if isinstance(value, str) else json.dumps(value)
        yield f"    {name}: {text}"
