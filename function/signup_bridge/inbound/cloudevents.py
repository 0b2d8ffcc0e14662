"""CloudEvents 1.0 over HTTP, and the format of a request body.

In structured mode the body is the event and its member ``data`` the payload; in binary mode the body is the payload,
and the event's attributes are headers (``ce-id``). Source: HTTP protocol binding, sections 3.1 and 3.2.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple
from urllib.parse import unquote_to_bytes

from .payload_mapping import PayloadMapping

STRUCTURED = "application/cloudevents+json"
ATTRIBUTE = r"[^\x00-\x1f\x7f-\x9f]{1,1024}"
"""The format of an event's id and source, as a regular expression. The maximum length is the bridge's own."""

Source = Literal["request", "invocation", "message", "bus"]
"""The source of a body: an HTTP request, a direct invocation, a CKafka message, or an event of the cloud's bus."""


class BodyFormat(NamedTuple):
    """How to read a body.

    ``mapping`` is None for the bridge's own member names. ``event``: the body is an event. ``id_source``: the
    delivery's id is the optional ``member`` named ``id`` or the ``event``'s id; None if ids in the body are ignored.
    ``action``: the optional member ``action`` may request a code.
    """

    mapping: PayloadMapping | None = None
    event: bool = False
    id_source: Literal["member", "event"] | None = None
    action: bool = False


NATIVE = BodyFormat()


def is_structured(content_type: str | None) -> bool:
    return (content_type or "").partition(";")[0].strip().lower() == STRUCTURED


def body_format(
    source: Source, mapping: PayloadMapping | None, *, content_type: str | None, binary: bool, trusted: bool
) -> BodyFormat:
    """Return how to read a body. ``binary``: a header has an event's id. ``trusted``: use the id in the event.

    The body of a direct invocation is never mapped, and its member ``id`` is the delivery's id.
    """
    if source == "invocation" or (source == "message" and mapping is None):
        return BodyFormat(id_source="member", action=True)
    if source == "bus":  # its body is the event's data
        return BodyFormat(mapping and mapping.for_data(), action=mapping is None)
    event = is_structured(content_type) or (mapping is not None and mapping.event and not binary)
    if mapping and not event:
        mapping = mapping.for_data()
    return BodyFormat(mapping, event, "event" if event and trusted else None)


def check_attribute(value: object) -> str:
    """Return the id or the source of an event. Raises ValueError if it is invalid."""
    if not isinstance(value, str) or not re.fullmatch(ATTRIBUTE, value):
        raise ValueError("must be a string of 1 to 1024 characters without control characters")
    return value


def from_header(value: str) -> str:
    """Return the attribute in a header of binary mode, which WSGI has decoded. Raises ValueError if it is invalid.

    Section 3.1.3.2: a quoted string is unescaped, then percent-encoded UTF-8 is decoded, once. A percent sign without
    two hexadecimal digits is kept.
    """
    value = value.strip(" \t")
    if quoted := re.fullmatch(r'"((?:[^"\\]|\\.)*)"', value):
        value = re.sub(r"\\(.)", r"\1", quoted[1])
    try:
        attribute = unquote_to_bytes(value.encode("latin-1")).decode()
    except UnicodeError:
        attribute = ""
    return check_attribute(attribute)
