"""Whether the time of an answer tells who was verified before, where REVEAL_ALREADY_VERIFIED=false hides it.

An API that takes the same time for both refuses one contact as verified and another for a wrong code, in turns by lot.
Told is how often the one took longer than the other: 0.5 says nothing, with its standard error.
"""

from __future__ import annotations

import argparse
import random
import socket
import statistics
import tempfile
import time
import uuid
from pathlib import Path

import requests

from tests.support import builders

LISTED, OTHER = "18766554433", "18766554434"


def refuse(connection: socket.socket) -> None:
    """Answer the request that came last."""
    code = "VerifiedPhoneEmailErr" if LISTED.encode() in upstream.requests.pop() else "VerifyCodeErr"
    error = {"Error": {"Code": f"InternalError.{code}", "Message": ""}, "RequestId": str(uuid.uuid4())}
    connection.sendall(builders.reply({"Response": error}))


WAYS = ("first answers", "replays", "questions")


def measure(url: str, pairs: int) -> dict[str, dict[str, list[float]]]:
    """Milliseconds of each answer, by way and contact: a delivery, the same one again, and `GET /deliveries/<id>`."""
    took: dict[str, dict[str, list[float]]] = {way: {LISTED: [], OTHER: []} for way in WAYS}
    with requests.Session() as session:
        for _ in range(pairs):
            sent = {}
            for contact in (LISTED, OTHER):
                data, delivery_id = builders.body(contact=contact, verify_code="000000"), f"msg_{uuid.uuid4().hex}"
                sent[contact] = delivery_id, data, builders.signed(data, delivery_id=delivery_id)
            asking = builders.signed(b"")
            for way in WAYS:
                for contact in random.sample([LISTED, OTHER], 2):
                    delivery_id, data, headers = sent[contact]
                    asked = url.partition("/webhooks")[0].rstrip("/") + f"/deliveries/{delivery_id}"
                    began = time.perf_counter()
                    if way == "questions":
                        answer = session.get(asked, headers=asking, timeout=30)
                    else:
                        answer = session.post(url, data=data, headers=headers, timeout=30)
                    took[way][contact].append((time.perf_counter() - began) * 1000)
                    assert answer.json()["code"] == "code-incorrect"
    return took


def longer(one: list[float], other: list[float]) -> float:
    """How often a time of the one is longer than a time of the other (Mann and Whitney's U, as a part of all pairs)."""
    ranked = sorted([(seconds, 1) for seconds in one] + [(seconds, 0) for seconds in other])
    ranks = sum(rank for rank, (_, is_one) in enumerate(ranked, start=1) if is_one)
    return (ranks - len(one) * (len(one) + 1) / 2) / (len(one) * len(other))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=3000)
    pairs = parser.parse_args().pairs
    settings = {"REVEAL_ALREADY_VERIFIED": "false", "MAX_WRONG_CODES": 0, "LOG_LEVEL": "INFO"}
    with (
        tempfile.TemporaryDirectory() as folder,
        builders.Upstream(refuse) as upstream,
        builders.gunicorn(upstream.url, Path(folder) / "log", **settings) as own,
    ):
        measure(own, 100)
        took = measure(own, pairs)
    error = ((2 * pairs + 1) / (12 * pairs * pairs)) ** 0.5
    for way in WAYS:
        listed, other = took[way][LISTED], took[way][OTHER]
        one, two = statistics.median(listed), statistics.median(other)
        print(f"{way}: verified before {one:.2f} ms, wrong code {two:.2f} ms (medians of {pairs})")
        print(f"  the first took longer in {longer(listed, other):.3f} of all pairs, standard error {error:.3f}")
