"""Run the queries and alarm rules of docs/guides/operate.md in Prometheus, against a bridge and constructed series."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from signup_bridge.metrics import Metrics

from signup_emulator.server import Emulator
from signup_toolkit import ports
from tests.support import ROOT
from tests.support.bridge.instances import gunicorn, post
from tests.support.bridge.signed_requests import body as reference
from tests.support.bridge.signed_requests import signed

pytestmark = [pytest.mark.toolchain, pytest.mark.timeout(120)]

GUIDE = (ROOT / "docs" / "guides" / "operate.md").read_text()
SCRAPE, RULES = (yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE))
EXPRESSIONS = [
    line
    for block in re.findall(r"^```promql\n(.*?)^```", GUIDE, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]
ALERTS = {rule["alert"]: rule["expr"] for group in RULES["groups"] for rule in group["rules"]}

DELIVERIES = 'signup_bridge_deliveries_total{outcome="%s",profile="status"}'
CALLS = 'signup_bridge_api_calls_total{action="%s",result="%s"}'
WAITS = 'signup_bridge_wait_seconds_bucket{le="%s"}'
UPSTREAM = 'signup_bridge_upstream_seconds_bucket{action="CreateIntlPhoneEmail",le="%s"}'
UNKNOWN = "signup_bridge_unknown_outcomes"


def program(name: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"no {name} on PATH (Debian: apt-get install prometheus)")
    return found


def promtool(*arguments: str, folder: Path) -> None:
    command = [program("promtool"), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump(RULES))
    return file


# -- rules --


def test_documented_rules_are_valid(rules: Path) -> None:
    promtool("check", "rules", rules.name, folder=rules.parent)


LAST = 240
"""The number of the last sample. The series last two hours, with a sample every 30 s."""

HEALTHY = {
    'up{job="signup-bridge",instance="1"}': f"1x{LAST}",
    DELIVERIES % "verified": f"0+10x{LAST}",
    DELIVERIES % "code-incorrect": f"0+2x{LAST}",
    **{
        DELIVERIES % code: f"0x{LAST}"
        for code in (
            "bridge-misconfigured", "internal-error", "outcome-unknown", "upstream-failed", "upstream-throttled",
            "overloaded", "signature-invalid", "attempts-exhausted", "send-limited",
        )
    },
    "signup_bridge_ledger_errors_total": f"0x{LAST}",
    CALLS % ("CreateIntlPhoneEmail", "upstream-unreachable"): f"0x{LAST}",
    UNKNOWN: f"30x{LAST}",  # from an incident on the day before
    **{form % le: f"0+12x{LAST}" for form in (WAITS, UPSTREAM) for le in ("0.3", "2", "3", "+Inf")},
}  # fmt: skip

SLOW = {"0.3": f"0+1x{LAST}", "2": f"0+1x{LAST}"}
FIRING: dict[str, dict[str, str | None]] = {
    "SignupBridgeDown": {'up{job="signup-bridge",instance="1"}': f"0x{LAST}"},
    "SignupBridgeAbsent": {'up{job="signup-bridge",instance="1"}': None},
    "SignupBridgeMisconfigured": {DELIVERIES % "bridge-misconfigured": f"0x{LAST - 5} 1 1 1 1 1"},
    "SignupBridgeErrors": {"signup_bridge_ledger_errors_total": f"0x{LAST - 5} 1 1 1 1 1"},
    "SignupBridgeLedgerSilent": {UNKNOWN: None},
    "SignupBridgeLosesAnswers": {DELIVERIES % "outcome-unknown": f"0+1x{LAST}"},
    "SignupBridgeUnknownOutcomes": {UNKNOWN: f"30x{LAST - 41} 40x40"},
    "SignupBridgeUpstreamUnreachable": {
        CALLS % ("CreateIntlPhoneEmail", "upstream-unreachable"): f"0+3x{LAST}",
    },
    "SignupBridgeThrottled": {DELIVERIES % "overloaded": f"0+1x{LAST}"},
    "SignupBridgeWaits": {WAITS % le: values for le, values in SLOW.items()},
    "SignupBridgeUpstreamSlow": {UPSTREAM % le: values for le, values in SLOW.items()},
    "SignupBridgeSignatures": {DELIVERIES % "signature-invalid": f"0+3x{LAST}", DELIVERIES % "verified": f"9x{LAST}"},
    "SignupBridgeGuessing": {DELIVERIES % "attempts-exhausted": f"0+3x{LAST}"},
    "SignupBridgePumping": {DELIVERIES % "send-limited": f"0+5x{LAST}"},
}
QUIET: dict[str, dict[str, str | None]] = {
    "healthy": {},
    "an incident of unknown outcomes that is over": {UNKNOWN: f"0x20 40x{LAST - 20}"},
    "unknown outcomes that are reconciled": {UNKNOWN: f"30x{LAST - 30} 50x20 30x10"},
    "invalid signatures beside valid deliveries": {DELIVERIES % "signature-invalid": f"0+3x{LAST}"},
    "a short burst": {DELIVERIES % "overloaded": f"0x{LAST - 6} 5x6"},
    "the internal error of a good while ago": {DELIVERIES % "internal-error": f"0x{LAST - 50} 1x50"},
}


def fires(rules: Path, changed: dict[str, str | None], expected: list[str]) -> None:
    """Let promtool evaluate the rules with these series, and compare the alarms that fire at the end."""
    series = {name: values for name, values in (HEALTHY | changed).items() if values is not None}
    test = {
        "interval": "30s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": "2h",
                "exp_samples": [{"labels": f'{{alertname="{name}"}}', "value": 1} for name in expected],
            }
        ],
    }
    document = {"rule_files": [rules.name], "evaluation_interval": "30s", "tests": [test]}
    (rules.parent / "test.yml").write_text(yaml.safe_dump(document))
    promtool("test", "rules", "test.yml", folder=rules.parent)


def test_series_of_rule_tests_exist_in_metrics() -> None:
    """A rule test with a misspelled name or label would prove nothing."""
    text = Metrics("status").render(0).decode()
    for name in HEALTHY:
        assert name.startswith("up{") or name.replace('le="2"', 'le="2.0"').replace('le="3"', 'le="3.0"') in text


@pytest.mark.parametrize("alarm", ALERTS)
def test_alert_fires_for_its_series(rules: Path, alarm: str) -> None:
    fires(rules, FIRING[alarm], [alarm])


@pytest.mark.parametrize("name", QUIET)
def test_no_alert_fires_for_quiet_series(rules: Path, name: str) -> None:
    fires(rules, QUIET[name], [])


# -- expressions --


@contextmanager
def running_prometheus(folder: Path, target: str) -> Iterator[str]:
    """Run Prometheus with the documented configuration, but scraping every second; yield its URL."""
    (job,) = SCRAPE["scrape_configs"]
    job |= {"scrape_interval": "1s", "static_configs": [{"targets": [target.removeprefix("http://")]}]}
    config = {"global": {"evaluation_interval": "1s"}, "rule_files": ["rules.yml"], "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address, log = f"127.0.0.1:{ports.free()}", folder / "prometheus.log"
    command = [program("prometheus"), "--config.file=prometheus.yml", f"--web.listen-address={address}"]
    with log.open("wb") as output:
        options = [f"--storage.tsdb.path={folder / 'data'}", "--log.level=warn"]
        process = subprocess.Popen([*command, *options], cwd=folder, stdout=output, stderr=output)
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait(timeout=20)


def ask(url: str, path: str, **query: str) -> Any:
    document = requests.get(f"{url}/api/v1/{path}", params=query, timeout=10).json()
    assert document["status"] == "success", document
    assert "warnings" not in document
    return document["data"]


def wait_until(url: str, query: str) -> None:
    """Wait until an expression has a result."""
    end = time.monotonic() + 60
    while True:
        with suppress(requests.ConnectionError, AssertionError, ValueError):
            if ask(url, "query", query=query)["result"]:
                return
        assert time.monotonic() < end, query
        time.sleep(0.1)


def test_documented_expressions_return_results_in_prometheus(rules: Path) -> None:
    with (
        Emulator(rate=0) as emulator,
        gunicorn(emulator.url, rules.parent / "log", METRICS="true") as bridged,
        running_prometheus(rules.parent, bridged) as url,
    ):
        headers = signed(reference())
        wait_until(url, 'up{job="signup-bridge"} == 1')
        assert [post(f"{bridged}/webhooks/signup", reference(), headers).status for _ in range(2)] == [200, 200]
        wait_until(url, "rate(signup_bridge_replays_total[1m]) > 0")
        for expression in EXPRESSIONS:
            assert ask(url, "query", query=expression)["result"], expression
        rates = {
            row["metric"]["outcome"]: float(row["value"][1])
            for row in ask(url, "query", query=EXPRESSIONS[0])["result"]
        }
        assert [outcome for outcome, rate in rates.items() if rate] == ["verified"]
        for expression in ALERTS.values():
            ask(url, "query", query=expression)
            for selector in re.findall(r"\w+\{[^}]*\}|signup_bridge_\w+", expression):
                assert ask(url, "query", query=selector)["result"], selector
        wait_until(url, "count(ALERTS) or vector(1)")
        (group,) = ask(url, "rules")["groups"]
        assert [rule["name"] for rule in group["rules"]] == list(ALERTS)
        assert {(rule["health"], rule["state"]) for rule in group["rules"]} == {("ok", "inactive")}
