"""A contact as a list may show it."""

from __future__ import annotations


def masked(contact: str) -> str:
    """A phone's first 3 and last 4 characters when at least 4 stay hidden, else its last 2; an email's first and its
    domain, as the bridge masks them.
    """
    name, at, domain = contact.rpartition("@")
    if at:
        return f"{name[:1]}***@{domain}"
    if len(contact) >= 11:
        return f"{contact[:3]}{'*' * (len(contact) - 7)}{contact[-4:]}"
    return "*" * (len(contact) - 2) + contact[-2:]
