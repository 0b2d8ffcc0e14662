"""One bridge that is asked over HTTP: under gunicorn from the tree, or built and run as SCF runs it, either shape."""

from __future__ import annotations

import uuid
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pytest

from signup_emulator.scf.function import Function, Shape
from signup_emulator.scf.platform import Platform, Role, unpacked
from signup_emulator.server import Emulator
from tests.support import log_audit
from tests.support.bridge.instances import environment, gunicorn

both_shapes = pytest.mark.parametrize("shape", ["web", "event"])


@dataclass
class Running:
    """A bridge's own URL, its API, and what it wrote."""

    url: str
    emulator: Emulator
    log: Path


@contextmanager
def running_tree(log: Path) -> Iterator[Running]:
    with Emulator(rate=0) as emulator, gunicorn(emulator.url, log) as url:
        yield Running(url, emulator, log)


@dataclass(frozen=True)
class Scf:
    """What starts the built zip in a shape, with a log of its own; its API is at ``url``.

    Each zip is unpacked once, which takes longer than to start it, and cannot be written then.
    """

    archive: Path
    python: str
    folder: Callable[[str], Path]
    unpacking: ExitStack
    codes: dict[Path, Path] = field(default_factory=dict)

    def start(
        self,
        shape: Shape,
        url: str,
        *,
        role: Role | None = None,
        timeout: float = 12.0,
        archive: Path | None = None,
        **changed: str,
    ) -> Platform:
        environ = environment(url, **changed)
        variables = {name: value for name, value in environ.items() if value}
        archive = archive or self.archive
        if archive not in self.codes:
            self.codes[archive] = self.unpacking.enter_context(unpacked(archive))
        function = Function(archive, shape, variables, self.python, timeout=timeout)
        log = self.folder("scf") / f"{uuid.uuid4().hex}.log"
        log_audit.watch_log(log)
        return Platform(function, log, role=role, code=self.codes[archive])


def changed_archive(archive: Path, target: Path, name: str, old: str, new: str) -> Path:
    """The zip with one thing changed in one of its modules, and without that one's bytecode."""
    stale = (PurePosixPath(name).parent / "__pycache__" / f"{Path(name).stem}.cpython-310.pyc").as_posix()
    with zipfile.ZipFile(archive) as source, zipfile.ZipFile(target, "w") as out:
        for info in source.infolist():
            data = source.read(info)
            if info.filename == name:
                assert old.encode() in data
                data = data.replace(old.encode(), new.encode())
            if info.filename != stale:
                out.writestr(info, data, zipfile.ZIP_STORED)
    return target
