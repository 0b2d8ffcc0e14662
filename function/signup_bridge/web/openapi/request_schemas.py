"""The requests in the OpenAPI description: the headers that identify a delivery, and the bodies.

They require nothing that the bridge does not require: a client that validates must not hold back a valid request.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from signup_bridge.core.contact import ContactType
from signup_bridge.inbound import body, cloudevents, json_pointer
from signup_bridge.inbound.idempotency_key import KeyPolicy
from signup_bridge.inbound.json_pointer import Pointer
from signup_bridge.inbound.payload_mapping import PayloadMapping
from signup_bridge.web.profiles import Profile

Schema = dict[str, Any]

_LONGEST_LIST = 32
"""The schema of a longer list does not describe its entries."""

_TRACE = "The trace in the format of W3C Trace Context. The bridge logs it and sends it to the API."
_SOURCE = "The source of a CloudEvents event, within which its id is unique."
_CODE = {"type": "string", "minLength": 4, "description": "4 to 10 digits or letters.", "examples": ["123456"]}
_CONTACTS: dict[ContactType, tuple[str, str]] = {
    ContactType.PHONE: ("18766554433", "A phone number of 5 to 20 digits, which may have a + and separators."),
    ContactType.EMAIL: ("jo@example.com", "An email address."),
}
"""An example of each type, and its description. There is no pattern: people type many spellings."""
_MAPPED = "The sender's own body. PAYLOAD_PRESET or PAYLOAD_* say where its members are."


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
        described = "The delivery's id: 1 to 256 ASCII characters, as a string of RFC 8941 or without its quotes."
        headers["Idempotency-Key"] = described
    if _uses_event_headers(features):
        headers["ce-id"] = "The id of a CloudEvents event in binary mode: the body is the event's data."
        headers["ce-source"] = _SOURCE
    return _parameters(headers | {"traceparent": _TRACE})


def lookup_headers(features: Features) -> list[Schema]:
    """Return the parameters of the look-up of a delivery, besides its id and signature."""
    return _parameters({"ce-source": _SOURCE} if _uses_event_headers(features) else {})


def content(features: Features, name: str) -> Schema:
    """Return a body's schemas by media type; ``name`` is the one given to `components`."""
    own, event = _reference(name), _reference(f"{name}Event")
    as_json = {"anyOf": [event, own]} if features.mapping and features.mapping.event else own
    return {"application/json": {"schema": as_json}, cloudevents.STRUCTURED: {"schema": event}}


def components(features: Features, name: str, *, code: bool) -> dict[str, Schema]:
    """Return the schemas of a body, with a ``code`` or without one, and of the event that brings it, by their names."""
    mapping, attributes = features.mapping, _attributes(features)
    if mapping is None:
        event = {"type": "object", "properties": {**attributes, "data": _reference(name)}, "required": ["data"]}
        return {**_body_variants(name, members=3 if code else 2), f"{name}Event": event}
    found: dict[str, Schema] = {name: {}, f"{name}Event": {}}
    data = mapping.for_data() if mapping.event else mapping
    described = _MAPPED if code else f"{_MAPPED} There must be no verification code."
    found[name] = {"description": described, "anyOf": _mapped(data, {}, name, found, code=code)}
    events = _mapped(mapping, attributes, f"{name}Event", found, code=code)
    found[f"{name}Event"] = {"description": f"A CloudEvents event. {described}", "anyOf": events}
    return found


def _uses_event_headers(features: Features) -> bool:
    """Return whether the headers of an event in binary mode have an effect."""
    return features.keys.accepts_unsigned_ids or bool(features.mapping and features.mapping.event)


def _attributes(features: Features) -> dict[str, Schema]:
    if not features.keys.accepts_unsigned_ids:
        return {}
    described = "names the delivery. Both are needed, unless an Idempotency-Key names it."
    return {
        "id": {"type": "string", "description": f"With `source`, it {described}", "examples": ["evt_1"]},
        "source": {"type": "string", "description": f"With `id`, it {described}", "examples": ["/signups"]},
    }


