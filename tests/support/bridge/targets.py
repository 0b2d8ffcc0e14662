"""Start a bridge that tests call over HTTP: under gunicorn from the tree, or the built zip on the emulated SCF."""

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
    """A running bridge: its URL, its API and its log."""

    url: str
    emulator: Emulator
    log: Path


@contextmanager
def running_tree(log: Path) -> Iterator[Running]:
    with Emulator(rate=0) as emulator, gunicorn(emulator.url, log) as url:
        yield Running(url, emulator, log)


@dataclass(frozen=True)
class Scf:
    """The emulated SCF, which starts the built zip as a web or event function with its own log.

    Each zip is unpacked once, because unpacking takes longer than a start. Its files are read-only.
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
    """Write a copy of the zip with one text of a module replaced, without the module's bytecode; return its path."""
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
