"""Mask contacts for display."""

from __future__ import annotations


def masked(contact: str) -> str:
    """Return the contact masked as the bridge masks it.

    A phone number keeps its first 3 and last 4 characters if that hides at least 4, otherwise its last 2. An email
    address keeps its first character and its domain.
    """
    name, at, domain = contact.rpartition("@")
    if at:
        return f"{name[:1]}***@{domain}"
    if len(contact) >= 11:
        return f"{contact[:3]}{'*' * (len(contact) - 7)}{contact[-4:]}"
    return "*" * (len(contact) - 2) + contact[-2:]
