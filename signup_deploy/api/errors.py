"""The error codes of SCF's API, each with its meaning and the remedy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from signup_bridge.cli.installation import command_line

_PERMISSION = re.compile(r"operation \((?P<action>\w+:\w+)\)\s*(resource \((?P<resource>[^)]*)\))?")

_ACCOUNT_EMPTY = "The account's balance is used up. Top it up."
_NOT_ACTIVATED = "SCF is not activated in this account. Open the SCF console once."
_ROLE_MISSING = "The role does not exist, or SCF may not assume it. Check `role` in serverless.yml."
_CONCURRENCY_QUOTA = "The account's concurrency quota is used up. Raise the quota."
_TRIGGER_IN_USE = "The function already has this trigger. Check its triggers in the console."
_ZIP_TOO_LARGE = f"The zip is too large for one call. See `{command_line('package')}`."

MEANINGS = {
    "AuthFailure.InvalidSecretId": "TENCENT_SECRET_ID is not the id of an API key. Check it.",
    "AuthFailure.SecretIdNotFound": "The key in TENCENT_SECRET_ID does not exist or is disabled. Check it.",
    "AuthFailure.SignatureExpire": "The clock of this machine is off by more than five minutes. Synchronize it.",
    "AuthFailure.SignatureFailure": "TENCENT_SECRET_KEY does not belong to TENCENT_SECRET_ID. Check both.",
    "AuthFailure.TokenFailure": (
        "TENCENT_SESSION_TOKEN has expired, or does not belong to the key. Create new credentials."
    ),
    "AuthFailure": "The deployer's key is not accepted. Check TENCENT_SECRET_ID and TENCENT_SECRET_KEY.",
    "FailedOperation.AccountInsufficient": _ACCOUNT_EMPTY,
    "FailedOperation.ClsServiceUnregistered": "CLS is not activated in this account. Activate it in the CLS console.",
    "FailedOperation.InsufficientBalance": _ACCOUNT_EMPTY,
    "FailedOperation.InsufficientResources": "The region has no capacity left. Retry later, or choose another region.",
    "FailedOperation.OpenService": _NOT_ACTIVATED,
    "FailedOperation.ProvisionedExceedReserved": (
        "The provisioned concurrency is more than one instance. Remove it in the console."
    ),
    "FailedOperation.QcsRoleNotFound": _ROLE_MISSING,
    "FailedOperation.ReservedExceedTotal": (
        "The account's concurrency quota is too small for a reservation. Raise the quota."
    ),
    "FailedOperation.TopicNotExist": "The CLS topic does not exist. Check `cls` in serverless.yml.",
    "FailedOperation.UnOpenedService": _NOT_ACTIVATED,
    "FailedOperation": "The operation failed. Run the command again, and check the function in the console.",
    "InternalError": "SCF has an internal error. Run the command again.",
    "InvalidParameter.RequestTooLarge": _ZIP_TOO_LARGE,
    "InvalidParameterValue.Ckafka": "The ckafka trigger is not accepted. Check `events` in serverless.yml.",
    "InvalidParameterValue.Cls": "The log topic is not accepted. Check `cls` in serverless.yml.",
    "InvalidParameterValue.ClsRole": "A log topic of your own requires a role. Set `role` in serverless.yml.",
    "InvalidParameterValue.Description": "The description is not accepted. Check `description` in serverless.yml.",
    "InvalidParameterValue.EipConfig": "The static IP address is not accepted. Check `eip` in serverless.yml.",
    "InvalidParameterValue.Environment": "The variables are not accepted. Check `environment` in serverless.yml.",
    "InvalidParameterValue.EnvironmentExceededLimit": "The variables exceed the limit of 4 KB. Shorten them.",
    "InvalidParameterValue.Namespace": "The namespace is not accepted. Check `namespace` in serverless.yml.",
    "InvalidParameterValue.Runtime": "The runtime is not available in this region. Choose another region.",
    "InvalidParameterValue.TriggerDesc": "The trigger is not accepted. Check `events` in serverless.yml.",
    "InvalidParameterValue.TriggerName": "The trigger's name is not accepted. Check `events` in serverless.yml.",
    "InvalidParameterValue.Vpc": "The network is not accepted. Check `vpcConfig` in serverless.yml.",
    "InvalidParameterValue.ZipFile": "The zip is not accepted. Build it again.",
    "LimitExceeded.Eip": "The quota of static IP addresses is used up. Raise it, or remove `eip` from serverless.yml.",
    "LimitExceeded.Function": "The quota of functions is used up. Remove a function, or raise the quota.",
    "LimitExceeded.FunctionReservedConcurrencyMemory": (
        "The quota of reserved concurrency is used up. Raise the quota."
    ),
    "LimitExceeded.InitTimeout": "`initTimeout` exceeds the limit of this account. Lower it in serverless.yml.",
    "LimitExceeded.Memory": "`memorySize` exceeds the limit of this account. Lower it in serverless.yml.",
    "LimitExceeded.Timeout": "`timeout` exceeds the limit of this account. Lower it in serverless.yml.",
    "LimitExceeded.TotalConcurrencyMemory": _CONCURRENCY_QUOTA,
    "LimitExceeded.Trigger": "The quota of triggers is used up. Remove a trigger.",
    "LimitExceeded.UserTotalConcurrencyMemory": _CONCURRENCY_QUOTA,
    "LimitExceeded": "A quota of the account is used up. Raise the quota.",
    "OperationDenied.AccountIsolate": (
        "The account is suspended, usually because of an unpaid balance. Check the billing console."
    ),
    "RequestLimitExceeded": "Rate limit exceeded after several retries. Wait a minute and run the command again.",
    "RequestSizeLimitExceeded": _ZIP_TOO_LARGE,
    "ResourceInUse.Trigger": _TRIGGER_IN_USE,
    "ResourceInUse.TriggerName": _TRIGGER_IN_USE,
    "ResourceInUse": "The resource was created at the same time. Run the command again.",
    "ResourceNotFound.Ckafka": "The CKafka instance or topic is not in this region. Check `events` in serverless.yml.",
    "ResourceNotFound.Function": "The function was deleted during the deployment. Run the command again.",
    "ResourceNotFound.Namespace": "The namespace does not exist in this region. Create it in the console.",
    "ResourceNotFound.Role": _ROLE_MISSING,
    "ResourceNotFound.Vpc": "The network or subnet is not in this region. Check `vpcConfig` in serverless.yml.",
    "ResourceUnavailable.InsufficientBalance": _ACCOUNT_EMPTY,
    "ResourceUnavailable.ServiceSuspended": "SCF is suspended for this account. Check the SCF console.",
    "UnauthorizedOperation.Region": "The account may not use this region. Choose another region in serverless.yml.",
    "UnsupportedRegion": "SCF is not available in this region. Choose another `region` in serverless.yml.",
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
"""The codes for a change of the function in progress: the call had no effect, and a retry can succeed."""

NOT_FOUND = {"ResourceNotFound.Function", "ResourceNotFound.FunctionName"}


class DeployError(Exception):
    """The deployment failed or is incomplete. The text states the reason and the remedy."""


class ApiError(DeployError):
    """The API rejected a call."""

    def __init__(self, action: str, code: str, message: str, request_id: str) -> None:
        self.action, self.code, self.message = action, code, message
        text = " ".join(message.split())
        super().__init__(f"{action}: {self._meaning()}\n  API error {code}: {text} (request {request_id})")

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
                f"The deployer's key lacks the permission {permission}{where}. "
                "Add it to the key's policy (docs/guides/deploy.md)."
            )
        return MEANINGS.get(closest, "SCF rejected the call. See the error below.")


class UnreachableError(DeployError):
    """The call received no usable reply, so that its result is unknown."""


def require_members(action: str, reply: Any, *names: str) -> Mapping[str, Any]:
    """Return the reply, or a part of it, with these members. Raises DeployError if one is missing."""
    if not isinstance(reply, Mapping) or any(reply.get(name) is None for name in names):
        raise DeployError(
            f"{action}: the response has no {', '.join(names)}. "
            "Run the command again. If the error persists, update signup-bridge."
        )
    return reply
