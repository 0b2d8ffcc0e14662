"""The SCF API's error codes, each with its meaning and what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from signup_bridge.cli.installation import command_line

_PERMISSION = re.compile(r"operation \((?P<action>\w+:\w+)\)\s*(resource \((?P<resource>[^)]*)\))?")

_TRIGGER_IN_USE = "the function has such a trigger already; check its triggers in the console"

MEANINGS = {
    "AuthFailure.InvalidSecretId": "TENCENT_SECRET_ID is not the key of an API user; check it",
    "AuthFailure.SecretIdNotFound": "the key of TENCENT_SECRET_ID does not exist, or is disabled; check it",
    "AuthFailure.SignatureExpire": "this machine's clock is more than five minutes off; set it",
    "AuthFailure.SignatureFailure": "TENCENT_SECRET_KEY does not belong to TENCENT_SECRET_ID; check both",
    "AuthFailure.TokenFailure": "TENCENT_SESSION_TOKEN is expired, or does not belong to the key; get new credentials",
    "AuthFailure": "the deployer's key is not accepted; check TENCENT_SECRET_ID and TENCENT_SECRET_KEY",
    "FailedOperation.AccountInsufficient": "the account's balance is used up; top it up",
    "FailedOperation.ClsServiceUnregistered": "CLS is not activated in this account; activate it in its console",
    "FailedOperation.InsufficientBalance": "the account's balance is used up; top it up",
    "FailedOperation.InsufficientResources": "the region has no capacity left; retry later, or choose another region",
    "FailedOperation.OpenService": "SCF is not activated in this account; open its console once",
    "FailedOperation.ProvisionedExceedReserved": "more concurrency is provisioned than one instance; remove it",
    "FailedOperation.QcsRoleNotFound": "the role is missing, or SCF may not assume it; see `role` in serverless.yml",
    "FailedOperation.ReservedExceedTotal": "the account's concurrency quota is too small for a reservation; raise it",
    "FailedOperation.TopicNotExist": "the CLS topic does not exist; see `cls` in serverless.yml",
    "FailedOperation.UnOpenedService": "SCF is not activated in this account; open its console once",
    "FailedOperation": "the platform could not do it; run the command again, and check the function in the console",
    "InternalError": "the platform failed; run the command again",
    "InvalidParameter.RequestTooLarge": f"the zip is too large to be sent; see `{command_line('package')}`",
    "InvalidParameterValue.Ckafka": "the ckafka trigger is not accepted; see `events` in serverless.yml",
    "InvalidParameterValue.Cls": "the log topic is not accepted; see `cls` in serverless.yml",
    "InvalidParameterValue.ClsRole": "a log topic of your own needs a role; set `role` in serverless.yml",
    "InvalidParameterValue.Description": "the description is not accepted; see `description` in serverless.yml",
    "InvalidParameterValue.EipConfig": "the fixed address is not accepted; see `eip` in serverless.yml",
    "InvalidParameterValue.Environment": "the variables are not accepted; see `environment` in serverless.yml",
    "InvalidParameterValue.EnvironmentExceededLimit": "the variables take more than 4 KB; shorten them",
    "InvalidParameterValue.Namespace": "the namespace is not accepted; see `namespace` in serverless.yml",
    "InvalidParameterValue.Runtime": "the runtime is not accepted in this region; choose another region",
    "InvalidParameterValue.TriggerDesc": "the trigger is not accepted; see `events` in serverless.yml",
    "InvalidParameterValue.TriggerName": "the trigger's name is not accepted; see `events` in serverless.yml",
    "InvalidParameterValue.Vpc": "the network is not accepted; see `vpcConfig` in serverless.yml",
    "InvalidParameterValue.ZipFile": "the zip is not accepted; build it again",
    "LimitExceeded.Eip": "the quota of fixed addresses is used up; raise it, or take `eip` out of serverless.yml",
    "LimitExceeded.Function": "the quota of functions is used up; remove one, or raise it",
    "LimitExceeded.FunctionReservedConcurrencyMemory": "the quota of reserved concurrency is used up; raise it",
    "LimitExceeded.InitTimeout": "`initTimeout` is more than this account may have; lower it in serverless.yml",
    "LimitExceeded.Memory": "`memorySize` is more than this account may have; lower it in serverless.yml",
    "LimitExceeded.Timeout": "`timeout` is more than this account may have; lower it in serverless.yml",
    "LimitExceeded.TotalConcurrencyMemory": "the account's concurrency quota is used up; raise it",
    "LimitExceeded.Trigger": "the quota of triggers is used up; remove one",
    "LimitExceeded.UserTotalConcurrencyMemory": "the account's concurrency quota is used up; raise it",
    "LimitExceeded": "a quota of the account is used up; raise it",
    "OperationDenied.AccountIsolate": "the account is suspended, usually for an unpaid balance; check its billing",
    "RequestLimitExceeded": "the rate limit is exceeded after several retries; wait a minute and run the command again",
    "RequestSizeLimitExceeded": f"the zip is too large to be sent; see `{command_line('package')}`",
    "ResourceInUse.Trigger": _TRIGGER_IN_USE,
    "ResourceInUse.TriggerName": _TRIGGER_IN_USE,
    "ResourceInUse": "it was created concurrently; run the command again",
    "ResourceNotFound.Ckafka": "the CKafka instance or topic is not in this region; see `events` in serverless.yml",
    "ResourceNotFound.Function": "the function was deleted meanwhile; run the command again",
    "ResourceNotFound.Namespace": "the namespace does not exist in this region; create it in the console",
    "ResourceNotFound.Role": "the role is missing, or SCF may not assume it; see `role` in serverless.yml",
    "ResourceNotFound.Vpc": "the network or subnet is not in this region; see `vpcConfig` in serverless.yml",
    "ResourceUnavailable.InsufficientBalance": "the account's balance is used up; top it up",
    "ResourceUnavailable.ServiceSuspended": "SCF is suspended for this account; see its console",
    "UnauthorizedOperation.Region": "the account may not use this region; choose another one in serverless.yml",
    "UnsupportedRegion": "SCF is not in this region; see `region` in serverless.yml",
}
"""Keyed by error code; the longest prefix of the API's code applies."""

