"""The functions of an emulated SCF account: their configuration, their triggers, and the checks of both."""

from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

from signup_emulator.api.account.error_codes import ApiError

CONFIGURATION = {
    "Description", "MemorySize", "Timeout", "InitTimeout", "Environment", "Role", "VpcConfig", "ClsLogsetId",
    "ClsTopicId", "PublicNetConfig", "InstanceConcurrencyConfig",
}  # fmt: skip


@dataclass
class Function:
    """A function. GetFunction returns ``about``; after ``turns`` queries, its status is ``then``."""

    about: dict[str, Any]
    code: bytes
    turns: int = 0
    then: str = "Active"
    triggers: list[dict[str, Any]] = field(default_factory=list)
    reserved: int | None = None
    reserving: tuple[int, int] | None = None  # the number of queries until this memory is reserved

    @property
    def instances(self) -> float:
        """Return how many instances can run at once."""
        if not self.triggers:
            return 0  # without a trigger, the function cannot be called
        return math.inf if self.reserved is None else self.reserved // int(self.about["MemorySize"])

    @property
    def variables(self) -> dict[str, str]:
        return {one["Key"]: one["Value"] for one in self.about["Environment"]["Variables"]}


@dataclass
class Refusal:
    """An error for calls of an action, after the next ``after`` ones. Without a code, the connection is closed."""

    action: str
    code: str | None
    message: str = "It is refused."
    times: int = 1
    after: int = 0


EMPTY = {
    "Description": "", "Handler": "", "Timeout": 3, "InitTimeout": 65, "MemorySize": 128, "Role": "",
    "VpcConfig": {"VpcId": "", "SubnetId": ""}, "Environment": {"Variables": []}, "Status": "Creating",
    "StatusDesc": "", "StatusReasons": [], "AvailableStatus": "Available", "InstanceConcurrencyConfig": None,
    # The platform creates a topic automatically.
    "ClsLogsetId": "b91e2c12-0000-0000-0000-000000000000", "ClsTopicId": "a3b039f5-0000-0000-0000-000000000000",
    "PublicNetConfig": None, "Tags": [], "FunctionVersion": "$LATEST", "Namespace": "default", "Layers": [],
}  # fmt: skip


def zip_bytes(parameters: dict[str, Any]) -> bytes:
    if set(parameters["Code"]) != {"ZipFile"}:
        raise ApiError("InvalidParameterValue.Code", "The code is invalid.")
    return base64.b64decode(parameters["Code"]["ZipFile"], validate=True)


def configure(function: Function, parameters: dict[str, Any]) -> None:
    _check_configuration(function, parameters)
    function.about |= {key: value for key, value in parameters.items() if key in CONFIGURATION}
    if "Environment" in parameters:  # the service returns them in its own order
        function.about["Environment"] = {"Variables": parameters["Environment"]["Variables"][::-1]}
    if "PublicNetConfig" in parameters:
        eip = {**parameters["PublicNetConfig"]["EipConfig"], "EipAddress": []}
        function.about["PublicNetConfig"] = {**parameters["PublicNetConfig"], "EipConfig": eip}
    if "InstanceConcurrencyConfig" in parameters:
        more = {"InstanceIsolationEnabled": "", "Type": "", "MixNodeConfig": []}
        function.about["InstanceConcurrencyConfig"] = {**parameters["InstanceConcurrencyConfig"], **more}


def _check_configuration(function: Function, parameters: dict[str, Any]) -> None:
    variables = parameters.get("Environment", {"Variables": []})["Variables"]
    checks = {
        "Environment": all(set(one) == {"Key", "Value"} and one["Key"] and one["Value"] for one in variables),
        "Description": re.fullmatch(r"[A-Za-z0-9 ,.\n]{0,1000}", parameters.get("Description", "")) is not None,
        "MemorySize": type(parameters.get("MemorySize", 128)) is int,
        "Timeout": type(parameters.get("Timeout", 3)) is int,
        "InitTimeout": type(parameters.get("InitTimeout", 3)) is int,
        "InstanceConcurrencyConfig": "InstanceConcurrencyConfig" not in parameters or function.about["Type"] == "HTTP",
        "ClsRole": "ClsTopicId" not in parameters or "Role" in parameters,
    }
    for name, holds in checks.items():
        if not holds:
            raise ApiError(f"InvalidParameterValue.{name}", f"The value of {name} is invalid.")
    if sum(len(one["Key"] + one["Value"]) for one in variables) > 4096:
        raise ApiError("InvalidParameterValue.EnvironmentExceededLimit", "More than 4 KB.")


def describe(trigger: dict[str, Any], parameters: dict[str, Any]) -> None:
    described = json.loads(parameters["TriggerDesc"])
    if parameters["Type"] == "http":
        network = described["NetConfig"]
        if set(described) != {"AuthType", "NetConfig"} or set(network) != {"EnableIntranet", "EnableExtranet"}:
            raise ApiError("InvalidParameterValue.TriggerDesc", "The description is invalid.")
        network |= {"ExtranetUrl": "", "IntranetUrl": "", "WsExtranetUrl": ""}
    else:
        name = f"{described.pop('InstanceId')}-{described.pop('Topic')}"
        if parameters["TriggerName"] != name:
            raise ApiError("InvalidParameterValue.TriggerName", "The name is invalid.")
        described |= {"consumerGroupName": described["consumerGroupName"] or f"scf_{name}", "topicStatus": "ok"}
        described["maxMsgNum"] = str(described["maxMsgNum"])
    trigger["TriggerDesc"] = json.dumps(described)
    trigger["Enable"] = {"OPEN": 1, "CLOSE": 0}[parameters.get("Enable", "OPEN")]
