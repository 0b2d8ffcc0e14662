"""Contacts and codes as people type them: one spelling for what looks the same.

Phones, keyboards and copied text bring digits of other scripts, typographic spaces and dashes, and characters that
nobody sees. Source of the categories: Unicode Standard Annex #44.
"""

from __future__ import annotations

import unicodedata

_VARIATION_SELECTORS = (*range(0x180B, 0x180E), 0x180F, *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
_INVISIBLE: dict[int, str] = dict.fromkeys(_VARIATION_SELECTORS, "")
_DASHES = dict.fromkeys(map(ord, "\u2212\u30fc\uff70"), "-")
"""Minus sign and Japanese prolonged sound marks, which keyboards give for a hyphen and which are not in category Pd."""


class _Visible(dict[int, str]):
    """A table for `str.translate` that drops invisible characters: the category Cf and variation selectors."""

    def __missing__(self, codepoint: int) -> str:
        character = chr(codepoint)
        return "" if unicodedata.category(character) == "Cf" else character


class _Plain(_Visible):
    """The same; spaces, dashes, decimal digits and full-width forms become those of ASCII, too."""

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
    """Return the text without invisible characters and without white space around it."""
    return (text if text.isascii() else text.translate(_VISIBLE)).strip()


def phone(text: str) -> str:
    """Return a phone number in ASCII as far as its digits, signs, spaces and dashes go."""
    return (text if text.isascii() else text.translate(_PLAIN)).strip()


def verify_code(text: str) -> str:
    """Return a verification code in ASCII, without spaces and dashes."""
    return phone(text).replace(" ", "").replace("-", "")


def folded_email(text: str) -> str:
    """Return what all spellings of an email address have in common: case, normal form, and the domain's encoding.

    The domain becomes the ASCII form of UTS #46; where that refuses it, its Unicode normal form C in lower case.
    """
    local, _, domain = text.rpartition("@")
    return f"{_composed(local)}@{_domain(domain)}"


def _domain(domain: str) -> str:
    folded = _composed(domain)
    if folded.isascii() and "xn--" not in folded:
        return folded
    import idna  # noqa: PLC0415  most domains do without its tables, which cost time at a cold start

    try:
        return idna.encode(folded, uts46=True).decode().rstrip(".")  # a full stop of another script may end it
    except UnicodeError:  # idna's own errors are, too
        return folded


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text.lower())
