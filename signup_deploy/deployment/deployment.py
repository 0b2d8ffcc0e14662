"""Create or update the function in the cloud according to serverless.yml.

A deployment can be interrupted at any point and run again; it changes only the parts that differ. It never prints the
value of a variable. It replaces all variables, and prints the names of removed ones. Other parts that serverless.yml
does not contain stay unchanged.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from signup_deploy.api.errors import ApiError, DeployError
from signup_deploy.api.scf_api import Api
from signup_deploy.config.consistency import is_redis
from signup_deploy.config.function_config import Config

from . import function_state, triggers
from .calls import Calls, PollPolicy
from .function_state import Archive, DeployedFunction
from .progress import ProgressReporter
from .reserved_concurrency import InstanceLimit

_IN_PROGRESS = {"Creating", "Updating", "Publishing", "Deleting"}
_USABLE = {"Active", "UpdateFailed", "PublishFailed"}
"""States in which an update may start. After a failed update, the previous version runs."""


class Deployment:
    """One deployment. ``force`` uploads the zip even if the function seems to run it already."""

    def __init__(
        self,
        config: Config,
        archive: Archive,
        api: Api,
        progress: ProgressReporter,
        *,
        force: bool = False,
        polling: PollPolicy | None = None,
    ) -> None:
        self._config = config
        self._archive = archive
        self._progress = progress
        self._force = force
        self._polling = polling or PollPolicy()
        self._calls = Calls(config, api, progress, self._polling)

    def run(self) -> str | None:
        """Deploy, and return the function's URL, or None if it has none. Raises DeployError."""
        limit = InstanceLimit(self._config, self._calls, self._progress, self._polling)
        found = self._usable(self._find())
        if found is None:
            self._create()
        else:
            self._check_kind(found)
            self._warn(found)
            limit.before_update(found)
            self._update(found)
        limit.after_update(found)
        url = self._connect()
        if not self._calls.writes:
            self._progress.say("nothing to change")
        return url

    def _find(self) -> DeployedFunction | None:
        try:
            return DeployedFunction.from_reply(self._calls.read("GetFunction", {"ShowCode": "FALSE"}))
        except ApiError as error:
            if error.is_not_found():
                return None
            raise

    def _usable(self, found: DeployedFunction | None) -> DeployedFunction | None:
        """Return the function if it can be updated, None if it must be created. Raises DeployError."""
        if found and found.status in _IN_PROGRESS and self._calls.real:
            with self._progress.step(f"the function is {found.status}; waiting until this change is complete"):
                found = self._wait()
        if found and found.status == "CreateFailed":
            self._progress.say(f"the creation of the function failed{_reasons(found)}")
            with self._progress.step("deleting the incomplete function"):
                self._calls.write("DeleteFunction")
                found = self._wait(gone=True) if self._calls.real else None
        if found and found.status not in _USABLE | _IN_PROGRESS:
            raise DeployError(
                f"the function is {found.status}{_reasons(found)}; delete it in the console, and run the command again"
            )
        return found

    def _wait(self, *, gone: bool = False, new: bool = False) -> DeployedFunction | None:
        """Wait until no change of the function is in progress; return None if it does not exist. Raises DeployError.

        ``new``: it was just created, and the API may not return it yet.
        """
        end = time.monotonic() + self._polling.state
        unseen = self._polling.attempts if new else 0
        while time.monotonic() < end:
            time.sleep(self._polling.interval)
            self._progress.tick()
            found = self._find()
            if found is None and unseen:
                unseen -= 1
            elif found is None or (found.status not in _IN_PROGRESS and not gone):
                return found
        raise DeployError(
            f"a change of the function is still in progress after {self._polling.state:.0f} s; "
            "check it in the console, and run the command again"
        )

    def _check_kind(self, found: DeployedFunction) -> None:
        desired = function_state.API_TYPES[self._config.shape]
        for key, has, wants in (("type", found.type, desired), ("runtime", found.runtime, self._config.runtime)):
            if has != wants:
                raise DeployError(
                    f"{self._config.name}: the function's {key} is {has}, but must be {wants}, and SCF cannot change "
                    f"it; set another `name` in serverless.yml, or delete the function, which also deletes its URL"
                )

    def _warn(self, found: DeployedFunction) -> None:
        desired = function_state.desired(self._config, "")
        for key, name in (("Role", "role"), ("VpcConfig", "vpcConfig")):
            has = found.configuration[key]
            if key not in desired and has not in ("", {"VpcId": "", "SubnetId": ""}):
                self._progress.say(
                    f"WARNING: the function has a {name}, but serverless.yml does not; it stays unchanged"
                )
        if is_redis(found.variables) and not self._config.shared_ledger:
            self._progress.say(
                "WARNING: the function's ledger changes from Redis to a SQLite file, which has none of the records in "
                "Redis; to keep the records, stop this command and set LEDGER_URL"
            )
        if dict(self._config.tags) != dict(found.tags):
            self._progress.say("WARNING: the tags differ, and stay unchanged; SCF sets tags only at creation")
        if not found.available:
            self._progress.say("WARNING: the account's balance is used up, and the function is suspended; top it up")

    def _create(self) -> None:
        parameters = {
            **function_state.desired(self._config, self._archive.marker),
            "Type": function_state.API_TYPES[self._config.shape],
            "Runtime": self._config.runtime,
            "Code": self._archive.code(),
        }
        if self._config.handler:
            parameters["Handler"] = self._config.handler
        if self._config.tags:
            parameters["Tags"] = [{"Key": key, "Value": value} for key, value in sorted(self._config.tags.items())]
        where = f"{self._config.region}, namespace {self._config.namespace}"
        self._change(f"creating the function {self._config.name} in {where}", "CreateFunction", parameters)

    def _update(self, found: DeployedFunction) -> None:
        if self._force or not found.runs(self._archive):
            found = self._update_code(found)
        desired = function_state.desired(self._config, self._archive.marker)
        # After a failed update, the configuration is unknown.
        changed = found.changed_parameters(desired) if found.status == "Active" else desired
        if changed:
            names = [key for key in changed if key != "Environment"]
            names += found.changed_variables(self._config.variables)
            gone = sorted(set(found.variables) - set(self._config.variables))
            verbs = {"updating": names, "removing": gone}
            text = "; ".join(f"{verb} {', '.join(which)}" for verb, which in verbs.items() if which)
            self._change(text, "UpdateFunctionConfiguration", changed)

    def _update_code(self, found: DeployedFunction) -> DeployedFunction:
        if found.package:
            # After an interruption, the description must not refer to a zip that no longer runs.
            unnamed = {"Description": function_state.description(self._config, function_state.REPLACING)}
            self._change("marking the code as being replaced", "UpdateFunctionConfiguration", unnamed)
            found = replace(found, configuration={**found.configuration, **unnamed})
        parameters: dict[str, Any] = {"Code": self._archive.code()}
        if handler := self._config.handler or found.handler:
            parameters["Handler"] = handler
        size = f"{len(self._archive.data) / 2**20:.2f} MiB"
        self._change(f"uploading the code, {size}", "UpdateFunctionCode", parameters)
        return found

    def _connect(self) -> str | None:
        """Create or update the triggers, and return the URL."""
        present = self._triggers()
        plans = [triggers.plan(one, present) for one in (self._config.url, self._config.ckafka) if one]
        for plan in plans:
            if plan.action:
                with self._progress.step(plan.text):
                    self._trigger(plan, present)
        for one in present:
            if not any(one is plan.found for plan in plans):
                named = triggers.describe(one)
                self._progress.say(f"WARNING: serverless.yml does not contain the {named}; it stays unchanged")
        return self._url() if self._config.url and self._calls.real else None

    def _triggers(self) -> list[Mapping[str, Any]]:
        return triggers.parse_triggers(self._calls.read("ListTriggers", {"Limit": 100}))

    def _trigger(self, plan: triggers.Plan, present: list[Mapping[str, Any]]) -> None:
        """Make the call of the plan. Raises DeployError."""
        try:
            self._calls.write(str(plan.action), plan.parameters)
        except ApiError as error:
            same = [one for one in present if one["TriggerName"] == plan.parameters["TriggerName"]]
            if not error.is_trigger_in_use() or not same:
                raise
            raise DeployError(
                f"CreateTrigger: the {triggers.describe(same[0])} already has this name; remove it in the console"
                + (", or set another `name` under `events` in serverless.yml" if plan.type == "http" else "")
            ) from None

    def _url(self) -> str | None:
        def look() -> str | None:
            return triggers.find_url(self._triggers())

        if url := look():
            return url
        with self._progress.step("waiting for the URL"):
            return self._calls.poll(look, self._polling.url)

    def _change(self, text: str, action: str, parameters: Mapping[str, Any]) -> None:
        """Make a change and wait until it is complete. Raises DeployError."""
        with self._progress.step(text):
            self._calls.write(action, parameters)
            if not self._calls.real:
                return
            found = self._wait(new=action == "CreateFunction")
        if found is None:
            raise DeployError("the function was deleted during the deployment; run the command again")
        if found.status != "Active":
            raise DeployError(f"{action}: the function is {found.status}{_reasons(found)}")


def _reasons(found: DeployedFunction) -> str:
    return f": {'; '.join(found.reasons)}" if found.reasons else ""
