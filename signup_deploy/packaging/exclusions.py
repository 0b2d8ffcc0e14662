"""The files of the locked packages that the zip does not contain, with the reason for each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Prune:
    """Patterns of files to exclude, and why they are not needed."""

    reason: str
    patterns: tuple[str, ...]


PRUNES = (
    Prune("console scripts, which SCF does not run", ("bin",)),
    Prune(
        "for installers and type checkers; the name, the version and the licences stay",
        (
            "*.dist-info/RECORD",
            "*.dist-info/WHEEL",
            "*.dist-info/INSTALLER",
            "*.dist-info/REQUESTED",
            "*.dist-info/top_level.txt",
            "*.dist-info/entry_points.txt",
            "**/py.typed",
            "**/*.pyi",
        ),
    ),
    Prune("sources of compiled modules, and tests", ("**/*.c", "click/testing.py")),
    Prune("a pure Python version exists, and nothing detects charsets", ("charset_normalizer/*.so",)),
    Prune("a command line", ("charset_normalizer/cli", "charset_normalizer/__main__.py", "idna/cli.py")),
    Prune(
        "gunicorn's other workers and protocols, its control socket, its exporters",
        (
            "gunicorn/asgi",
            "gunicorn/ctl",
            "gunicorn/dirty",
            "gunicorn/instrument",
            "gunicorn/uwsgi",
            "gunicorn/workers/gasgi.py",
            "gunicorn/workers/ggevent.py",
            "gunicorn/workers/gtornado.py",
        ),
    ),
    Prune(
        "Werkzeug's debugger and reloader, for development",
        ("werkzeug/debug", "werkzeug/_reloader.py", "werkzeug/testapp.py"),
    ),
    Prune("Jinja's extras; no template is rendered", ("jinja2/sandbox.py", "jinja2/nativetypes.py", "jinja2/meta.py")),
    Prune(
        "for browsers, and for proxies that are not used",
        ("urllib3/contrib/emscripten", "urllib3/contrib/socks.py", "urllib3/contrib/pyopenssl.py"),
    ),
    Prune(
        "the metrics library's integrations with other frameworks, and its parsers",
        (
            "prometheus_client/aiohttp",
            "prometheus_client/bridge",
            "prometheus_client/django",
            "prometheus_client/twisted",
            "prometheus_client/parser.py",
            "prometheus_client/openmetrics/parser.py",
        ),
    ),
    Prune("the SDK's asynchronous half", ("tencentcloud/common/*_async.py", "tencentcloud/common/http/*_async.py")),
)

LEFT_OUT = {"pyyaml": "only the deployer reads YAML"}
"""Locked distributions that are not installed."""
