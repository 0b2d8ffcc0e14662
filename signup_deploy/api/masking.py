"""Remove secrets from messages of the API, which may repeat them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote

MASK = "…"
MIN_LENGTH = 6
"""Minimum length of a variable's value for masking it; secrets are masked at any length."""

MIN_PREFIX = 8
"""Minimum length of a truncated secret's prefix for masking it."""

_SECRET = ("_KEY", "_SECRETS", "_TOKEN")
_CUT = ("...", MASK)


def collect_secrets(variables: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of a function's variables that must not be printed."""
    found = []
    for name, value in variables.items():
        words = [value, *value.split()]
        found += [one for one in words if name.endswith(_SECRET) or len(one) >= MIN_LENGTH]
        if name.endswith("_SECRETS"):
            found += [word.rpartition("whsec_")[2] for word in words]
        found += _passwords(value)
    return tuple(filter(None, found))


def _passwords(value: str) -> list[str]:
    """Return a URL's password, as written and decoded, even if it has an unescaped ``@``, ``/`` or ``#``."""
    password = value.partition("://")[2].rpartition("@")[0].partition(":")[2]
    return [password, unquote(password)]


class Mask:
    """Mask ``secrets`` in plain, JSON and Python notation, and truncated."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in _forms(secret)}
        # The longest first, because one may be a part of another.
        self._forms = sorted(filter(None, forms), key=lambda form: (-len(form), form))

    def apply(self, text: str) -> str:
        """Return the text with all secrets masked."""
        for form in self._forms:
            text = text.replace(form, MASK)
        for form in self._forms:
            text = _mask_prefixes(text, form)
        return text


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(json.dumps(secret)[1:-1])[1:-1]  # JSON within JSON
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    yield ascii(secret)[1:-1]


def _mask_prefixes(text: str, form: str) -> str:
    """Mask prefixes of the form that end with dots."""
    start = 0
    while len(form) > MIN_PREFIX and (start := text.find(form[:MIN_PREFIX], start)) >= 0:
        end = start + MIN_PREFIX
        while end < len(text) and end - start < len(form) and text[end] == form[end - start]:
            end += 1
        # The secret's own dots may precede the ellipsis.
        if text.startswith(_CUT, end) or text[:end].endswith(_CUT):
            text = text[:start] + MASK + text[end:]
        start += 1
    return text
