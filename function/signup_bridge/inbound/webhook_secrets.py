"""The parts of `WEBHOOK_SECRETS`: each is accepted as a secret, so a comment or a stray word must not be one."""

from __future__ import annotations

from collections.abc import Sequence

from signup_bridge.setting_parsers import quotes_hint, standard_webhooks_key

SHORTEST = 16
"""Bytes of a secret that cannot be guessed."""


def key(secret: str, auth: str) -> bytes:
    """Return the bytes that are signed or compared with. Raises ValueError, which does not repeat the secret."""
    return standard_webhooks_key(secret) if auth == "standard-webhooks" else secret.encode()


def problems(auth: str | None, secrets: Sequence[str]) -> list[str]:
    """Return what is wrong with each secret, named by its position. ``auth`` is None if that setting is faulty."""
    if auth in (None, "none"):
        return []
    found: list[str] = []
    for position, secret in enumerate(secrets, start=1):
        this = f"WEBHOOK_SECRETS: number {position}"
        if secret.startswith("#"):
            return [*found, f"{this} begins with #; comments are not supported, remove it and what follows"]
        try:
            length = len(key(secret, auth))
        except ValueError as error:
            found.append(f"{this} {error}{quotes_hint(secret, ' '.join(secrets))}")
            continue
        if length < SHORTEST and len(secrets) > 1:
            found.append(
                f"{this} is shorter than {SHORTEST} bytes; each part is accepted as a secret: "
                "remove it, or replace it with 24 random bytes"
            )
    return found
