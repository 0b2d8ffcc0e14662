"""The requests in the OpenAPI description: the headers that identify a delivery, and the bodies.

The schemas must not be stricter than the bridge, because a validating client must not reject a valid request.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import NamedTuple

from signup_bridge.core.contact import ContactType
from signup_bridge.inbound import body, cloudevents, json_pointer
from signup_bridge.inbound.idempotency_key import KeyPolicy
from signup_bridge.inbound.json_pointer import Pointer
from signup_bridge.inbound.payload_mapping import PayloadMapping
from signup_bridge.web.profiles import Profile

from .schema import TEXT, Schema, reference

_MAX_DESCRIBED_ENTRIES = 32
"""Maximum number of entries of a list that a schema describes separately."""

_TRACE = "The trace in the format of W3C Trace Context. The bridge logs it and sends it to the API."
_SOURCE = "The source of a CloudEvents event, within which its id is unique."
_CODE = {"type": "string", "minLength": 4, "description": "4 to 10 digits or letters.", "examples": ["123456"]}
_CONTACTS: dict[ContactType, tuple[str, str]] = {
    ContactType.PHONE: ("18766554433", "A phone number of 5 to 20 digits, which may have a + and separators."),
    ContactType.EMAIL: ("jo@example.com", "An email address."),
}
"""An example of each type, and its description. There is no pattern, because people type many spellings."""
_MAPPED = "The sender's own format. PAYLOAD_PRESET or PAYLOAD_* specify the positions of its members."


class Features(NamedTuple):
    """The settings that the description depends on."""

    keys: KeyPolicy
    profile: Profile
    mapping: PayloadMapping | None
    send_codes: bool
    metrics: bool
    reveal: bool


def webhook_headers(features: Features) -> list[Schema]:
    """Return the parameters of a webhook: the headers besides its signature."""
    headers = {}
    if features.keys.accepts_unsigned_ids:
        description = "The delivery's id: 1 to 256 ASCII characters, as an RFC 8941 string or without quotes."
        headers["Idempotency-Key"] = description
    if _uses_event_headers(features):
        headers["ce-id"] = "The id of a CloudEvents event in binary mode, whose data is the body."
        headers["ce-source"] = _SOURCE
    return _parameters(headers | {"traceparent": _TRACE})


def lookup_headers(features: Features) -> list[Schema]:
    """Return the parameters of a delivery's lookup, besides its id and signature."""
    return _parameters({"ce-source": _SOURCE} if _uses_event_headers(features) else {})


def request_body(features: Features, name: str, schemas: Schema, *, has_code: bool) -> Schema:
    """Return a webhook's body. Add its schema to ``schemas`` as ``name``, and the schema of an event with this body."""
    body_ref, event_ref = reference(name), reference(f"{name}Event")
    mapping, attributes = features.mapping, _attributes(features)
    if mapping is None:
        schemas |= _body_variants(name, members=3 if has_code else 2)
        event: Schema = {"type": "object", "properties": {**attributes, "data": body_ref}, "required": ["data"]}
    else:
        description = _MAPPED if has_code else f"{_MAPPED} It must not contain a verification code."
        data = mapping.for_data() if mapping.event else mapping
        schemas[name] = {"description": description, "anyOf": _mapped(data, {}, name, schemas, has_code=has_code)}
        events = _mapped(mapping, attributes, f"{name}Event", schemas, has_code=has_code)
        event = {"description": f"A CloudEvents event. {description}", "anyOf": events}
    schemas[f"{name}Event"] = event
    as_json = {"anyOf": [event_ref, body_ref]} if features.keys.maps_events else body_ref
    content = {"application/json": {"schema": as_json}, cloudevents.STRUCTURED: {"schema": event_ref}}
    return {"required": True, "content": content}


def _uses_event_headers(features: Features) -> bool:
    """Return whether the headers of an event in binary mode have an effect."""
    return features.keys.accepts_unsigned_ids or features.keys.maps_events


def _attributes(features: Features) -> dict[str, Schema]:
    if not features.keys.accepts_unsigned_ids:
        return {}
    description = "identifies the delivery. Both are required unless the header Idempotency-Key identifies it."
    return {
        "id": {"type": "string", "description": f"Together with `source`, {description}", "examples": ["evt_1"]},
        "source": {"type": "string", "description": f"Together with `id`, {description}", "examples": ["/signups"]},
    }


