"""What a function is, as the SCF API writes it: wanted by serverless.yml, and found in the cloud.

Both come out in one form, the parameters of ``UpdateFunctionConfiguration``, so that they can be compared.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from signup_deploy.api.errors import DeployError, members_of
from signup_deploy.config.function_config import Config

ZIP_LIMIT = 7_800_000
"""Bytes of a zip that can be sent: SCF's API takes 10,485,760 bytes of JSON, in which a zip takes a third more."""

STARTING = ("scf_bootstrap", "index.py")
"""What SCF starts a web function by, and an event function."""

API_TYPES = {"web": "HTTP", "event": "Event"}
REPLACING = "being replaced"
_MARKER = re.compile(r", package ([0-9a-f]{16})$")


@dataclass(frozen=True)
class Archive:
    """The zip, and the marker by which it is known again in the function's description."""

    data: bytes = field(repr=False)
    marker: str

    @classmethod
    def read(cls, path: Path) -> Archive:
        """Raises DeployError when it is no zip of the function, or too large; OSError when it cannot be read."""
        data = path.read_bytes()
        if not zipfile.is_zipfile(path):
            raise DeployError(f"{path} is no zip")
        with zipfile.ZipFile(path) as packed:
            absent = [name for name in STARTING if name not in packed.namelist()]
        if absent:
            raise DeployError(
                f"{path} has no {' and no '.join(absent)} at its root, by which SCF starts the function; "
                "deploy a zip that `signup-bridge package` built"
            )
        if len(data) > ZIP_LIMIT:
            raise DeployError(
                f"{path} has {len(data):,} bytes; SCF's API takes at most {ZIP_LIMIT:,} in one call. "
                "Leave out what nothing reads (signup_deploy/packaging/exclusions.py)"
            )
        return cls.of(data)

    @classmethod
    def of(cls, data: bytes) -> Archive:
        return cls(data, hashlib.sha256(data).hexdigest()[:16])

    def code(self) -> dict[str, str]:
        return {"ZipFile": base64.b64encode(self.data).decode()}


def description(config: Config, package: str) -> str:
    """It ends with what says which zip runs: the API tells no hash of it. SCF allows no hyphen here."""
    return f"{config.description or 'Signup bridge'}, package {package}"


def wanted(config: Config, package: str) -> dict[str, Any]:
    """The configuration that serverless.yml asks for; what it does not name is not in it."""
    parameters: dict[str, Any] = {
        "Description": description(config, package),
        "MemorySize": config.memory,
        "Timeout": config.timeout,
        "Environment": _environment(config.variables),
        "PublicNetConfig": _public_network(enabled=config.public_access, eip=config.eip),
    }
    if config.init_timeout:
        parameters["InitTimeout"] = config.init_timeout
    if config.role:
        parameters["Role"] = config.role
    if config.vpc:
        parameters["VpcConfig"] = {"VpcId": config.vpc.vpc_id, "SubnetId": config.vpc.subnet_id}
    if config.cls:
        parameters |= {"ClsLogsetId": config.cls.logset_id, "ClsTopicId": config.cls.topic_id}
    if config.concurrency:
        parameters["InstanceConcurrencyConfig"] = {"DynamicEnabled": "FALSE", "MaxConcurrency": config.concurrency}
    return parameters


def _environment(variables: Mapping[str, str]) -> dict[str, Any]:
    return {"Variables": [{"Key": name, "Value": value} for name, value in sorted(variables.items())]}


def _public_network(*, enabled: bool, eip: bool) -> dict[str, Any]:
    status = {True: "ENABLE", False: "DISABLE"}
    return {"PublicNetStatus": status[enabled], "EipConfig": {"EipStatus": status[eip]}}


