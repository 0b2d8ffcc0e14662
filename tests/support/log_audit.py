"""Check after each test that the output of bridges contains no contact, code, secret or signature.

Builders report the values that they send (`carry…`) and where a bridge writes (`watch…`). After each test, the hooks,
which conftest.py imports, read the new output of its bridges: log lines in this process at level DEBUG, captured stdout
and stderr, log files, and SQLite ledgers with their write-ahead logs. They search the text, and the text with JSON
escapes, percent-encoding, Base64 and hexadecimal decoded.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from signup_bridge.telemetry.logs import JsonFormatter

SHORTEST = 6
"""The minimum length of a searched value. A shorter one can be the number of a port or a process."""

_SIGNATURE = re.compile(r"[0-9A-Za-z+/]{43}=|[0-9a-f]{64}")
_IDS = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])|pid: [0-9]+"
    r'|\*{3}@[^"]*'
)
"""Values that may contain a six-digit code by chance, and the domain of a masked email address."""
_HEX = re.compile(r"[0-9a-fA-F]{12,}")
_BASE64 = re.compile(r"[0-9A-Za-z+/_-]{8,}")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_CODE = re.compile(r"(?=[A-Za-z]*[0-9])[0-9A-Za-z]{6,10}")
_EMAIL = re.compile(r"[^@*]{2,}@.*", re.DOTALL)
_PHONE = re.compile(r"[.() +-]*(?:[0-9][.() -]*){7,20}")

_carried: dict[str, set[str]] = {"TC3-HM": {"TC3-HMAC-SHA256"}}
"""The reported values by their first characters, because a search can be for more than twenty thousand values."""
_signatures: set[str] = set()
"""Both are kept for the whole run of a worker, because a server of the session can write at any time."""


def carry(*values: str) -> None:
    """Report values that must not be written anywhere."""
    for value in values:
        if len(value) >= SHORTEST:
            _carried.setdefault(value[:SHORTEST], set()).add(value)


def carry_body(data: bytes | str) -> None:
    """Report each value of a body that can be a contact or a code."""
    text = data.decode(errors="replace") if isinstance(data, bytes) else data
    if text.count("[") + text.count("{") > 900:  # near Python's recursion limit, finalizers fail
        return
    with suppress(ValueError):
        carry_document(json.loads(text))


def carry_document(document: Any) -> None:
    """Do the same for a parsed body."""
    for text in _texts(document):
        if _EMAIL.fullmatch(text) or _CODE.fullmatch(text):
            carry(text.strip())
        elif _PHONE.fullmatch(text):
            carry(text, re.sub("[^0-9]", "", text))


def carry_request(data: bytes) -> None:
    """Report the signatures in a raw request."""
    _signatures.update(_SIGNATURE.findall(data.decode("latin-1")))


def carry_headers(headers: Mapping[str, str]) -> None:
    """Report the signature or the token in a request's headers."""
    for name, value in headers.items():
        _signatures.update(_SIGNATURE.findall(value))
        if name.lower() == "authorization":
            carry(value.partition(" ")[2])


def carry_settings(environ: Mapping[str, str]) -> None:
    """Report the secrets in an environment, and watch its ledger."""
    names = ("TENCENT_SECRET_ID", "TENCENT_SECRET_KEY", "TENCENT_SESSION_TOKEN", "LEDGER_KEY")
    carry(*(environ.get(name, "") for name in names))
    carry(*(secret.rpartition("whsec_")[2] for secret in environ.get("WEBHOOK_SECRETS", "").split()))
    scheme, _, rest = environ.get("LEDGER_URL", "").partition("://")
    password = rest.rpartition("@")[0].partition(":")[2]
    carry(*re.split("[@/?#]", password), unquote(password))
    if scheme == "sqlite":
        watch_ledger(Path(rest.partition("?")[0][1:]))


_scopes: list[str] = ["function"]
"""The scopes of the fixtures being set up. A log watched for a module or a session outlives the test."""


