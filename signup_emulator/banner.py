"""The text that `run` prints when the bridge is ready: addresses, the secret, and a command to try it."""

from __future__ import annotations

import shlex

from signup_bridge.cli.installation import command_words

from .api.server import DEMO_SECRET_ID, DEMO_SECRET_KEY
from .console.console import CODE_PATH, SIGNUP_PATH
from .console.origin_check import is_loopback
from .console.proxy import BridgeTarget

DEFAULT_URL = "http://127.0.0.1:9010"
"""The URL of the emulator that commands call if none is set."""

_WARNING = "WARNING: listening on {host}: anyone who can reach this machine can use the emulator and read its codes"
_HIDDEN = "generated, and shown on loopback addresses only; to share a secret, set WEBHOOK_SECRETS"
_UNSIGNED = "none: WEBHOOK_AUTH=none accepts unsigned requests"


def render(emulator_url: str, bridge: BridgeTarget, host: str, note: str) -> str:
    """Return the text. ``host`` is the address that both listen on; ``note`` follows the bridge's routes."""
    code = f"POST {CODE_PATH}, " if bridge.sends else ""
    return f"""
console   {emulator_url}   open it in a browser to send codes and verify them
bridge    {bridge.url}   POST {SIGNUP_PATH}, {code}GET /deliveries/<id>, /ready, /health, /openapi.json{note}
API       {emulator_url}   for any SDK, with the demo credentials {DEMO_SECRET_ID} / {DEMO_SECRET_KEY}

To connect your own system:

  URL     {bridge.url}{SIGNUP_PATH}
  auth    {bridge.auth}
  secret  {_secret(bridge, host)}

To send a code and verify it, run this from another terminal in this folder:

  {_command(emulator_url)}

Ctrl-C stops both.
"""


def warning(host: str) -> str | None:
    """Return a warning if other machines can reach a server on this address."""
    return None if is_loopback(host) else _WARNING.format(host=host)


def _secret(bridge: BridgeTarget, host: str) -> str:
    if bridge.auth == "none":
        return _UNSIGNED
    if not bridge.generated:
        return "$WEBHOOK_SECRETS"
    return bridge.secret if is_loopback(host) else _HIDDEN


def _command(emulator_url: str) -> str:
    command = [*command_words(), "send", "--signup"]
    return shlex.join(command if emulator_url == DEFAULT_URL else [*command, "--emulator", emulator_url])
