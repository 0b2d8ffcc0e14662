"""The triggers: in comes the one that is wanted and those that are there, out comes the call that is needed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from signup_deploy.api.errors import members_of
from signup_deploy.config.function_config import CkafkaTrigger, UrlTrigger


@dataclass(frozen=True)
class Plan:
    """What to call for one trigger; ``action`` is None when it is as it should be."""

    type: str
    text: str
    action: Literal["CreateTrigger", "UpdateTrigger"] | None
    parameters: Mapping[str, Any]
    found: Mapping[str, Any] | None
    """The one that is there."""


def listed(reply: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What ``ListTriggers`` tells. Raises DeployError when what must be in it is not."""
    present = reply.get("Triggers") or []
    return [members_of("ListTriggers", one, "Type", "TriggerName") for one in present]


def named(trigger: Mapping[str, Any]) -> str:
    """A trigger in words."""
    qualifier = trigger.get("Qualifier")
    suffix = f" of the qualifier {qualifier}" if qualifier != "$DEFAULT" else ""
    return f"{trigger['Type']} trigger {trigger['TriggerName']}{suffix}"


def plan(wanted: UrlTrigger | CkafkaTrigger, present: Iterable[Mapping[str, Any]]) -> Plan:
    """What to do so that the wanted trigger is there. ``present`` is what ``ListTriggers`` tells."""
    kind = "http" if isinstance(wanted, UrlTrigger) else "ckafka"
    described = _url(wanted) if isinstance(wanted, UrlTrigger) else _ckafka(wanted)
    what = "Function URL" if kind == "http" else f"ckafka trigger {wanted.name}"
    found = next((one for one in present if _is_the_same(wanted, kind, one)), None)
    parameters = {
        # A URL is one for each qualifier, whatever it is called.
        "TriggerName": found["TriggerName"] if found else wanted.name,
        "Type": kind,
        "TriggerDesc": json.dumps(described),
        "Qualifier": wanted.qualifier,
        "Enable": "OPEN" if wanted.enabled else "CLOSE",
    }
    if found is None:
        return Plan(kind, f"creating the {what}", "CreateTrigger", parameters, None)
    same = _agrees(described, _description(found)) and bool(found.get("Enable")) == wanted.enabled
    return Plan(kind, f"updating the {what}", None if same else "UpdateTrigger", parameters, found)


def url_of(present: Iterable[Mapping[str, Any]]) -> str | None:
    """The public URL, or the one within the cloud's network; None while there is none."""
    for one in present:
        if one["Type"] == "http" and one.get("Qualifier") == "$DEFAULT":
            network = _description(one).get("NetConfig") or {}
            return network.get("ExtranetUrl") or network.get("IntranetUrl") or None
    return None


def _is_the_same(wanted: UrlTrigger | CkafkaTrigger, kind: str, found: Mapping[str, Any]) -> bool:
    named = kind == "http" or found["TriggerName"] == wanted.name
    return found["Type"] == kind and found.get("Qualifier") == wanted.qualifier and named


def _url(wanted: UrlTrigger) -> dict[str, Any]:
    network = {"EnableIntranet": wanted.intranet, "EnableExtranet": wanted.extranet}
    return {"AuthType": wanted.auth_type, "NetConfig": network}


def _ckafka(wanted: CkafkaTrigger) -> dict[str, Any]:
    """In the form that the `scf` command's engine sends."""
    return {
        "maxMsgNum": wanted.max_messages,
        "offset": wanted.offset,
        "retry": wanted.retry,
        "timeOut": wanted.timeout,
        "consumerGroupName": wanted.consumer_group,
        "InstanceId": wanted.instance_id,
        "Topic": wanted.topic,
    }


def _description(found: Mapping[str, Any]) -> dict[str, Any]:
    try:
        described = json.loads(found.get("TriggerDesc") or "{}")
    except ValueError:
        return {}
    return described if isinstance(described, dict) else {}


def _agrees(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> bool:
    """Whether what the service tells of a trigger is what is wanted; it adds more, and leaves some out.

    Not compared: the name's parts, which the name itself carries; a group that the service names; where a consumer
    began, which matters only then.
    """
    for key, value in wanted.items():
        if key in ("InstanceId", "Topic", "offset") or (key == "consumerGroupName" and not value):
            continue
        has = found.get(key)
        if isinstance(value, dict):
            if not isinstance(has, dict) or not _agrees(value, has):
                return False
        elif str(has) != str(value):  # numbers come as texts, too
            return False
    return True
