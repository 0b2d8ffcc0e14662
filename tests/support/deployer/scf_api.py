"""Emulate the SCF API on a loopback port, with the functions of one account in memory.

It implements API 3.0, checks signatures, and rejects parameters that an action does not have. Like the platform, it
takes a while for each change of a function and rejects other changes in the meantime.
"""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from signup_emulator.api import tc3
from signup_emulator.api.account.error_codes import ApiError
from tests.support.deployer.scf_functions import CONFIGURATION, EMPTY, Function, Refusal, configure, describe, zip_bytes

SECRET_ID, SECRET_KEY, TOKEN = "AKIDdeployer0000000000000000000000", "canary-of-the-deployers-key", "canary-of-a-token"
REGION = "ap-guangzhou"
FUNCTION_URL = "https://1250000000-abc.ap-guangzhou.tencentscf.com"
BODY_LIMIT = 10_485_760
_WHO = {"FunctionName", "Namespace"}
_TRIGGER = {"TriggerName", "Type", "TriggerDesc", "Qualifier", "Enable", "Description"}

PARAMETERS = {
    "GetFunction": {"ShowCode", "Qualifier"},
    "CreateFunction": {"Code", "Type", "Runtime", "Handler", "Tags", *CONFIGURATION},
    "UpdateFunctionCode": {"Code", "Handler"},
    "UpdateFunctionConfiguration": CONFIGURATION,
    "DeleteFunction": {"Qualifier"},
    "ListTriggers": {"Offset", "Limit", "Filters"},
    "CreateTrigger": _TRIGGER,
    "UpdateTrigger": _TRIGGER,
    "GetReservedConcurrencyConfig": set(),
    "PutReservedConcurrencyConfig": {"ReservedConcurrencyMem"},
    "DeleteReservedConcurrencyConfig": set(),
}
"""The parameters besides the function's name and namespace. Source: API 3.0, product scf, version 2018-04-16."""

READING = {"GetFunction", "ListTriggers", "GetReservedConcurrencyConfig"}


