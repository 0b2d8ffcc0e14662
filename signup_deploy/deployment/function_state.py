"""The desired and the deployed state of a function, in one form: parameters of ``UpdateFunctionConfiguration``."""

from __future__ import annotations

import base64
import hashlib
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from signup_bridge.cli.installation import command_line

from signup_deploy.api.errors import DeployError, require_members
from signup_deploy.config.function_config import Config

ZIP_LIMIT = 7_800_000
"""Maximum size of a zip in bytes. SCF's API accepts 10,485,760 bytes of JSON, and Base64 adds a third."""

STARTING = ("scf_bootstrap", "index.py")
"""The files with which SCF starts a web function and an event function."""

API_TYPES = {"web": "HTTP", "event": "Event"}
REPLACING = "being replaced"
_MARKER = re.compile(r", package ([0-9a-f]{16})$")


@dataclass(frozen=True)
class Archive:
    """A zip, and the marker in the function's description that identifies it."""

    data: bytes = field(repr=False)
    marker: str

    @classmethod
    def read(cls, path: Path) -> Archive:
        """Read a zip. Raises DeployError if it is not the function's or too large, OSError if it is not readable."""
        data = path.read_bytes()
        if not zipfile.is_zipfile(path):
            raise DeployError(f"{path} is not a zip file; deploy one built by `{command_line('package')}`")
        with zipfile.ZipFile(path) as packed:
            absent = [name for name in STARTING if name not in packed.namelist()]
        if absent:
            raise DeployError(
                f"{path} has no {' and no '.join(absent)} at its root, which SCF needs to start the function; "
                f"deploy a zip built by `{command_line('package')}`"
            )
        if len(data) > ZIP_LIMIT:
            raise DeployError(
                f"{path} has {len(data):,} bytes, but SCF's API accepts at most {ZIP_LIMIT:,} in one call; "
                "exclude unused files in signup_deploy/packaging/exclusions.py"
            )
        return cls.from_bytes(data)

    @classmethod
    def from_bytes(cls, data: bytes) -> Archive:
        return cls(data, hashlib.sha256(data).hexdigest()[:16])

    def code(self) -> dict[str, str]:
        return {"ZipFile": base64.b64encode(self.data).decode()}


def description(config: Config, package: str) -> str:
    """Return the description with the zip's marker, because the API returns no hash. SCF allows no hyphen here."""
    return f"{config.description or 'Signup bridge'}, package {package}"


def desired(config: Config, package: str) -> dict[str, Any]:
    """Return the configuration in serverless.yml, without keys that it does not contain."""
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
    """A function as ``GetFunction`` returns it.

    ``package`` is the marker of its zip, or None. ``code_size`` is the size of its code in bytes; 0 or None if it is
    unknown.
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
    configuration: Mapping[str, Any] = field(repr=False)  # it contains the variables

    @classmethod
    def from_reply(cls, reply: Mapping[str, Any]) -> DeployedFunction:
        """Parse the reply of ``GetFunction``. Raises DeployError if a member is missing."""
        require_members("GetFunction", reply, "Status", "MemorySize")
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
        """Return whether its code seems to be this zip, by marker and size, since other tools keep the marker."""
        return self.package == archive.marker and self.code_size in (None, 0, len(archive.data))

    @property
    def memory(self) -> int:
        return int(self.configuration["MemorySize"])

    def changed_parameters(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters that differ from the function's."""
        changed = {key: value for key, value in parameters.items() if self.configuration.get(key) != value}
        if "ClsTopicId" in changed or "ClsLogsetId" in changed:  # the API requires these together
            changed |= {key: parameters[key] for key in ("ClsLogsetId", "ClsTopicId", "Role") if key in parameters}
        return changed

    @property
    def variables(self) -> dict[str, str]:
        return {one["Key"]: one["Value"] for one in self.configuration["Environment"]["Variables"]}

    def changed_variables(self, variables: Mapping[str, str]) -> list[str]:
        """Return the names of the variables that are new or changed."""
        return sorted(name for name, value in variables.items() if self.variables.get(name) != value)


def _configuration(reply: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the reply to parameters, with sorted lists and only with members that can be configured."""
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
    pairs = [require_members("GetFunction", one, "Key", "Value") for one in _list(reply, key)]
    return {one["Key"]: one["Value"] for one in pairs}
