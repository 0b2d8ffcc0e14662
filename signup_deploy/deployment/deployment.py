"""The deployment: in comes what is wanted and a zip, and the function in the cloud is made so.

It can be broken off at any point and run again; what is the same already is left alone. It must never print a
variable's value. The variables are replaced as a whole, and those that are not wanted named as they go; whatever else
serverless.yml does not speak of is never taken away.
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
from .reserved_concurrency import Limit

_WORKED_ON = {"Creating", "Updating", "Publishing", "Deleting"}
_USABLE = {"Active", "UpdateFailed", "PublishFailed"}
"""States from which an update may begin: after a failed one the function runs as before."""


class Deployment:
    """One run. ``force``: the zip is uploaded even when the same one seems to run."""

    def __init__(
        self,
        config: Config,
        archive: Archive,
        api: Api,
        progress: ProgressReporter,
        *,
        force: bool = False,
        patience: PollPolicy | None = None,
    ) -> None:
        self._config = config
        self._archive = archive
        self._progress = progress
        self._force = force
        self._patience = patience or PollPolicy()
        self._calls = Calls(config, api, progress, self._patience)

    def run(self) -> str | None:
        """Deploy; the function's URL, None when it has none. Raises DeployError."""
        limit = Limit(self._config, self._calls, self._progress, self._patience)
        found = self._usable(self._find())
        if found is None:
            self._create()
        else:
            self._check_kind(found)
            self._warn(found)
            limit.before(found)
            self._update(found)
        limit.after(found)
        url = self._connect()
        if not self._calls.writes:
            self._progress.say("nothing to change")
        return url

    def _find(self) -> DeployedFunction | None:
        try:
            return DeployedFunction.of(self._calls.read("GetFunction", {"ShowCode": "FALSE"}))
        except ApiError as error:
            if error.is_not_there():
                return None
            raise

    def _usable(self, found: DeployedFunction | None) -> DeployedFunction | None:
        """The function when it can be updated; None when it is to be created. Raises DeployError."""
        if found and found.status in _WORKED_ON and self._calls.real:
            with self._progress.step(f"the function is {found.status}; waiting for that to end"):
                found = self._wait()
        if found and found.status == "CreateFailed":
            self._progress.say(f"the function was never created{_because(found)}")
            with self._progress.step("removing what is left of it"):
                self._calls.write("DeleteFunction")
                found = self._wait(gone=True) if self._calls.real else None
        if found and found.status not in _USABLE | _WORKED_ON:
            raise DeployError(
                f"the function is {found.status}{_because(found)}; remove it in the console, and run this again"
            )
        return found

    def _wait(self, *, gone: bool = False, new: bool = False) -> DeployedFunction | None:
        """Wait until nothing works on the function; None when it is there no more. Raises DeployError.

        ``new``: it was just created, and may not be seen at once.
        """
        end = time.monotonic() + self._patience.state
        unseen = self._patience.attempts if new else 0
        while time.monotonic() < end:
            time.sleep(self._patience.interval)
            self._progress.tick()
            found = self._find()
            if found is None and unseen:
                unseen -= 1
            elif found is None or (found.status not in _WORKED_ON and not gone):
                return found
        raise DeployError(
            f"the function is still being worked on after {self._patience.state:.0f} s; "
            "look at it in the console, and run this again"
        )

    def _check_kind(self, found: DeployedFunction) -> None:
        wanted = function_state.API_TYPES[self._config.shape]
        for key, has, wants in (("type", found.type, wanted), ("runtime", found.runtime, self._config.runtime)):
            if has != wants:
                raise DeployError(
                    f"{self._config.name}: its {key} is {has}, serverless.yml wants {wants}, and SCF cannot change "
                    f"that; choose another `name` there, or remove the function first (its URL goes with it)"
                )

    def _warn(self, found: DeployedFunction) -> None:
        wanted = function_state.wanted(self._config, "")
        for key, name in (("Role", "role"), ("VpcConfig", "vpcConfig")):
            has = found.configuration[key]
            if key not in wanted and has not in ("", {"VpcId": "", "SubnetId": ""}):
                self._progress.say(f"WARNING: the function has a {name}, serverless.yml names none; left as it is")
        if is_redis(found.variables) and not self._config.shared_ledger:
            self._progress.say(
                "WARNING: the function's ledger is a Redis, and becomes a SQLite file, which knows nothing of what the "
                "Redis remembers; if that is not what you want, stop, and set LEDGER_URL"
            )
        if dict(self._config.tags) != dict(found.tags):
            self._progress.say("WARNING: the tags differ; they are set at the creation only, and left as they are")
        if not found.available:
            self._progress.say("WARNING: the account has no money left; the function is not called until it has")

    def _create(self) -> None:
        parameters = {
            **function_state.wanted(self._config, self._archive.marker),
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
        wanted = function_state.wanted(self._config, self._archive.marker)
        # After an update that failed it is not known what the function has.
        changed = found.differing(wanted) if found.status == "Active" else wanted
        if changed:
            names = [key for key in changed if key != "Environment"]
            names += found.differing_variables(self._config.variables)
            gone = sorted(set(found.variables) - set(self._config.variables))
            verbs = {"updating": names, "removing": gone}
            text = "; ".join(f"{verb} {', '.join(which)}" for verb, which in verbs.items() if which)
            self._change(text, "UpdateFunctionConfiguration", changed)

    def _update_code(self, found: DeployedFunction) -> DeployedFunction:
        if found.package:
            # Broken off after the upload, the description would name a zip that does not run any more.
            unnamed = {"Description": function_state.description(self._config, function_state.REPLACING)}
            self._change("noting that the code is being replaced", "UpdateFunctionConfiguration", unnamed)
            found = replace(found, configuration={**found.configuration, **unnamed})
        parameters: dict[str, Any] = {"Code": self._archive.code()}
        if handler := self._config.handler or found.handler:
            parameters["Handler"] = handler
        size = f"{len(self._archive.data) / 2**20:.2f} MiB"
        self._change(f"uploading the code, {size}", "UpdateFunctionCode", parameters)
        return found

    def _connect(self) -> str | None:
        """Make the triggers; the URL."""
        present = self._triggers()
        plans = [triggers.plan(one, present) for one in (self._config.url, self._config.ckafka) if one]
        for plan in plans:
            if plan.action:
                with self._progress.step(plan.text):
                    self._trigger(plan, present)
        for one in present:
            if not any(one is plan.found for plan in plans):
                named = triggers.named(one)
                self._progress.say(f"WARNING: serverless.yml does not name the {named}; left as it is")
        return self._url() if self._config.url and self._calls.real else None

    def _triggers(self) -> list[Mapping[str, Any]]:
        return triggers.listed(self._calls.read("ListTriggers", {"Limit": 100}))

    def _trigger(self, plan: triggers.Plan, present: list[Mapping[str, Any]]) -> None:
        """Call what is planned. Raises DeployError."""
        try:
            self._calls.write(str(plan.action), plan.parameters)
        except ApiError as error:
            same = [one for one in present if one["TriggerName"] == plan.parameters["TriggerName"]]
            if not error.is_trigger_in_use() or not same:
                raise
            raise DeployError(
                f"CreateTrigger: the name is taken by the {triggers.named(same[0])}; remove that one in the console"
                + (", or give `events` in serverless.yml another `name`" if plan.type == "http" else "")
            ) from None

    def _url(self) -> str | None:
        def look() -> str | None:
            return triggers.url_of(self._triggers())

        if url := look():
            return url
        with self._progress.step("waiting for the URL"):
            return self._calls.until(look, self._patience.url)

    def _change(self, text: str, action: str, parameters: Mapping[str, Any]) -> None:
        """Begin a change and wait until it is done. Raises DeployError."""
        with self._progress.step(text):
            self._calls.write(action, parameters)
            if not self._calls.real:
                return
            found = self._wait(new=action == "CreateFunction")
        if found is None:
            raise DeployError("somebody removed the function meanwhile; run this again")
        if found.status != "Active":
            raise DeployError(f"{action}: the function is {found.status}{_because(found)}")


def _because(found: DeployedFunction) -> str:
    return f": {'; '.join(found.reasons)}" if found.reasons else ""
