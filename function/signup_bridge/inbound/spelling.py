"""Normalize contacts and codes as people type them.

Keyboards and copied text add digits of other scripts, typographic spaces and dashes, and invisible characters. Source
of the categories: Unicode Standard Annex #44.
"""

from __future__ import annotations

import unicodedata

_VARIATION_SELECTORS = (*range(0x180B, 0x180E), 0x180F, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
_INVISIBLE: dict[int, str] = dict.fromkeys(_VARIATION_SELECTORS, "")
_DASHES = dict.fromkeys(map(ord, "\u2212\u30fc\uff70"), "-")
"""Minus sign and Japanese prolonged sound marks, which keyboards produce for a hyphen but which are not in Pd."""


class _Visible(dict[int, str]):
    """A table for `str.translate` that drops invisible characters: the category Cf and variation selectors."""

    def __missing__(self, codepoint: int) -> str:
        character = chr(codepoint)
        return "" if unicodedata.category(character) == "Cf" else character


class _Plain(_Visible):
    """A table that also replaces spaces, dashes, decimal digits and full-width forms with those of ASCII."""

    def __missing__(self, codepoint: int) -> str:
        character = super().__missing__(codepoint)
        if not character or character.isascii():
            return character
        if 0xFF01 <= codepoint <= 0xFF5E:  # the full-width forms of ASCII, in its order
            return chr(codepoint - 0xFF01 + ord("!"))
        digit = unicodedata.decimal(character, None)
        if digit is not None:
            return str(digit)
        return {"Zs": " ", "Pd": "-"}.get(unicodedata.category(character), character)


_VISIBLE = _Visible(_INVISIBLE)
_PLAIN = _Plain(_INVISIBLE | _DASHES)


def visible(text: str) -> str:
    """Return the text without invisible characters and surrounding white space."""
    return (text if text.isascii() else text.translate(_VISIBLE)).strip()


def phone(text: str) -> str:
    """Return a phone number with its digits, signs, spaces and dashes in ASCII."""
    return (text if text.isascii() else text.translate(_PLAIN)).strip()


def verify_code(text: str) -> str:
    """Return a verification code in ASCII, without spaces and dashes."""
    return phone(text).replace(" ", "").replace("-", "")


def folded_email(text: str) -> str:
    """Return the same string for all spellings of an email address: in lower case and Unicode normalization form C.

    The domain is in its ASCII form (UTS #46), if it has one.
    """
    folded = unicodedata.normalize("NFC", text.lower())
    local, _, domain = folded.rpartition("@")
    if domain.isascii() and "xn--" not in domain:
        return folded
    import idna  # noqa: PLC0415  its tables cost time at a cold start, and most domains do not need them

    try:
        ascii_domain = idna.encode(domain, uts46=True).decode()
    except UnicodeError:  # idna's errors are subclasses
        return folded
    return f"{local}@{ascii_domain.rstrip('.')}"  # the domain may end with a full stop of another script
