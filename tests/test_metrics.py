"""Test that `GET /metrics` counts what the bridge did, and that it exists only if enabled."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import requests
from prometheus_client.parser import text_string_to_metric_families
from signup_bridge import __version__, metrics
from signup_bridge.core.clock import Deadline, SystemClock
from signup_bridge.core.outcomes import OUTCOMES
from signup_bridge.upstream.error_codes import API_CODES, SEND_API_CODES
from signup_bridge.upstream.reply import CallResult, classify

from signup_emulator.api.faults.armed_faults import Fault
from signup_emulator.server import Emulator
from signup_toolkit import ports
from tests.support import ROOT
from tests.support.bridge.deliveries import WRONG, at_once, deliver
from tests.support.bridge.event_builders import handle, invoke, url_event
from tests.support.bridge.instances import Bridge, bridge, environment, gunicorn, post
from tests.support.bridge.responses import PROBLEM, check_problem, problem
from tests.support.bridge.signed_requests import body, signed
from tests.support.bridge.targets import Scf
from tests.support.log_lines import lines_of
from tests.support.network.upstream import Upstream, reply, send
from tests.support.scenarios.scenarios import SCENES, Way

CREATE, DESCRIBE = "CreateIntlPhoneEmail", "DescribeIntlPhoneEmailList"

PREFIX = "signup_bridge_"

Figures = dict[tuple[str, ...], float]


def figures(text: str) -> Figures:
    """Return each sample that is not zero, by name without the prefix and label values, sorted by label name."""
    return {
        (
            sample.name.removeprefix("signup_bridge_"),
            *(value for _, value in sorted(sample.labels.items())),
        ): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.value
    }


def scrape(of: Bridge) -> Figures:
    response = of.client.get("/metrics")
    assert (response.status_code, response.content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return figures(response.text)


def named(series: Figures, name: str) -> Figures:
    """Return the samples of one metric by their labels."""
    return {labels[1:]: value for labels, value in series.items() if labels[0] == name}


@pytest.fixture
def counted(emulator: Emulator) -> Bridge:
    return bridge(emulator.url, METRICS="true", REQUEST_BUDGET=2)


# -- disabled metrics --


def test_metrics_route_is_off_by_default(default_bridge: Bridge) -> None:
    response = default_bridge.client.get("/metrics")
    assert (response.status_code, response.json and response.json["code"]) == (404, "not-found")
    described = default_bridge.client.get("/openapi.json").json
    assert described
    assert "/metrics" not in described["paths"]


@pytest.mark.parametrize(("setting", "imported"), [("false", "False"), ("true", "True")])
def test_prometheus_client_is_imported_only_if_enabled(setting: str, imported: str) -> None:
    program = (
        "import sys; from signup_bridge.app import create_app; client = create_app().test_client(); "
        "client.post('/'), client.get('/metrics'); print('prometheus_client' in sys.modules)"
    )
    environ = environment("http://127.0.0.1:9", METRICS=setting) | {"PYTHONPATH": str(ROOT / "function")}
    kept = {name: value for name, value in os.environ.items() if name == "PATH" or name.startswith("COV")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=kept | environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == imported


# -- counters --


def test_every_series_exists_from_start(emulator: Emulator, counted: Bridge) -> None:
    text = counted.client.get("/metrics").text
    assert set(figures(text)) == {("build_info", sys.version.split()[0], __version__)}
    families = {family.name: family for family in text_string_to_metric_families(text)}
    codes = {sample.labels["outcome"] for sample in families["signup_bridge_deliveries"].samples}
    assert codes == {outcome.code for outcome in OUTCOMES}
    before = [line.split(" ")[0] for line in text.splitlines()]
    for code in ("verified", "signature-invalid", "outcome-unknown"):
        scene = SCENES[code]
        if scene.before:
            scene.before(Way("http"), counted, emulator)
        Way("http").ask(counted, scene.request)
    assert [line.split(" ")[0] for line in counted.client.get("/metrics").text.splitlines()] == before


def test_results_cover_every_classification_of_call() -> None:
    kinds = get_args(get_type_hints(CallResult)["result"])
    without_reply = [classify(CallResult(one, 0.1)).outcome for kind in kinds for one in get_args(kind)]
    may = {"verified", *(outcome.code for outcome in [*API_CODES.values(), *SEND_API_CODES.values(), *without_reply])}
    assert {outcome.code for outcome in metrics.RESULTS} == may


TWICE = {"already-verified", "attempts-exhausted", "outcome-unresolved", "idempotency-key-reused", "send-limited"}
"""The scenarios in which another delivery precedes."""


@pytest.mark.parametrize(
    "code", [code for code in SCENES if code not in ("method-not-allowed", "delivery-not-found")]
)  # these are not POST requests
def test_each_outcome_is_counted(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    bridged, _ = SCENES[code].play(Way("http"), emulator, monkeypatch, METRICS="true")
    counts = named(scrape(bridged), "deliveries_total")
    assert counts[code, "status"] == 1
    assert sum(counts.values()) == (2 if code in TWICE else 1)


@pytest.mark.parametrize("profile", ["ack", "supabase"])
def test_deliveries_in_each_profile_carry_its_label(emulator: Emulator, profile: str) -> None:
    bridged = bridge(emulator.url, METRICS="true", SENDER_PROFILE=profile)
    assert bridged.deliver(verify_code=WRONG).status == 200
    assert named(scrape(bridged), "deliveries_total") == {("code-incorrect", profile): 1}
    assert bridged.client.post("/metrics").status_code == 405


def test_metrics_conceal_already_verified(emulator: Emulator) -> None:
    """Metrics require no authentication, so that anyone could compare them before and after a guess."""
    hiding = bridge(emulator.url, METRICS="true", REVEAL_ALREADY_VERIFIED="false")
    hiding.deliver()
    before = scrape(hiding)
    hiding.deliver(verify_code=WRONG)
    after = scrape(hiding)
    assert emulator.calls[-1].result == "InternalError.VerifiedPhoneEmailErr"
    grown = {labels for labels, value in after.items() if value > before.get(labels, 0) and "_seconds" not in labels[0]}
    assert grown == {("deliveries_total", "code-incorrect", "status"), ("api_calls_total", CREATE, "code-incorrect")}


def test_calls_replays_and_times_are_counted(emulator: Emulator, counted: Bridge) -> None:
    emulator.delay = 0.12
    deliver(counted, "first")
    deliver(counted, "first")
    emulator.delay = 0
    emulator.faults.arm(Fault("close"))
    assert deliver(counted, "lost", contact="10086", verify_code=WRONG).json["code"] == "outcome-unknown"
    assert deliver(counted, "lost", contact="10086", verify_code=WRONG).json["code"] == "outcome-unresolved"
    series = scrape(counted)
    assert named(series, "replays_total") == {(): 1}
    assert named(series, "api_calls_total") == {
        (CREATE, "ok"): 1, (CREATE, "outcome-unknown"): 1, (CREATE, "code-incorrect"): 1, (DESCRIBE, "ok"): 2,
    }  # fmt: skip
    assert named(series, "wait_seconds_count") == {(): 3}
    assert named(series, "upstream_seconds_count") == {(CREATE,): 3, (DESCRIBE,): 2}
    assert series["upstream_seconds_sum", CREATE] >= 0.12
    slow = named(series, "upstream_seconds_bucket")
    assert (CREATE, "0.1") not in slow or slow[CREATE, "0.1"] <= 2
    assert slow[CREATE, "8.0"] == 3


def test_unsent_and_release_calls_are_counted(emulator: Emulator) -> None:
    away = bridge(f"http://127.0.0.1:{ports.free()}", METRICS="true")
    assert deliver(away).json["code"] == "upstream-unreachable"
    assert named(scrape(away), "api_calls_total") == {(CREATE, "upstream-unreachable"): 3}
    releasing = bridge(emulator.url, METRICS="true", AFTER_VERIFIED="release")
    assert deliver(releasing).json["code"] == "verified"
    assert named(scrape(releasing), "api_calls_total") == {(CREATE, "ok"): 1, ("DeleteIntlPhoneEmail", "ok"): 1}


def test_labels_never_come_from_requests_or_replies() -> None:
    odd = reply({"Response": {"RequestId": "r", "Error": {"Code": "Canary.OfSomebody", "Message": "canary"}}})
    with Upstream(send(odd)) as upstream:
        bridged = bridge(upstream.url, METRICS="true")
        deliver(bridged, contact="10086")
        bridged.client.post("/canary?canary", headers={"webhook-id": "canary", "X-Scf-Request-Id": "canary"})
        text = bridged.client.get("/metrics").text
    assert "anary" not in text
    assert figures(text)["api_calls_total", CREATE, "upstream-failed"] == 1


# -- the gauge of unknown outcomes --


def test_unknown_outcomes_gauge_reads_ledger(emulator: Emulator, build: Any) -> None:
    counted, other = build(METRICS="true", RESOLVE_UNKNOWN="never"), build()
    for number in range(3):
        emulator.faults.arm(Fault("close"))
        deliver(other, f"msg_{number}", contact=f"1008{number}", verify_code=WRONG)
    ledger = other.app.extensions["ledger"]
    assert counted.client.get("/ready").json == other.client.get("/ready").json
    assert scrape(counted)["unknown_outcomes",] == 3
    assert deliver(counted, "msg_0", contact="10080", verify_code=WRONG).json["code"] == "outcome-unresolved"
    assert scrape(counted)["unknown_outcomes",] == 2 == ledger.count_unknown(deadline=Deadline(SystemClock(), 5))


@pytest.mark.parametrize("engine", ["sqlite", "redis"])
def test_unavailable_ledger_leaves_other_metrics(emulator: Emulator, tmp_path: Path, engine: str) -> None:
    redis = {"LEDGER_URL": f"redis://127.0.0.1:{ports.free()}/0", "LEDGER_KEY": "k" * 32}
    settings: dict[str, Any] = redis if engine == "redis" else {"LEDGER_URL": f"sqlite:///{tmp_path}/no/ledger.db"}
    bridged = bridge(emulator.url, METRICS="true", **settings)
    check_problem(
        deliver(bridged),
        problem("ledger-unavailable", 503, retryable=True),
        PROBLEM | {"retry-after": "2"},
    )
    text = bridged.client.get("/metrics").text
    assert "# TYPE signup_bridge_unknown_outcomes gauge" in text
    found = figures(text)
    assert named(found, "unknown_outcomes") == {}
    assert found["ledger_errors_total",] == 3  # at startup, for the delivery, and for this request
    assert found["deliveries_total", "ledger-unavailable", "status"] == 1


def test_scrape_does_not_wait_for_ledger_queries(counted: Bridge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("threading.Semaphore.acquire", lambda *_, **__: False)
    assert counted.client.get("/metrics").status_code == 200


# -- other function types, and load --


def test_event_function_returns_same_metrics(counted: Bridge, emulator: Emulator) -> None:
    handle(counted, url_event())
    event = url_event(b"", httpMethod="GET", path="/metrics")
    reported = counted.events.handle(event, {})
    assert (reported["statusCode"], reported["headers"]["Content-Type"]) == (
        200,
        "text/plain; version=0.0.4; charset=utf-8",
    )
    assert figures(reported["body"]) == scrape(counted)
    assert figures(reported["body"])["deliveries_total", "verified", "status"] == 1
    (response,), _ = invoke(environment(emulator.url, METRICS="true"), event)
    assert "signup_bridge_build_info" in response["body"]


def test_deployed_zip_returns_metrics(scf: Scf, emulator: Emulator) -> None:
    with scf.start("web", emulator.url, METRICS="true") as platform:
        response = requests.get(f"{platform.url}/metrics", timeout=60)
    ((python, version),) = named(figures(response.text), "build_info")
    assert (python.rpartition(".")[0], version) == ("3.10", __version__)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Emulator, str, Path]]:
    log = tmp_path_factory.mktemp("served") / "log"
    with Emulator(rate=0) as emulator, gunicorn(emulator.url, log, METRICS="true", REQUEST_BUDGET=5) as url:
        yield emulator, url, log


def test_sums_agree_under_concurrent_load(served: tuple[Emulator, str, Path]) -> None:
    """Metrics, responses, log lines and the API's calls must agree."""
    emulator, url, log = served

    def work(number: int) -> Any:
        match number % 4:
            case 0:
                return post(url, body(), {})
            case 1:
                data = body(contact=f"139{number:08}", verify_code=WRONG)
                return post(url, data, signed(data, delivery_id=f"msg_{number}"))
            case 2:
                data = body(contact="13800000000", verify_code=WRONG)
                return post(url, data, signed(data, delivery_id="msg_same"))
            case _:
                return post(url, body(type="fax"))

    responses = at_once(60, work)
    found = figures(requests.get(f"{url}/metrics", timeout=60).text)
    counts = {outcome: count for (outcome, _), count in named(found, "deliveries_total").items()}
    assert counts == Counter(response.json["code"] for response in responses)
    deliveries = [line for line in lines_of(log.read_text()) if line["message"] == "delivery"]
    assert counts == Counter(line["outcome"] for line in deliveries)
    assert found["replays_total",] == sum("idempotent-replayed" in response.headers for response in responses)
    assert found["replays_total",] == sum(line.get("replayed", False) for line in deliveries)
    assert sum(named(found, "api_calls_total").values()) == len(emulator.calls)
    assert found["wait_seconds_count",] == sum(call.action == CREATE for call in emulator.calls)
    emulator.faults.arm(Fault("InternalError.AddPhoneEmailErr"))
    assert post(url, body(contact="10086", verify_code=WRONG)).json["code"] == "upstream-failed"
    assert figures(requests.get(f"{url}/metrics", timeout=60).text)["unknown_outcomes",] == 1
