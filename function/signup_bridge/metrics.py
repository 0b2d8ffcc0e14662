"""Collect the metrics of this instance, and render them in Prometheus's text format (``METRICS=true``).

Label values come only from tables, never from a request. Every series exists from the start, with the value zero.
Source: https://prometheus.io/docs/instrumenting/exposition_formats, "Text-based format".
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable
from typing import Any, cast

import prometheus_client as prometheus
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from . import __version__
from .core import outcomes
from .core.actions import CREATE, DELETE, DESCRIBE, SEND
from .core.outcomes import OUTCOMES, SENT, VERIFIED, Result
from .ledger import Ledger, LedgerUnavailable
from .telemetry.observer import Observer

BUCKETS = (0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 3, 4, 6, 8)
"""Upper bounds of the histogram buckets: a rate limit slot is 0.05 s, a typical call 0.3 s, the budget 8 s."""

RESULTS = (
    VERIFIED,
    outcomes.CODE_INCORRECT,
    outcomes.CONTACT_INVALID,
    outcomes.ALREADY_VERIFIED,
    outcomes.UPSTREAM_THROTTLED,
    outcomes.UPSTREAM_UNREACHABLE,
    outcomes.OUTCOME_UNKNOWN,
    outcomes.UPSTREAM_FAILED,
    outcomes.SEND_LIMITED,
    outcomes.SEND_FAILED,
    outcomes.BRIDGE_MISCONFIGURED,
)
"""The outcomes of a call. Every success counts as ``ok``."""

# By default, the library adds a series with the creation time of each series.
prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]


class Metrics(Observer):
    """The metrics, thread-safe. Without ``reveal``, a contact that was verified before counts as a wrong code."""

    content_type = prometheus.CONTENT_TYPE_PLAIN_0_0_4

    def __init__(self, profile: str, *, reveal: bool = True) -> None:
        self._profile = profile
        self._reveal = reveal
        self._registry = prometheus.CollectorRegistry()
        options: dict[str, Any] = {"namespace": "signup_bridge", "registry": self._registry}
        self._deliveries = prometheus.Counter(
            "deliveries", "Deliveries and rejected requests by outcome.", ["outcome", "profile"], **options
        )
        self._replays = prometheus.Counter("replays", "Deliveries whose stored outcome was returned again.", **options)
        self._calls = prometheus.Counter("api_calls", "Calls of the Domain API.", ["action", "result"], **options)
        self._wait = prometheus.Histogram(
            "wait_seconds", "Time from a delivery's claim to its call.", buckets=BUCKETS, **options
        )
        self._upstream = prometheus.Histogram(
            "upstream_seconds", "Duration of calls.", ["action"], buckets=BUCKETS, **options
        )
        self._ledger_errors = prometheus.Counter("ledger_errors", "Failed ledger operations.", **options)
        build = {"version": __version__, "python": platform.python_version()}
        prometheus.Info("build", "Versions of the bridge and of Python.", **options).info(build)
        for outcome in OUTCOMES:
            self._deliveries.labels(outcome.code, profile)
        for action in (CREATE, SEND, DESCRIBE, DELETE):
            self._upstream.labels(action)
            for result in RESULTS:
                self._calls.labels(action, _result(result.code))

    def on_response(self, outcome: str, *, replayed: bool) -> None:
        self._deliveries.labels(self._public_code(outcome, CREATE), self._profile).inc()
        if replayed:
            self._replays.inc()

    def on_api_call(self, action: str, result: Result) -> None:
        self._calls.labels(action, _result(self._public_code(result.outcome.code, action))).inc()
        self._upstream.labels(action).observe(result.timing.upstream_seconds)
        if action == CREATE:
            self._wait.observe(result.timing.queue_seconds)

    def _public_code(self, code: str, action: str) -> str:
        return code if self._reveal else outcomes.conceal_already_verified(outcomes.BY_CODE[code], action).code

    def instrument(self, ledger: Ledger) -> Ledger:
        """Return the ledger with its failures counted."""
        return cast(Ledger, InstrumentedLedger(ledger, self._ledger_errors.inc))

    def render(self, unknown: int | None) -> bytes:
        """Return all metrics. ``unknown`` is the ledger's number of unknown outcomes; None if it is unavailable."""
        gauge = GaugeMetricFamily("signup_bridge_unknown_outcomes", "Deliveries whose outcome is unknown.")
        if unknown is not None:
            gauge.add_metric([], unknown)
        return prometheus.generate_latest(_Families([*self._registry.collect(), gauge]))


class InstrumentedLedger:
    """A `Ledger` that calls ``on_failure`` if it is unavailable."""

    def __init__(self, ledger: Ledger, on_failure: Callable[[], None]) -> None:
        self._ledger = ledger
        self._on_failure = on_failure

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._ledger, name)
        if not callable(attribute):
            return attribute

        def method(*args: Any, **kwargs: Any) -> Any:
            try:
                return attribute(*args, **kwargs)
            except LedgerUnavailable:
                self._on_failure()
                raise

        return method


class _Families(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _result(code: str) -> str:
    return "ok" if code in (VERIFIED.code, SENT.code) else code