class ScfCloud(ThreadingHTTPServer):
    """The emulated account.

    ``turns``, ``url_turns`` and ``reserving_turns`` are the numbers of queries until a change, a URL and a reservation
    are complete. ``fails`` has the statuses in which the next changes of a function end.
    """

    def __init__(self) -> None:
        self.functions: dict[str, Function] = {}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.refusals: list[Refusal] = []
        self.fails: list[str] = []
        self.reason = "something is wrong inside"
        self.turns = 2
        self.url_turns = 1
        self.reserving_turns = 1
        self.lag = 0  # the number of queries that do not find a created function yet
        self.instances: list[float] = []  # the possible number after each call
        self.vanishing = False  # whether another client deletes a function that is being changed
        self.status = 200
        self.replacement: tuple[str, bytes] | None = None  # content type and body of every response, if set
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def writes(self) -> list[str]:
        """Return the actions since the last `clear_calls` that change something."""
        return [action for action, _ in self.calls if action not in READING]

    def parameters(self, action: str) -> dict[str, Any]:
        """Return the parameters of the last call of an action, without name and namespace of the function."""
        found = next(parameters for name, parameters in reversed(self.calls) if name == action)
        return {key: value for key, value in found.items() if key not in _WHO}

    def clear_calls(self) -> None:
        self.calls.clear()
        self.instances.clear()

    def refuse(
        self, action: str, code: str | None, message: str = "It is refused.", *, times: int = 1, after: int = 0
    ) -> None:
        self.refusals.append(Refusal(action, code, message, times, after))

    def next_refusal(self, action: str) -> Refusal | None:
        for one in self.refusals:
            if one.action == action and one.after:
                one.after -= 1
            elif one.action == action and one.times:
                one.times -= 1
                return one
        return None

    @property
    def function(self) -> Function:
        (one,) = self.functions.values()
        return one

    def __enter__(self) -> ScfCloud:  # noqa: PYI034  typing.Self came with Python 3.11
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def perform(self, action: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Perform a call; return the content of its reply. Raises ApiError."""
        known = PARAMETERS.get(action)
        if known is None:
            raise ApiError("InvalidAction", f"The action {action} does not exist.")
        if unknown := set(parameters) - known - _WHO:
            raise ApiError("UnknownParameter", f"The parameter {unknown} is not recognized.")
        name = parameters["FunctionName"]
        if parameters.get("Namespace") != "default":
            raise ApiError("ResourceNotFound.Namespace", "The namespace does not exist.")
        function = self.functions.get(name)
        if action == "CreateFunction":
            return self._create(function, parameters)
        if function is None:
            raise ApiError("ResourceNotFound.FunctionName", "The function does not exist.")
        if action not in READING and action != "DeleteFunction" and function.about["Status"] not in _USABLE:
            raise ApiError(f"FailedOperation.{_BUSY.get(action, action)}", "The function's status does not allow it.")
        reply: dict[str, Any] = getattr(self, f"_{_snake(action)}")(function, parameters)
        self.instances.append(function.instances)
        return reply

    def _work_on(self, function: Function, status: str) -> None:
        function.about["Status"] = status
        function.about["StatusReasons"] = []
        function.turns, function.then = self.turns, self.fails.pop(0) if self.fails else "Active"

    def _create(self, present: Function | None, parameters: dict[str, Any]) -> dict[str, Any]:
        if present:
            raise ApiError("ResourceInUse.FunctionName", "The function exists.")
        about = {**EMPTY, "Type": parameters.get("Type", "Event"), "Runtime": parameters["Runtime"]}
        about |= {"Handler": parameters.get("Handler", ""), "Tags": parameters.get("Tags", [])}
        function = Function(about, zip_bytes(parameters))
        if (about["Type"] == "Event") != ("Handler" in parameters):
            raise ApiError("InvalidParameterValue.Handler", "The handler is invalid.")
        configure(function, parameters)
        self.functions[parameters["FunctionName"]] = function
        self._work_on(function, "Creating")
        return {}

    def _get_function(self, function: Function, parameters: dict[str, Any]) -> dict[str, Any]:
        if self.lag:
            self.lag -= 1
            raise ApiError("ResourceNotFound.FunctionName", "The function does not exist.")
        if function.turns:
            function.turns -= 1
        elif function.about["Status"] == "Deleting" or (self.vanishing and function.then):
            self.functions.clear()
            raise ApiError("ResourceNotFound.Function", "The function does not exist.")
        elif function.then:
            function.about["Status"], function.then = function.then, ""
            if "Failed" in function.about["Status"]:
                function.about["StatusReasons"] = [{"ErrorCode": "Oops", "ErrorMessage": self.reason}]
        # The API's models (PyPI tencentcloud-sdk-python-scf 3.1.100) have CodeSize here, and no hash of the code.
        return {**function.about, "FunctionName": parameters["FunctionName"], "CodeSize": len(function.code)}

    def _update_function_code(self, function: Function, parameters: dict[str, Any]) -> dict[str, Any]:
        function.code = zip_bytes(parameters)
        self._work_on(function, "Updating")
        return {}

    def _update_function_configuration(self, function: Function, parameters: dict[str, Any]) -> dict[str, Any]:
        configure(function, parameters)
        self._work_on(function, "Updating")
        return {}

    def _delete_function(self, function: Function, parameters: dict[str, Any]) -> dict[str, Any]:
        self._work_on(function, "Deleting")
        return {}

    def _get_reserved_concurrency_config(self, function: Function, parameters: dict[str, Any]) -> dict[str, Any]:
        if function.reserving:
            turns, memory = function.reserving
            if turns:
                function.reserving = turns - 1, memory
            else:
                function.reserved, function.reserving = memory, None
        return {"ReservedMem": function.reserved}

    def _put_reserved_concurrency_config(self, function: Function, parameters: dict[str, Any]) -> dict[str, Any]:
        function.reserving = self.reserving_turns, parameters["ReservedConcurrencyMem"]
        return {}

    def _delete_reserved_concurrency_config(self, function: Function, parameters: dict[str, Any]) -> dict[str, Any]:
        function.reserved = None
        return {}

    def _list_triggers(self, function: Function, parameters: dict[str, Any]) -> dict[str, Any]:
        for one in function.triggers:
            described = json.loads(one["TriggerDesc"])
            if one["Type"] == "http":
                one["looks"] = one.get("looks", 0) + 1
                if one["looks"] > self.url_turns and described.get("NetConfig", {}).get("EnableExtranet"):
                    described["NetConfig"]["ExtranetUrl"] = FUNCTION_URL
                one["TriggerDesc"] = json.dumps(described)
        shown = [{key: value for key, value in one.items() if key != "looks"} for one in function.triggers]
        return {"TotalCount": len(shown), "Triggers": shown}

    def _create_trigger(self, function: Function, parameters: dict[str, Any]) -> dict[str, Any]:
        if any(one["TriggerName"] == parameters["TriggerName"] for one in function.triggers):
            raise ApiError("ResourceInUse.TriggerName", "The trigger exists.")
        if function.about["Type"] == "HTTP" and parameters["Type"] != "http":
            raise ApiError("InvalidParameterValue.Type", "A web function has URLs only.")
        trigger = {"Type": parameters["Type"], "TriggerName": parameters["TriggerName"], "CustomArgument": None}
        trigger |= {
            "Qualifier": parameters.get("Qualifier", "$LATEST"),
            "AvailableStatus": "Available",
            "BindStatus": "on",
        }
        function.triggers.append(trigger)
        describe(trigger, parameters)
        return {"TriggerInfo": trigger}

    def _update_trigger(self, function: Function, parameters: dict[str, Any]) -> dict[str, Any]:
        names = [(one["TriggerName"], one["Type"], one["Qualifier"]) for one in function.triggers]
        wanted = (parameters["TriggerName"], parameters["Type"], parameters.get("Qualifier", "$LATEST"))
        if wanted not in names:
            raise ApiError("ResourceNotFound.Trigger", "The trigger does not exist.")
        describe(function.triggers[names.index(wanted)], parameters)
        return {}


_USABLE = {"Active", "UpdateFailed", "PublishFailed"}
_BUSY = {"PutReservedConcurrencyConfig": "ReservedInProgress", "UpdateTrigger": "FunctionStatusError"}


def _snake(action: str) -> str:
    return re.sub("(?<!^)([A-Z])", r"_\1", action).lower()


class _Handler(BaseHTTPRequestHandler):
    server: ScfCloud
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # one write per reply

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's name
        """Log nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        action = headers.get("x-tc-action", "")
        response: dict[str, Any]
        try:
            self._check(headers, body)
            parameters = json.loads(body)
            self.server.calls.append((action, parameters))
            if refusal := self.server.next_refusal(action):
                if refusal.code is None:
                    self.close_connection = True
                    return
                raise ApiError(refusal.code, refusal.message)  # noqa: TRY301  handled like the API's own errors
            response = self.server.perform(action, parameters)
        except KeyError as missing:
            response = {"Error": {"Code": "MissingParameter", "Message": f"{missing} is missing."}}
        except ApiError as error:
            response = {"Error": {"Code": error.code, "Message": error.message}}
        document = json.dumps({"Response": {**response, "RequestId": str(uuid.uuid4())}}).encode()
        media_type, document = self.server.replacement or ("application/json", document)
        self.send_response(self.server.status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(document)))
        self.end_headers()
        self.wfile.write(document)
        self.wfile.flush()

    def _check(self, headers: dict[str, str], body: bytes) -> None:
        if len(body) > BODY_LIMIT:
            raise ApiError("RequestSizeLimitExceeded", "Your current request size exceeds max 10485760B.")
        tokens = {SECRET_ID: TOKEN} if headers.get("x-tc-token") else {}  # permanent keys have no token
        request = tc3.SignedRequest(self.command, urlsplit(self.path).query, headers, body)
        tc3.check(request, keys={SECRET_ID: SECRET_KEY}, tokens=tokens, now=time.time(), service="scf")
        if headers.get("x-tc-version") != "2018-04-16" or headers.get("x-tc-region") != REGION:
            raise ApiError("InvalidParameter", "The version or the region is wrong.")
        if headers.get("x-tc-language") != "en-US":
            raise ApiError("InvalidParameter", "The language is another one.")