def _parameters(headers: Mapping[str, str]) -> list[Schema]:
    return [
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}, "description": description}
        for name, description in headers.items()
    ]


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _body_variants(name: str, members: int) -> dict[str, Schema]:
    """Return the bodies with the first members, in the bridge's names and in the API's, for phone and email."""
    spellings = (("", body.BRIDGE_NAMES, body.API_NAMES), ("InApiNames", body.API_NAMES, body.BRIDGE_NAMES))
    bodies = {
        f"{contact_type.label.capitalize()}{name}{suffix}": _body_variant(contact_type, names, others, members)
        for suffix, names, others in spellings
        for contact_type in ContactType
    }
    return {name: {"oneOf": [_reference(one) for one in bodies]}, **bodies}


def _body_variant(contact_type: ContactType, names: body.MemberNames, others: body.MemberNames, members: int) -> Schema:
    schemas = (_type(contact_type), _contact(contact_type), _CODE)
    return {
        "type": "object",
        "properties": dict(zip(names[:members], schemas, strict=False)),
        "required": list(names[:members]),
        "propertyNames": {"not": {"enum": [*others, *names[members:]]}},
    }


def _type(*types: ContactType) -> Schema:
    """Return the schema of a contact's type: names or the API's numbers. Each enum has one JSON type."""
    words, numbers = [one.label for one in types], [one.value for one in types]
    spellings = [{"type": "string", "enum": words}, {"type": "integer", "enum": numbers}]
    return {"anyOf": spellings, "examples": [types[0].label]}


def _contact(*types: ContactType) -> Schema:
    examples, described = zip(*map(_CONTACTS.__getitem__, types), strict=True)
    return {"type": "string", "minLength": 5, "description": " ".join(described), "examples": list(examples)}


def _mapped(
    mapping: PayloadMapping, attributes: dict[str, Schema], name: str, found: dict[str, Schema], *, code: bool
) -> list[Schema]:
    """Return the schemas of a mapped body, one for each place of its contact. Add to ``found`` what they refer to.

    Each object has a component of its own: generators name nested ones, and not all keep these names apart.
    """
    places: dict[Pointer, Schema] = {mapping.code: _CODE} if code else {}
    if isinstance(mapping.type, tuple):
        places[mapping.type] = _type(*ContactType)
    types = [ContactType[mapping.type.upper()]] if isinstance(mapping.type, str) else ContactType

    def schema_of(values: Mapping[Pointer, Schema], path: str, more: Mapping[str, Schema]) -> Schema:
        if () in values:
            return values[()]
        below: dict[str, dict[Pointer, Schema]] = {}
        for (token, *rest), schema in values.items():
            below.setdefault(token, {})[tuple(rest)] = schema
        members = {token: schema_of(inside, path + _word(token), {}) for token, inside in below.items()}
        as_object = {"type": "object", "properties": {**more, **members}, "required": list(members)}
        reference = _put(as_object, path, found)
        return {"anyOf": [_list(members), reference]} if all(map(json_pointer.is_index, members)) else reference

    return [
        schema_of({**places, contact: _contact(*types)}, f"{name}By{_word((name, *contact)[-1])}", attributes)
        for contact in mapping.contact
    ]


def _list(members: Mapping[str, Schema]) -> Schema:
    """Return the schema of a list with these members, whose names are their indexes."""
    length = 1 + max(map(int, members))
    described: Schema = {"type": "array", "minItems": length, "items": {}}
    if length <= _LONGEST_LIST:
        described["prefixItems"] = [members.get(str(index), {}) for index in range(length)]
    return described


def _put(schema: Schema, name: str, found: dict[str, Schema]) -> Schema:
    """Add the schema to ``found`` under the first free name, and return the reference to it."""
    names = (f"{name}{number}" for number in itertools.chain([""], itertools.count(2)))
    free = next(one for one in names if found.get(one, schema) == schema)
    found[free] = schema
    return _reference(free)


def _word(token: str) -> str:
    """Return a pointer's token as a part of a component's name."""
    return "".join(word.capitalize() for word in re.findall("[0-9A-Za-z]+", token))
