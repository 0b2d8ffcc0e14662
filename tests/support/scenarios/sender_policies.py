"""Define how each sender signs, retries and interprets a response, as in the table of docs/guides/senders.md.

If a sender has a library, it signs. The waits are the sender's own, in seconds of a clock that the test controls.
"""

from __future__ import annotations

import hmac
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

import standardwebhooks

from tests.support import ROOT
from tests.support.bridge.responses import HttpResponse
from tests.support.bridge.signed_requests import CODE, SECRET, body
from tests.support.tools import node_packages

MINUTE, HOUR = 60, 3600
TOKEN = "a-token-that-nobody-guesses-000000"
OLD_SECRET = "whsec_" + "b2xkIHNlY3JldCwgbm8gbG9uZ2VyIHVzZWQ="
"""The previous secret of a rotation. Supabase signs with all of its secrets."""

Judgement = Literal["done", "stop", "again"]
"""How a sender interprets a response: delivered; permanently rejected; to be retried if it has an attempt left."""

Sign = Callable[[str, datetime, str], str]
"""A function of a delivery's id, the time of an attempt and a body, which returns the signature."""


@dataclass(frozen=True)
class Policy:
    """A sender. ``waits`` has the seconds before each attempt after the first. ``new_id``: each attempt has a new id.

    ``expires_before_retry``: the sender sends no delivery id, and the body hash expires before the second attempt.
    """

    name: str
    sign: str
    judge: Callable[[HttpResponse | None], Judgement]
    waits: tuple[float, ...] = ()
    preset: str | None = None
    new_id: bool = False
    auth: str = "standard-webhooks"
    expires_before_retry: bool = False

    @property
    def environ(self) -> dict[str, str]:
        """Return the settings of a bridge that accepts this sender."""
        secrets = SECRET if self.auth == "standard-webhooks" else TOKEN
        named = {"WEBHOOK_AUTH": self.auth, "WEBHOOK_SECRETS": secrets, "PAYLOAD_PRESET": self.preset}
        return {name: value for name, value in named.items() if value}

    def body_of(self, contact: str, code: str, number: int) -> bytes:
        """Return a delivery's body in the form that the sender documents."""
        if self.preset is None:
            return body(type="email" if "@" in contact else "phone", contact=contact, verify_code=code)
        text = (ROOT / "tests" / "samples" / f"{self.preset}.json").read_text()
        text = text.replace("0000000001", f"{number:010}")  # the id of an event or of a user
        return text.replace("jo@example.com", contact).replace(CODE, code).encode()


def judge_any_2xx(response: HttpResponse | None) -> Judgement:
    """Interpret a response as Standard Webhooks (section "Delivery") and Auth0 ("Events Best Practices") do."""
    return "done" if response and 200 <= response.status < 300 else "again"


def judge_svix(response: HttpResponse | None) -> Judgement:
    """Interpret a response as Svix does.

    Sources: https://docs.svix.com/retries and https://docs.svix.com/receiving/delivery-control.
    """
    if response and response.headers.get("webhook-delivery") == "abort-message":
        return "stop"
    return judge_any_2xx(response)


def judge_one_try(response: HttpResponse | None) -> Judgement:
    """Interpret a response as GitHub does: it does not retry, but a person can redeliver."""
    return "done" if judge_any_2xx(response) == "done" else "stop"


def judge_4xx_final(response: HttpResponse | None) -> Judgement:
    """Interpret a response as Zapier and Brevo do: they retry 429, 5xx and no response, but no other 4xx."""
    return (
        "stop" if response and response.status < 500 and response.status not in (200, 429) else judge_any_2xx(response)
    )


def judge_supabase(response: HttpResponse | None) -> Judgement:
    """Interpret a response as Supabase does. ``done`` lets the user be created.

    Source: github.com/supabase/auth, internal/hooks/hookshttp and hookserrors.
    """
    if response is None or (response.status in (429, 503) and response.headers.get("retry-after")):
        return "again"
    if response.status == 204:
        return "done"
    if (
        response.status not in (200, 202)
        or response.headers.get("content-type", "").split(";")[0] != "application/json"
    ):
        return "stop"
    error = json.loads(response.body).get("error")
    return "stop" if error and error.get("message") else "done"


