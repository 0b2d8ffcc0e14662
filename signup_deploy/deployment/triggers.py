"""Plan the calls that create or update the triggers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from signup_deploy.api.errors import require_members
from signup_deploy.config.function_config import CkafkaTrigger, UrlTrigger


@dataclass(frozen=True)
class Plan:
    """The call for one trigger; ``action`` is None if the trigger needs no change."""

    type: str
    text: str
    action: Literal["CreateTrigger", "UpdateTrigger"] | None
    parameters: Mapping[str, Any]
    found: Mapping[str, Any] | None
    """The existing trigger."""


def parse_triggers(reply: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Parse the reply of ``ListTriggers``. Raises DeployError if a member is missing."""
    present = reply.get("Triggers") or []
    return [require_members("ListTriggers", one, "Type", "TriggerName") for one in present]


def describe(trigger: Mapping[str, Any]) -> str:
    """Return the description of a trigger for messages."""
    qualifier = trigger.get("Qualifier")
    suffix = f" of the qualifier {qualifier}" if qualifier != "$DEFAULT" else ""
    return f"{trigger['Type']} trigger {trigger['TriggerName']}{suffix}"


def plan(trigger: UrlTrigger | CkafkaTrigger, present: Iterable[Mapping[str, Any]]) -> Plan:
    """Return the plan for a trigger. ``present`` are the existing triggers, as `parse_triggers` returns them."""
    kind = "http" if isinstance(trigger, UrlTrigger) else "ckafka"
    described = _url(trigger) if isinstance(trigger, UrlTrigger) else _ckafka(trigger)
    what = "Function URL" if kind == "http" else f"ckafka trigger {trigger.name}"
    found = next((one for one in present if _is_the_same(trigger, kind, one)), None)
    parameters = {
        # Each qualifier has one URL, whose name may differ.
        "TriggerName": found["TriggerName"] if found else trigger.name,
        "Type": kind,
        "TriggerDesc": json.dumps(described),
        "Qualifier": trigger.qualifier,
        "Enable": "OPEN" if trigger.enabled else "CLOSE",
    }
    if found is None:
        return Plan(kind, f"creating the {what}", "CreateTrigger", parameters, None)
    same = _agrees(described, _description(found)) and bool(found.get("Enable")) == trigger.enabled
    return Plan(kind, f"updating the {what}", None if same else "UpdateTrigger", parameters, found)


def find_url(present: Iterable[Mapping[str, Any]]) -> str | None:
    """Return the public URL, else the URL in the cloud's network, else None."""
    for one in present:
        if one["Type"] == "http" and one.get("Qualifier") == "$DEFAULT":
            network = _description(one).get("NetConfig") or {}
            return network.get("ExtranetUrl") or network.get("IntranetUrl") or None
    return None


def _is_the_same(trigger: UrlTrigger | CkafkaTrigger, kind: str, found: Mapping[str, Any]) -> bool:
    named = kind == "http" or found["TriggerName"] == trigger.name
    return found["Type"] == kind and found.get("Qualifier") == trigger.qualifier and named


def _url(trigger: UrlTrigger) -> dict[str, Any]:
    network = {"EnableIntranet": trigger.intranet, "EnableExtranet": trigger.extranet}
    return {"AuthType": trigger.auth_type, "NetConfig": network}


def _ckafka(trigger: CkafkaTrigger) -> dict[str, Any]:
    """Return the description that the `scf` command sends."""
    return {
        "maxMsgNum": trigger.max_messages,
        "offset": trigger.offset,
        "retry": trigger.retry,
        "timeOut": trigger.timeout,
        "consumerGroupName": trigger.consumer_group,
        "InstanceId": trigger.instance_id,
        "Topic": trigger.topic,
    }


def _description(found: Mapping[str, Any]) -> dict[str, Any]:
    try:
        described = json.loads(found.get("TriggerDesc") or "{}")
    except ValueError:
        return {}
    return described if isinstance(described, dict) else {}


def _agrees(expected: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Return whether an existing trigger's description has the expected values. The service adds and omits some.

    The comparison ignores the parts of the name, a consumer group that the service chose, and the start offset, which
    has an effect only at creation.
    """
    for key, value in expected.items():
        if key in ("InstanceId", "Topic", "offset") or (key == "consumerGroupName" and not value):
            continue
        has = found.get(key)
        if isinstance(value, dict):
            if not isinstance(has, dict) or not _agrees(value, has):
                return False
        elif str(has) != str(value):  # the service returns some numbers as strings
            return False
    return True