def _parameters(headers: Mapping[str, str]) -> list[Schema]:
    return [
        {"name": name, "in": "header", "required": False, "schema": TEXT, "description": description}
        for name, description in headers.items()
    ]


def _body_variants(name: str, members: int) -> dict[str, Schema]:
    """Return the bodies with the first ``members``, with the bridge's names and the API's, for phone and email."""
    bodies: dict[str, Schema] = {}
    spellings = (("", body.BRIDGE_NAMES, body.API_NAMES), ("InApiNames", body.API_NAMES, body.BRIDGE_NAMES))
    for suffix, names, others in spellings:
        for contact_type in ContactType:
            schemas = (_type(contact_type), _contact(contact_type), _CODE)
            bodies[f"{contact_type.label.capitalize()}{name}{suffix}"] = {
                "type": "object",
                "properties": dict(zip(names[:members], schemas, strict=False)),
                "required": list(names[:members]),
                "propertyNames": {"not": {"enum": [*others, *names[members:]]}},
            }
    return {name: {"oneOf": [reference(one) for one in bodies]}, **bodies}


def _type(*types: ContactType) -> Schema:
    """Return the schema of a contact's type: its name or the API's number. Each enum has one JSON type."""
    words, numbers = [one.label for one in types], [one.value for one in types]
    spellings = [{"type": "string", "enum": words}, {"type": "integer", "enum": numbers}]
    return {"anyOf": spellings, "examples": [types[0].label]}


def _contact(*types: ContactType) -> Schema:
    examples, descriptions = zip(*map(_CONTACTS.__getitem__, types), strict=True)
    return {"type": "string", "minLength": 5, "description": " ".join(descriptions), "examples": list(examples)}


def _mapped(
    mapping: PayloadMapping, attributes: dict[str, Schema], name: str, schemas: Schema, *, has_code: bool
) -> list[Schema]:
    """Return the schemas of a mapped body, one for each position of its contact. Add their components to ``schemas``.

    Each object has its own component, because some client generators use the same name for different nested objects.
    """
    places: dict[Pointer, Schema] = {mapping.code: _CODE} if has_code else {}
    if isinstance(mapping.type, tuple):
        places[mapping.type] = _type(*ContactType)
    types = [ContactType[mapping.type.upper()]] if isinstance(mapping.type, str) else ContactType

    def schema_at(values: Mapping[Pointer, Schema], path: str, optional: Mapping[str, Schema]) -> Schema:
        if () in values:
            return values[()]
        by_token: dict[str, dict[Pointer, Schema]] = {}
        for (token, *rest), schema in values.items():
            by_token.setdefault(token, {})[tuple(rest)] = schema
        members = {token: schema_at(inner, path + _component_name(token), {}) for token, inner in by_token.items()}
        as_object = {"type": "object", "properties": {**optional, **members}, "required": list(members)}
        object_ref = _put(as_object, path, schemas)
        return {"anyOf": [_list(members), object_ref]} if all(map(json_pointer.is_index, members)) else object_ref

    return [
        schema_at({**places, contact: _contact(*types)}, f"{name}By{_component_name((name, *contact)[-1])}", attributes)
        for contact in mapping.contact
    ]


def _list(members: Mapping[str, Schema]) -> Schema:
    """Return the schema of a list with these members, which are keyed by their indexes."""
    length = 1 + max(map(int, members))
    schema: Schema = {"type": "array", "minItems": length, "items": {}}
    if length <= _MAX_DESCRIBED_ENTRIES:
        schema["prefixItems"] = [members.get(str(index), {}) for index in range(length)]
    return schema


def _put(schema: Schema, name: str, schemas: Schema) -> Schema:
    """Add the schema to ``schemas`` under the first free name, and return the reference to it."""
    names = (f"{name}{number}" for number in itertools.chain([""], itertools.count(2)))
    free = next(one for one in names if schemas.get(one, schema) == schema)
    schemas[free] = schema
    return reference(free)


def _component_name(token: str) -> str:
    """Return a pointer's token as a part of a component's name."""
    return "".join(word.capitalize() for word in re.findall("[0-9A-Za-z]+", token))
