"""What the SCF API refuses, in words: each code's meaning and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_PERMISSION = re.compile(r"operation \((?P<action>\w+:\w+)\)\s*(resource \((?P<resource>[^)]*)\))?")

_TRIGGER_IN_USE = "the function has such a trigger already; look at its triggers in the console, and run it again"

MEANINGS = {
    "AuthFailure.InvalidSecretId": "TENCENT_SECRET_ID is no key of an API user; look at it",
    "AuthFailure.SecretIdNotFound": "the key of TENCENT_SECRET_ID does not exist, or is disabled; look at it",
    "AuthFailure.SignatureExpire": "this machine's clock is more than five minutes off; set it",
    "AuthFailure.SignatureFailure": "TENCENT_SECRET_KEY does not belong to TENCENT_SECRET_ID; look at both",
    "AuthFailure.TokenFailure": "TENCENT_SESSION_TOKEN has run out, or does not belong to the key; get new ones",
    "AuthFailure": "the deployer's key is not accepted; look at TENCENT_SECRET_ID and TENCENT_SECRET_KEY",
    "FailedOperation.AccountInsufficient": "the account has no money left; top it up",
    "FailedOperation.ClsServiceUnregistered": "CLS is not activated in this account; activate it in its console",
    "FailedOperation.InsufficientBalance": "the account has no money left; top it up",
    "FailedOperation.InsufficientResources": "the region has no room left; try again later, or choose another region",
    "FailedOperation.OpenService": "SCF is not activated in this account; open its console once",
    "FailedOperation.ProvisionedExceedReserved": "more concurrency is provisioned than one instance; take it away",
    "FailedOperation.QcsRoleNotFound": "the role is missing, or SCF may not assume it; see `role` in serverless.yml",
    "FailedOperation.ReservedExceedTotal": "the account's concurrency quota leaves no room for a reservation; raise it",
    "FailedOperation.TopicNotExist": "the CLS topic does not exist; see `cls` in serverless.yml",
    "FailedOperation.UnOpenedService": "SCF is not activated in this account; open its console once",
    "FailedOperation": "the platform could not do it; run it again, and look at the function in the console",
    "InternalError": "the platform failed; run it again",
    "InvalidParameter.RequestTooLarge": "the zip is too large to be sent; see `signup-bridge package`",
    "InvalidParameterValue.Ckafka": "the ckafka trigger is not accepted; see `events` in serverless.yml",
    "InvalidParameterValue.Cls": "the log topic is not accepted; see `cls` in serverless.yml",
    "InvalidParameterValue.ClsRole": "a log topic of your own needs a role; say `role` in serverless.yml",
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
    "OperationDenied.AccountIsolate": "the account is locked, which is mostly for money; see its console",
    "RequestLimitExceeded": "too many calls at once, and after several more tries still; run it again in a minute",
    "RequestSizeLimitExceeded": "the zip is too large to be sent; see `signup-bridge package`",
    "ResourceInUse.Trigger": _TRIGGER_IN_USE,
    "ResourceInUse.TriggerName": _TRIGGER_IN_USE,
    "ResourceInUse": "somebody else made the same thing meanwhile; run it again",
    "ResourceNotFound.Ckafka": "the CKafka instance or topic is not in this region; see `events` in serverless.yml",
    "ResourceNotFound.Function": "somebody removed the function meanwhile; run it again",
    "ResourceNotFound.Namespace": "the namespace does not exist in this region; create it in the console",
    "ResourceNotFound.Role": "the role is missing, or SCF may not assume it; see `role` in serverless.yml",
    "ResourceNotFound.Vpc": "the network or subnet is not in this region; see `vpcConfig` in serverless.yml",
    "ResourceUnavailable.InsufficientBalance": "the account has no money left; top it up",
    "ResourceUnavailable.ServiceSuspended": "SCF is suspended for this account; see its console",
    "UnauthorizedOperation.Region": "the account may not use this region; choose another one in serverless.yml",
    "UnsupportedRegion": "SCF is not in this region; see `region` in serverless.yml",
}
"""By the longest code that the API's begins with."""

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
"""The function is being worked on: nothing was done, and it can be done in a moment."""

NOT_THERE = {"ResourceNotFound.Function", "ResourceNotFound.FunctionName"}


class DeployError(Exception):
    """It was not deployed, or not wholly. Its text says why, and what to do."""


class ApiError(DeployError):
    """The API refused a call."""

    def __init__(self, action: str, code: str, message: str, request_id: str) -> None:
        self.action, self.code, self.message = action, code, message
        said = " ".join(message.split())
        super().__init__(f"{action}: {self._meaning()}\n  the API said: {code}: {said} (request {request_id})")

    def is_busy(self) -> bool:
        return self.code in BUSY

    def is_throttled(self) -> bool:
        return self.code.partition(".")[0] == "RequestLimitExceeded"

    def is_internal(self) -> bool:
        return self.code.partition(".")[0] == "InternalError"

    def is_trigger_in_use(self) -> bool:
        return self.code.startswith("ResourceInUse.Trigger")

    def is_not_there(self) -> bool:
        return self.code in NOT_THERE

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
                "the policy that it needs is in docs/deploying.md"
            )
        return MEANINGS.get(closest, "the platform refused it")


class UnreachableError(DeployError):
    """No usable answer came, and what became of the call is not known."""


def members_of(action: str, reply: Any, *names: str) -> Mapping[str, Any]:
    """The reply, or a part of it, in which these members are. Raises DeployError when one is not."""
    if not isinstance(reply, Mapping) or any(reply.get(name) is None for name in names):
        raise DeployError(
            f"{action}: the answer is not as it must be, with {', '.join(names)}; "
            "run it again, and if it stays so, look for a newer version of this command"
        )
    return reply
