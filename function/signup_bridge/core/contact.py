"""A contact: its type, its value and its masked form."""

from __future__ import annotations

from enum import Enum
from typing import Final

from . import Value


class ContactType(Enum):
    """The API's ``Type``."""

    PHONE = 1
    EMAIL = 2

    @property
    def label(self) -> str:
        return self.name.lower()


class Contact(Value):
    """A phone number or an email address, as the bridge sends it to the API."""

    hidden = ("value",)

    def __init__(self, type: ContactType, value: str) -> None:  # noqa: A002  the API's name
        self.type: Final = type
        self.value: Final = value

    @property
    def masked(self) -> str:
        """The form that logs and responses show: ``187****4433``, ``j***@example.com``."""
        if self.type is ContactType.EMAIL:
            local, _, domain = self.value.rpartition("@")
            return f"{local[:1]}***@{domain}"
        hidden = len(self.value) - 7
        if hidden >= 4:
            return self.value[:3] + "*" * hidden + self.value[-4:]
        return "*" * (len(self.value) - 2) + self.value[-2:]
