"""The deployment: in comes what is wanted and a zip, and the function in the cloud is made so.

It can be broken off at any point and run again; what is the same already is left alone. It must never print a
variable's value, and never take away what serverless.yml does not speak of.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from . import state, triggers
from .api import Api
from .config import Config
from .errors import ApiError, DeployError, UnreachableError
from .progress import Progress
from .state import Archive, Found

_WORKED_ON = {"Creating", "Updating", "Publishing", "Deleting"}
_USABLE = {"Active", "UpdateFailed", "PublishFailed"}
"""States from which an update may begin: after a failed one the function runs as before."""

_READING = ("Get", "List")


@dataclass(frozen=True)
class Patience:
    """Seconds: between two looks, for a state to change, for a busy function to be free, for a URL to appear.

    And how often a call is made that is one too many, or, if it only reads, gets no answer.
    """

    interval: float = 1.0
    state: float = 300.0
    busy: float = 60.0
    url: float = 20.0
    attempts: int = 5


class Deployment:
    """One run. ``force``: the zip is uploaded even when the same one seems to run."""

    def __init__(
        self,
        config: Config,
        archive: Archive,
        api: Api,
        progress: Progress,
        *,
        force: bool = False,
        patience: Patience | None = None,
    ) -> None:
        self._config = config
        self._archive = archive
        self._api = api
        self._progress = progress
        self._force = force
        self._patience = patience or Patience()
        self._who = {"FunctionName": config.name, "Namespace": config.namespace}
        self._writes = 0

    def run(self) -> str | None:
        """Deploy; the function's URL, None when it has none. Raises DeployError."""
        found = self._usable(self._find())
        if found is None:
            self._create()
        else:
            self._check_kind(found)
            self._warn(found)
            self._update(found)
        self._limit(found)
        url = self._connect()
        if not self._writes:
            self._progress.say("nothing to change")
        return url

    def _find(self) -> Found | None:
        try:
            return Found.of(self._call("GetFunction", {**self._who, "ShowCode": "FALSE"}))
        except ApiError as error:
            if error.is_not_there():
                return None
            raise

    def _usable(self, found: Found | None) -> Found | None:
        """The function when it can be updated; None when it is to be created. Raises DeployError."""
        if found and found.status in _WORKED_ON and self._api.real:
            with self._progress.step(f"the function is {found.status}; waiting for that to end"):
                found = self._wait()
        if found and found.status == "CreateFailed":
            self._progress.say(f"the function was never created{_because(found)}")
            with self._progress.step("removing what is left of it"):
                self._write("DeleteFunction", {})
                found = self._wait(gone=True) if self._api.real else None
        if found and found.status not in _USABLE | _WORKED_ON:
            raise DeployError(
                f"the function is {found.status}{_because(found)}; remove it in the console, and run this again"
            )
        return found

    def _wait(self, *, gone: bool = False) -> Found | None:
        """Wait until nothing works on the function; None when it is there no more. Raises DeployError."""
        end = time.monotonic() + self._patience.state
        while time.monotonic() < end:
            time.sleep(self._patience.interval)
            self._progress.tick()
            found = self._find()
            if found is None or (found.status not in _WORKED_ON and not gone):
                return found
        raise DeployError(
            f"the function is still being worked on after {self._patience.state:.0f} s; "
            "look at it in the console, and run this again"
        )

    def _check_kind(self, found: Found) -> None:
        wanted = state.API_TYPES[self._config.shape]
        for key, has, wants in (("type", found.type, wanted), ("runtime", found.runtime, self._config.runtime)):
            if has != wants:
                raise DeployError(
                    f"{self._config.name}: its {key} is {has}, serverless.yml wants {wants}, and SCF cannot change "
                    f"that; choose another `name` there, or remove the function first (its URL goes with it)"
                )

    def _warn(self, found: Found) -> None:
        wanted = state.wanted(self._config, "")
        for key, name in (("Role", "role"), ("VpcConfig", "vpcConfig")):
            has = found.configuration[key]
            if key not in wanted and has not in ("", {"VpcId": "", "SubnetId": ""}):
                self._progress.say(f"WARNING: the function has a {name}, serverless.yml names none; left as it is")
        if dict(self._config.tags) != dict(found.tags):
            self._progress.say("WARNING: the tags differ; they are set at the creation only, and left as they are")
        if not found.available:
            self._progress.say("WARNING: the account has no money left; the function is not called until it has")

    def _create(self) -> None:
        parameters = {
            **state.wanted(self._config, self._archive.marker),
            "Type": state.API_TYPES[self._config.shape],
            "Runtime": self._config.runtime,
            "Code": self._archive.code(),
        }
        if self._config.handler:
            parameters["Handler"] = self._config.handler
        if self._config.tags:
            parameters["Tags"] = [{"Key": key, "Value": value} for key, value in sorted(self._config.tags.items())]
        where = f"{self._config.region}, namespace {self._config.namespace}"
        self._change(f"creating the function {self._config.name} in {where}", "CreateFunction", parameters)

    def _update(self, found: Found) -> None:
        if self._force or found.package != self._archive.marker:
            found = self._update_code(found)
        wanted = state.wanted(self._config, self._archive.marker)
        # After an update that failed it is not known what the function has.
        changed = found.differing(wanted) if found.status == "Active" else wanted
        if changed:
            names = [key for key in changed if key != "Environment"]
            names += found.differing_variables(self._config.variables)
            self._change(f"updating {', '.join(names)}", "UpdateFunctionConfiguration", changed)

    def _update_code(self, found: Found) -> Found:
        if found.package:
            # Broken off after the upload, the description would name a zip that does not run any more.
            unnamed = {"Description": state.description(self._config, state.REPLACING)}
            self._change("noting that the code is being replaced", "UpdateFunctionConfiguration", unnamed)
            found = replace(found, status="Active", configuration={**found.configuration, **unnamed})
        parameters: dict[str, Any] = {"Code": self._archive.code()}
        if handler := self._config.handler or found.handler:
            parameters["Handler"] = handler
        size = f"{len(self._archive.data) / 2**20:.2f} MiB"
        self._change(f"uploading the code, {size}", "UpdateFunctionCode", parameters)
        return found

    def _limit(self, found: Found | None) -> None:
        """One instance for a SQLite ledger; a Redis needs no limit."""
        reserved = self._call("GetReservedConcurrencyConfig", self._who).get("ReservedMem")
        memory = self._config.memory
        if not self._config.shared_ledger:
            if reserved != memory:
                with self._progress.step(
                    "limiting the function to one instance: its SQLite ledger is that instance's own, and a second "
                    "one would verify the same delivery again"
                ):
                    self._write("PutReservedConcurrencyConfig", {"ReservedConcurrencyMem": memory})
        elif reserved is not None and reserved in (memory, found.memory if found else memory):
            with self._progress.step("lifting the limit to one instance: the instances share a Redis"):
                self._write("DeleteReservedConcurrencyConfig", {})
        elif reserved is not None:
            self._progress.say(f"a reservation of {reserved} MB is not this command's, and left as it is")

    def _connect(self) -> str | None:
        """Make the triggers; the URL."""
        present = self._call("ListTriggers", {**self._who, "Limit": 100}).get("Triggers") or []
        plans = [triggers.plan(one, present) for one in (self._config.url, self._config.ckafka) if one]
        for plan in plans:
            if plan.action:
                with self._progress.step(plan.text):
                    self._write(plan.action, plan.parameters)
        for kind in sorted({one["Type"] for one in present} - {plan.type for plan in plans}):
            self._progress.say(f"WARNING: the function has a {kind} trigger, serverless.yml names none; left as it is")
        return self._url() if self._config.url and self._api.real else None

    def _url(self) -> str | None:
        end = time.monotonic() + self._patience.url
        while True:
            listed = self._call("ListTriggers", {**self._who, "Limit": 100}).get("Triggers") or []
            url = triggers.url_of(listed)
            if url or time.monotonic() > end:
                return url
            time.sleep(self._patience.interval)

    def _change(self, text: str, action: str, parameters: Mapping[str, Any]) -> None:
        """Begin a change and wait until it is done. Raises DeployError."""
        with self._progress.step(text):
            self._write(action, parameters)
            if not self._api.real:
                return
            found = self._wait()
        if found is None:
            raise DeployError("somebody removed the function meanwhile; run this again")
        if found.status != "Active":
            raise DeployError(f"{action}: the function is {found.status}{_because(found)}")

    def _write(self, action: str, parameters: Mapping[str, Any]) -> None:
        self._writes += 1
        self._call(action, {**self._who, **parameters})

    def _call(self, action: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Call until the function is free and the calls are not too many; what only reads also over a bad line."""
        end = time.monotonic() + self._patience.busy
        attempt = 0
        while True:
            attempt += 1
            try:
                return self._api.call(action, parameters)
            except ApiError as error:
                throttled = error.is_throttled() and attempt < self._patience.attempts
                if not throttled and not (error.is_busy() and time.monotonic() < end):
                    raise
                if not action.startswith(_READING):
                    self._progress.tick()
            except UnreachableError:
                if not action.startswith(_READING) or attempt >= self._patience.attempts:
                    raise
            time.sleep(self._patience.interval * min(attempt, self._patience.attempts))


def _because(found: Found) -> str:
    return f": {'; '.join(found.reasons)}" if found.reasons else ""
