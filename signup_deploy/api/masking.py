"""Taking secrets out of what the API says: in comes a text that may repeat them, out comes one that does not."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote

MASK = "…"
LONG_ENOUGH = 6
"""Characters from which on any variable's value is taken out; a secret is at any length."""

RECOGNISED = 8
"""Characters of a secret's beginning that are one, when what follows was cut short."""

_SECRET = ("_KEY", "_SECRETS", "_TOKEN")
_CUT = ("...", MASK)


def secrets_of(variables: Mapping[str, str]) -> tuple[str, ...]:
    """What must not be shown of a function's variables."""
    found = []
    for name, value in variables.items():
        words = [value, *value.split()]
        found += [one for one in words if name.endswith(_SECRET) or len(one) >= LONG_ENOUGH]
        if name.endswith("_SECRETS"):
            found += [word.rpartition("whsec_")[2] for word in words]
        found += _passwords(value)
    return tuple(filter(None, found))


def _passwords(value: str) -> list[str]:
    """A URL's password as it is written and decoded, also if it holds an unescaped ``@``, ``/`` or ``#``."""
    password = value.partition("://")[2].rpartition("@")[0].partition(":")[2]
    return [password, unquote(password)]


class Mask:
    """``secrets`` in whatever form: as they are, as JSON and Python write them, or cut short."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in _forms(secret)}
        # The longest first: one may be a part of another.
        self._forms = sorted(filter(None, forms), key=lambda form: (-len(form), form))

    def of(self, text: str) -> str:
        for form in self._forms:
            text = text.replace(form, MASK)
        for form in self._forms:
            text = _without_beginnings(text, form)
        return text


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(json.dumps(secret)[1:-1])[1:-1]  # JSON within JSON
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    yield ascii(secret)[1:-1]


def _without_beginnings(text: str, form: str) -> str:
    """The text without what begins as the form does and is cut short by dots."""
    start = 0
    while len(form) > RECOGNISED and (start := text.find(form[:RECOGNISED], start)) >= 0:
        end = start + RECOGNISED
        while end < len(text) and end - start < len(form) and text[end] == form[end - start]:
            end += 1
        # The secret's own dots may be the first of those that cut it short.
        if text.startswith(_CUT, end) or text[:end].endswith(_CUT):
            text = text[:start] + MASK + text[end:]
        start += 1
    return text