BUSY = {
    "FailedOperation.CreateTrigger",
    "FailedOperation.DeleteFunction",
    "FailedOperation.FunctionNameStatusError",
    "FailedOperation.FunctionStatusError",
    "FailedOperation.FunctionVersionStatusNotActive",
    "FailedOperation.OperationConflict",
    "FailedOperation.ReservedInProgress",
    "FailedOperation.TotalConcurrencyMemoryInProgress",
    "FailedOperation.UpdateFunctionCode",
    "FailedOperation.UpdateFunctionConfiguration",
    "UnsupportedOperation.UpdateFunctionCode",
}
"""A change of the function is in progress: nothing was done, and a retry can succeed."""

NOT_FOUND = {"ResourceNotFound.Function", "ResourceNotFound.FunctionName"}


class DeployError(Exception):
    """The deployment failed or is incomplete. The text says why, and what to do."""


class ApiError(DeployError):
    """The API rejected a call."""

    def __init__(self, action: str, code: str, message: str, request_id: str) -> None:
        self.action, self.code, self.message = action, code, message
        text = " ".join(message.split())
        super().__init__(f"{action}: {self._meaning()}\n  the API said: {code}: {text} (request {request_id})")

    def is_busy(self) -> bool:
        return self.code in BUSY

    def is_throttled(self) -> bool:
        return self.code.partition(".")[0] == "RequestLimitExceeded"

    def is_internal(self) -> bool:
        return self.code.partition(".")[0] == "InternalError"

    def is_trigger_in_use(self) -> bool:
        return self.code.startswith("ResourceInUse.Trigger")

    def is_not_found(self) -> bool:
        return self.code in NOT_FOUND

    def _meaning(self) -> str:
        named = _PERMISSION.search(self.message)
        known = [code for code in MEANINGS if self.code == code or self.code.startswith(f"{code}.")]
        closest = max(known, key=len, default="")
        unauthorized = "UnauthorizedOperation" in self.code.split(".")[:2]
        if named or (unauthorized and closest != "UnauthorizedOperation.Region"):
            permission = named["action"] if named else f"scf:{self.action}"
            where = f" on {named['resource']}" if named and named["resource"] else ""
            return (
                f"the deployer's key lacks the permission {permission}{where}; "
                "the policy that it needs is in docs/guides/deploy.md"
            )
        return MEANINGS.get(closest, "the platform rejected it")


class UnreachableError(DeployError):
    """No usable reply, so the result of the call is not known."""


def require_members(action: str, reply: Any, *names: str) -> Mapping[str, Any]:
    """Return the reply, or a part of it, with these members. Raises DeployError if one is missing."""
    if not isinstance(reply, Mapping) or any(reply.get(name) is None for name in names):
        raise DeployError(
            f"{action}: the reply has no {', '.join(names)}; "
            "run the command again, or update signup-bridge if the error stays"
        )
    return reply