@dataclass(frozen=True)
class DeployedFunction:
    """A function as ``GetFunction`` tells of it.

    ``package`` is the marker of its zip, None when it has none; ``code_size`` the bytes of what runs, 0 or None when
    that is not told.
    """

    status: str
    reasons: tuple[str, ...]
    available: bool
    type: str
    runtime: str
    handler: str
    package: str | None
    code_size: int | None
    tags: Mapping[str, str]
    configuration: Mapping[str, Any] = field(repr=False)  # it holds the variables

    @classmethod
    def of(cls, reply: Mapping[str, Any]) -> DeployedFunction:
        """Raises DeployError when what must be in it is not."""
        members_of("GetFunction", reply, "Status", "MemorySize")
        marker = _MARKER.search(reply.get("Description") or "")
        return cls(
            status=str(reply["Status"]),
            reasons=tuple(
                one.get("ErrorMessage") or one.get("ErrorCode") or "" for one in _list(reply, "StatusReasons")
            ),
            available=reply.get("AvailableStatus") in (None, "", "Available"),
            type=reply.get("Type") or "Event",
            runtime=reply.get("Runtime") or "",
            handler=reply.get("Handler") or "",
            package=marker[1] if marker else None,
            code_size=reply.get("CodeSize"),
            tags=_pairs(reply, "Tags"),
            configuration=_configuration(reply),
        )

    def runs(self, archive: Archive) -> bool:
        """Whether its code is this zip, as far as the API tells: another deployer's code leaves the marker."""
        return self.package == archive.marker and self.code_size in (None, 0, len(archive.data))

    @property
    def memory(self) -> int:
        return int(self.configuration["MemorySize"])

    def differing(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the parameters that the function does not have already."""
        changed = {key: value for key, value in parameters.items() if self.configuration.get(key) != value}
        if "ClsTopicId" in changed or "ClsLogsetId" in changed:  # the API wants these together
            changed |= {key: parameters[key] for key in ("ClsLogsetId", "ClsTopicId", "Role") if key in parameters}
        return changed

    @property
    def variables(self) -> dict[str, str]:
        return {one["Key"]: one["Value"] for one in self.configuration["Environment"]["Variables"]}

    def differing_variables(self, variables: Mapping[str, str]) -> list[str]:
        """The names of those that are new or changed."""
        return sorted(name for name, value in variables.items() if self.variables.get(name) != value)


def _configuration(reply: Mapping[str, Any]) -> dict[str, Any]:
    """The reply in the form of the parameters; lists in our order, and without what cannot be configured."""
    network, concurrency = reply.get("PublicNetConfig") or {}, reply.get("InstanceConcurrencyConfig") or {}
    vpc = reply.get("VpcConfig") or {}
    return {
        "Description": reply.get("Description") or "",
        "MemorySize": reply["MemorySize"],
        "Timeout": reply.get("Timeout"),
        "InitTimeout": reply.get("InitTimeout"),
        "Environment": _environment(_pairs(reply.get("Environment"), "Variables")),
        "PublicNetConfig": _public_network(
            enabled=network.get("PublicNetStatus") != "DISABLE",
            eip=(network.get("EipConfig") or {}).get("EipStatus") == "ENABLE",
        ),
        "Role": reply.get("Role") or "",
        "VpcConfig": {"VpcId": vpc.get("VpcId") or "", "SubnetId": vpc.get("SubnetId") or ""},
        "ClsLogsetId": reply.get("ClsLogsetId") or "",
        "ClsTopicId": reply.get("ClsTopicId") or "",
        "InstanceConcurrencyConfig": {key: concurrency.get(key) for key in ("DynamicEnabled", "MaxConcurrency")},
    }


def _list(reply: Mapping[str, Any] | None, key: str) -> list[dict[str, Any]]:
    return (reply or {}).get(key) or []


def _pairs(reply: Mapping[str, Any] | None, key: str) -> dict[str, str]:
    pairs = [members_of("GetFunction", one, "Key", "Value") for one in _list(reply, key)]
    return {one["Key"]: one["Value"] for one in pairs}