@dataclass
class _Watched:
    """A watched file. ``shown`` has the values that an emulator writes there on purpose."""

    grows: bool
    shown: tuple[str, ...] = ()
    lasts: bool = field(default_factory=lambda: _scopes[-1] != "function")
    looks: int = 0
    stamp: tuple[int, int] = (0, 0)
    offset: int = 0

    def new(self, path: Path) -> str | None:
        """Return the text written since the last call: the new lines of a growing file, or a whole changed file."""
        self.looks += 1
        try:
            found = os.stat(path)
            if (found.st_mtime_ns, found.st_size) == self.stamp:
                return None
            self.stamp = (found.st_mtime_ns, found.st_size)
            data = path.read_bytes()
        except OSError:  # not created yet, or already deleted
            return None
        if self.grows:
            end = data.rfind(b"\n") + 1
            data, self.offset = data[self.offset : end], end
        text = re.sub(b"\0+", b"\0", data).decode(errors="replace")
        for one in self.shown:
            text = text.replace(one, "")
        return text


_watched: dict[Path, _Watched] = {}


def watch_log(path: Path, *shown: str) -> None:
    """Watch a log that a bridge writes. ``shown`` has the values that an emulator writes there on purpose."""
    _watched[path] = _Watched(grows=True, shown=shown)


def watch_ledger(path: Path) -> None:
    for file in (path, Path(f"{path}-wal")):
        _watched.setdefault(file, _Watched(grows=False))


def leaks(text: str) -> list[str]:
    """Return the reported values that a text contains."""
    undone = "\n".join(_undone(text))
    parts = (undone[at : at + SHORTEST] for at in range(len(undone)))
    begun = {part for part in parts if part in _carried}
    found = [one for part in begun for one in _carried[part] if one in undone and _is_whole(one, undone)]
    return found + [one for one in _SIGNATURE.findall(undone) if one in _signatures]


def _undone(text: str) -> Iterator[str]:
    """Yield the text without the bridge's own ids, and its decoded parts."""
    without = _IDS.sub("", text)
    yield without
    if _ESCAPE.search(without):
        units = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), without)
        yield units.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if "%" in without:
        yield unquote(without)
    for blob in _HEX.findall(text):
        for start in range(2):  # the value may begin within a longer one
            part = blob[start:]
            yield bytes.fromhex(part[: len(part) // 2 * 2]).decode(errors="replace")
    for blob in _BASE64.findall(without):
        for start in range(4):
            part = blob[start:].replace("-", "+").replace("_", "/")
            part = part[: len(part) - (len(part) % 4 == 1)]
            yield base64.b64decode(part + "=" * (-len(part) % 4)).decode(errors="replace")


def _is_whole(value: str, text: str) -> bool:
    """Return whether a value is not just part of a longer number by chance."""
    return len(value) > 8 or not value.isdigit() or re.search(f"(?<![0-9]){value}(?![0-9])", text) is not None


def _texts(document: Any) -> Iterator[str]:
    rest = [document]  # some documents are nested too deep for recursion
    while rest:
        value = rest.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            rest += value.values() if isinstance(value, dict) else value


class _Lines(logging.Handler):
    """The lines that the bridge's loggers write at DEBUG and others at WARNING, as `logs.dict_config` configures."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.written: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "signup_bridge" or record.levelno >= logging.WARNING:
            self.written.append(self.format(record))


_lines = _Lines()


def pytest_runtest_setup() -> None:
    logging.getLogger("signup_bridge").setLevel(logging.DEBUG)
    if _lines not in logging.getLogger().handlers:
        logging.getLogger().addHandler(_lines)


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, object, object]:
    _scopes.append(fixturedef.scope)
    try:
        return (yield)
    finally:
        _scopes.pop()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "teardown":
        found = _found(text for title, text in report.sections if title.startswith("Captured std"))
        if found:
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: the output contains values of a delivery: {found}"
    return report


def _found(captured: Iterable[str]) -> dict[str, list[str]]:
    """Return the values that were written since the last call, by the place of the output."""
    written = {"captured": "\n".join(captured), "logged": "\n".join(_lines.written)}
    _lines.written.clear()
    for path, file in list(_watched.items()):
        text = file.new(path)
        if text is not None:
            written[str(path)] = text
        elif file.looks > 1 and not file.lasts:  # its writer ended with an earlier test
            del _watched[path]
    found = {where: leaks(text) for where, text in written.items() if text}
    return {where: values for where, values in found.items() if values}
