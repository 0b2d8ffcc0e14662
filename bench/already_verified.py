"""Measure whether response times reveal earlier verifications that REVEAL_ALREADY_VERIFIED=false conceals.

The emulated API rejects one contact because it is verified and another because of a wrong code. Requests for both are
interleaved in random order. The result is the share of pairs in which the first contact's response took longer: 0.5
reveals nothing. The standard error is printed beside it.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

import certifi
import requests

from bench import servers
from bench.load import SECRET
from signup_emulator.api.faults.magic_contacts import MAGIC_CONTACTS
from signup_emulator.server import Emulator
from signup_toolkit import sample_payloads, senders

PHONES = {row.name: row.phone for row in MAGIC_CONTACTS}
LISTED, OTHER = PHONES["already-verified"], PHONES["wrong-code"]
WAYS = ("first responses", "replays", "queries")


def measure(url: str, pairs: int) -> dict[str, dict[str, list[float]]]:
    """Return the milliseconds of each response: to a delivery, to its replay, and to `GET /deliveries/<id>`."""
    took: dict[str, dict[str, list[float]]] = {way: {LISTED: [], OTHER: []} for way in WAYS}
    with requests.Session() as session:
        session.trust_env = False
        for _ in range(pairs):
            deliveries = {contact: _delivery(contact) for contact in (LISTED, OTHER)}
            query_headers = senders.sign_headers(b"", sender="standard", secret=SECRET)
            for way in WAYS:
                for contact in random.sample([LISTED, OTHER], 2):
                    body, headers = deliveries[contact]
                    query_url = f"{url}/deliveries/{headers['webhook-id']}"
                    started = time.perf_counter()
                    if way == "queries":
                        response = session.get(query_url, headers=query_headers, timeout=30)
                    else:
                        response = session.post(f"{url}/webhooks/signup", data=body, headers=headers, timeout=30)
                    took[way][contact].append((time.perf_counter() - started) * 1000)
                    assert response.json()["code"] == "code-incorrect"
    return took


def _delivery(contact: str) -> tuple[bytes, dict[str, str]]:
    body = sample_payloads.build_body(contact, "000000", "phone")
    return body, senders.sign_headers(body, sender="standard", secret=SECRET)


def share_longer(one: list[float], other: list[float]) -> float:
    """Return the share of all pairs in which the time from ``one`` is longer (Mann-Whitney U)."""
    ranked = sorted([(seconds, 1) for seconds in one] + [(seconds, 0) for seconds in other])
    ranks = sum(rank for rank, (_, is_one) in enumerate(ranked, start=1) if is_one)
    return (ranks - len(one) * (len(one) + 1) / 2) / (len(one) * len(other))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3000)
    pairs = parser.parse_args().pairs
    settings = {"REVEAL_ALREADY_VERIFIED": "false", "MAX_WRONG_CODES": "0", "LOG_LEVEL": "INFO"}
    with (
        tempfile.TemporaryDirectory() as folder,
        Emulator(rate=0) as emulator,
        servers.bridge(emulator.url, Path(certifi.where()), Path(folder), **settings) as running,
    ):
        url = f"http://127.0.0.1:{running.target.port}"
        measure(url, 100)
        took = measure(url, pairs)
    error = ((2 * pairs + 1) / (12 * pairs * pairs)) ** 0.5
    for way in WAYS:
        listed, other = took[way][LISTED], took[way][OTHER]
        one, two = statistics.median(listed), statistics.median(other)
        print(f"{way}: verified before {one:.2f} ms, wrong code {two:.2f} ms (medians of {pairs})")
        print(f"  the first took longer in {share_longer(listed, other):.3f} of all pairs, standard error {error:.3f}")