STANDARD_WAITS = (5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR)
SVIX_WAITS = (5, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 10 * HOUR)
POLICIES = (
    Policy("Standard Webhooks, PyPI", "standardwebhooks", judge_any_2xx, STANDARD_WAITS),
    Policy("Standard Webhooks, npm", "standardwebhooks of npm", judge_any_2xx, STANDARD_WAITS),
    Policy("Svix, PyPI", "svix", judge_svix, SVIX_WAITS),
    Policy("Svix, npm", "svix of npm", judge_svix, SVIX_WAITS),
    Policy("Clerk", "svix", judge_svix, SVIX_WAITS, preset="clerk"),
    Policy("Supabase", "supabase", judge_supabase, (0, 0), preset="supabase", new_id=True),
    # Number and times of the retries are not documented.
    Policy("Auth0", "bearer", judge_any_2xx, (MINUTE, 10 * MINUTE, HOUR), preset="auth0", auth="bearer"),
    Policy("GitHub", "github", judge_one_try, auth="github"),
    Policy("Zapier", "idempotency-key", judge_4xx_final, (10 * MINUTE, 15 * MINUTE), auth="bearer"),
    Policy(
        "Brevo",
        "bearer",
        judge_4xx_final,
        (10 * MINUTE, HOUR, 2 * HOUR, 8 * HOUR),
        auth="bearer",
        expires_before_retry=True,
    ),
)


class Signers:
    """The signers: libraries from PyPI in this process, those from npm in a separate one, and code of this module."""

    def __init__(self, npm: subprocess.Popen[str] | None = None) -> None:
        import svix.webhooks  # noqa: PLC0415  the import takes a second, and few tests sign

        self._npm = npm
        self._lock = threading.Lock()
        self._webhooks: dict[str, Sign] = {
            "standardwebhooks": standardwebhooks.Webhook(SECRET).sign,
            "svix": svix.webhooks.Webhook(SECRET).sign,
            "standardwebhooks of npm": self._npm_sign("standardwebhooks"),
            "svix of npm": self._npm_sign("svix"),
            "supabase": _rotation,
        }

    def headers(self, policy: Policy, data: bytes, delivery_id: str, at: float) -> dict[str, str]:
        """Return the headers of an attempt at a Unix time."""
        headers = {"Content-Type": "application/json"}
        if policy.auth == "bearer":
            named = {"Idempotency-Key": delivery_id} if policy.sign == "idempotency-key" else {}
            return headers | {"Authorization": f"Bearer {TOKEN}"} | named
        if policy.sign == "github":
            signature = "sha256=" + hmac.digest(TOKEN.encode(), data, "sha256").hex()
            return headers | {"X-Hub-Signature-256": signature, "X-GitHub-Delivery": delivery_id}
        prefix = "svix" if policy.sign.startswith("svix") else "webhook"
        signature = self._webhooks[policy.sign](
            delivery_id, datetime.fromtimestamp(int(at), timezone.utc), data.decode()
        )
        values = {"id": delivery_id, "timestamp": str(int(at)), "signature": signature}
        return headers | {f"{prefix}-{name}": value for name, value in values.items()}

    def _npm_sign(self, library: str) -> Sign:
        def sign(delivery_id: str, moment: datetime, text: str) -> str:
            assert self._npm
            assert self._npm.stdin
            assert self._npm.stdout
            wanted = {"library": library, "secret": SECRET, "id": delivery_id, "at": moment.timestamp(), "body": text}
            with self._lock:
                self._npm.stdin.write(json.dumps(wanted) + "\n")
                self._npm.stdin.flush()
                return self._npm.stdout.readline().strip()

        return sign


def _rotation(delivery_id: str, moment: datetime, text: str) -> str:
    """Return the signatures of all secrets, joined as Supabase does."""
    by = (standardwebhooks.Webhook(secret) for secret in (OLD_SECRET, SECRET))
    return ", ".join(webhook.sign(delivery_id, moment, text) for webhook in by)


@contextmanager
def signers(packages: Path | None) -> Iterator[Signers]:
    """Yield the signers. Those from npm need the folder of their packages."""
    if packages is None:
        yield Signers()
        return
    command = ["node", str(node_packages.HERE / "sign.js")]
    environ = node_packages.environ(packages)
    with subprocess.Popen(command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Signers(process)
