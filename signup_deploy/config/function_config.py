"""Load serverless.yml and the environment into a `Config`.

A `Config` passes the checks of SCF, of the `scf` command, and of the function at startup.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from signup_bridge.settings import Settings

from . import consistency, schema
from .serverless_file import ConfigError, ServerlessFile, read

FILE = Path("serverless.yml")
"""The file that describes the function, in the current folder."""


@dataclass(frozen=True)
class UrlTrigger:
    """A Function URL."""

    name: str
    qualifier: str
    auth_type: Literal["NONE", "CAM"]
    extranet: bool
    intranet: bool
    enabled: bool


@dataclass(frozen=True)
class CkafkaTrigger:
    """A CKafka topic of an event function. ``timeout`` is the number of seconds to wait for a full batch."""

    name: str
    qualifier: str
    instance_id: str
    topic: str
    max_messages: int
    offset: str
    retry: int
    timeout: int
    consumer_group: str
    enabled: bool


@dataclass(frozen=True)
class Vpc:
    vpc_id: str
    subnet_id: str


@dataclass(frozen=True)
class Cls:
    """The CLS log topic."""

    logset_id: str
    topic_id: str


@dataclass(frozen=True)
class Config:
    """One function. ``memory`` is in MB, times are in seconds, ``concurrency`` is None for an event function."""

    name: str
    namespace: str
    region: str
    shape: Literal["web", "event"]
    runtime: str
    memory: int
    timeout: int
    init_timeout: int | None
    variables: Mapping[str, str] = field(repr=False)  # secrets
    concurrency: int | None
    url: UrlTrigger | None
    ckafka: CkafkaTrigger | None
    description: str | None
    role: str | None
    vpc: Vpc | None
    cls: Cls | None
    public_access: bool
    eip: bool
    tags: Mapping[str, str]

    @property
    def handler(self) -> str | None:
        return schema.HANDLER if self.shape == "event" else None

    @cached_property
    def settings(self) -> Settings:
        """The function's settings."""
        return consistency.load_settings(self.shape, self.variables)

    @property
    def shared_ledger(self) -> bool:
        """Whether the instances share a ledger."""
        return consistency.is_redis(self.variables)


def load(path: Path = FILE, environ: Mapping[str, str] = os.environ) -> Config:
    """Read, resolve and check the file. Raises ConfigError with all problems, or OSError if it is not readable."""
    file = read(path, environ)
    _strip(schema.get_variables(file.tree.get("inputs")))
    problems = [*file.problems, *schema.check_form(file.tree)]
    # Only a file with a valid form can be checked for consistency. The settings can be checked if their part is valid.
    if not problems:
        problems += consistency.check_function(file.tree["inputs"], file.sources)
    elif not any(problem.startswith(("inputs:", "inputs.environment")) for problem in problems):
        problems += consistency.check_settings(file.tree["inputs"], file.sources)
    if problems:
        if any("is not set" in problem for problem in problems) and (path.parent / ".env").exists():
            problems.append("(.env is not loaded automatically; load it with `set -a; . ./.env; set +a`)")
        raise ConfigError(problems)
    return _config(file)


def _strip(variables: Any) -> None:
    """Strip the variables, as the function does, before they are checked, compared and deployed."""
    if isinstance(variables, dict):
        variables |= {name: value.strip() for name, value in variables.items() if isinstance(value, str)}


def _config(file: ServerlessFile) -> Config:
    inputs = file.tree["inputs"]
    events = {kind: event[kind]["parameters"] for event in inputs.get("events", []) for kind in event}
    concurrency = inputs.get("instanceConcurrencyConfig")
    vpc, cls = inputs.get("vpcConfig"), inputs.get("cls")
    return Config(
        name=inputs["name"],
        namespace=inputs.get("namespace", "default"),
        region=inputs["region"],
        shape=inputs["type"],
        runtime=inputs["runtime"],
        memory=inputs["memorySize"],
        timeout=inputs["timeout"],
        init_timeout=inputs.get("initTimeout"),
        variables=dict(inputs["environment"]["variables"]),
        concurrency=concurrency["maxConcurrency"] if concurrency else None,
        url=_url(events["http"]) if "http" in events else None,
        ckafka=_ckafka(events["ckafka"]) if "ckafka" in events else None,
        description=inputs.get("description"),
        role=inputs.get("role"),
        vpc=Vpc(vpc["vpcId"], vpc["subnetId"]) if vpc else None,
        cls=Cls(cls["logsetId"], cls["topicId"]) if cls else None,
        public_access=inputs.get("publicAccess", True),
        eip=inputs.get("eip", False),
        tags={tag["key"]: tag["value"] for tag in inputs.get("tags", [])},
    )


def _url(parameters: Mapping[str, Any]) -> UrlTrigger:
    return UrlTrigger(
        name=parameters.get("name", "url-trigger"),
        qualifier=parameters["qualifier"],
        auth_type=parameters["authType"],
        extranet=parameters["netConfig"]["enableExtranet"],
        intranet=parameters["netConfig"]["enableIntranet"],
        enabled=parameters.get("enable", True),
    )


def _ckafka(parameters: Mapping[str, Any]) -> CkafkaTrigger:
    return CkafkaTrigger(
        name=parameters["name"],
        qualifier=parameters["qualifier"],
        instance_id=parameters["instanceId"],
        topic=parameters["topic"],
        max_messages=parameters.get("maxMsgNum", 100),
        offset=parameters.get("offset", "latest"),
        retry=parameters.get("retry", 10_000),
        timeout=parameters.get("timeout", 60),
        consumer_group=parameters.get("consumerGroupName", ""),
        enabled=parameters["enable"],
    )
