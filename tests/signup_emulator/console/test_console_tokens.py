"""A bearer token, which is the bridge's secret: the console shows a generated one to this machine only."""

from __future__ import annotations

from pathlib import Path

import requests

from tests.support.emulator.make_run import running_pair

TOKEN = "a-token-of-the-operator-000000000"


def test_console_shows_no_configured_token(tmp_path: Path) -> None:
    with running_pair(tmp_path, WEBHOOK_AUTH="bearer", WEBHOOK_SECRETS=TOKEN) as pair:
        pair.post("deliveries", {"contact": "18766554433", "verify_code": "123456"})
        texts = [requests.get(f"{pair.url}/emulator/{path}", timeout=60).text for path in ("deliveries", "status")]
        command = requests.get(f"{pair.url}/emulator/deliveries/1/curl", timeout=60).text
    assert all(TOKEN not in text for text in [*texts, command])
    assert '"Authorization: Bearer $WEBHOOK_SECRETS"' in command


def test_status_serves_no_secret_through_a_proxy(tmp_path: Path) -> None:
    with running_pair(tmp_path, WEBHOOK_SECRETS="") as pair:
        url = f"{pair.url}/emulator/status"
        direct = requests.get(url, timeout=60).json()
        relayed = requests.get(url, headers={"X-Forwarded-For": "192.0.2.1"}, timeout=60).json()
    assert direct["secret"]
    assert relayed["secret"] is None
