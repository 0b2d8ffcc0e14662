"""Build `build/function/` and `build/function.zip` for SCF, with the same bytes on every machine and day.

They contain ``function/`` and the locked wheels for SCF's CPython 3.10 on x86-64, without unused files. A Python 3.10
compiles the bytecode, because SCF cannot write bytecode.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from signup_bridge.cli.installation import data_file

from signup_toolkit import python310

from .exclusions import LEFT_OUT, PRUNES
from .sources import function_folder

BUILD = Path("build")
"""The folder for the output, relative to the current folder."""

CODE_FOLDER = "/var/user"
"""The folder into which SCF unpacks the zip, and which tracebacks show."""

_WHEELS = ("--platform", "manylinux2014_x86_64", "--python-version", "3.10", "--implementation", "cp", "--abi", "cp310")
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every file: the earliest time that a zip supports, so that builds do not differ."""

WITHOUT_BYTECODE = (
    "!!! Built without bytecode, because this machine has no Python 3.10. The function works, but SCF compiles every\n"
    "!!! module at every cold start, which then takes twice as long. Install CPython 3.10, for example with\n"
    "!!! `pyenv install 3.10`, and build again."
)

CODE_SUFFIXES, CODE_NAMES = (".py", ".lua"), ("scf_bootstrap", "py.typed")
"""Suffixes and names of the function's files. Other files are not packed, because they may contain secrets."""


class PackageError(Exception):
    """The package was not built. The text states the reason and the remedy."""


@dataclass(frozen=True)
class Package:
    """The folder and the zip, their sizes in bytes, and whether they contain bytecode."""

    folder: Path
    archive: Path
    unpacked: int
    zipped: int
    precompiled: bool


def build(target: Path = BUILD, *, function: Path | None = None, report: Callable[[str], None] = print) -> Package:
    """Build the folder and the zip in ``target``, which need not exist, from the code in the folder ``function``.

    By default, this is the function's own code. ``report`` receives progress messages. Raises PackageError.
    """
    if function is None:
        with function_folder() as own:
            return build(target, function=own, report=report)
    folder, archive = target / "function", target / "function.zip"
    check_line_endings(function)
    target.mkdir(parents=True, exist_ok=True)
    # The result is moved to its place at the end, so that an interrupted build changes nothing.
    with tempfile.TemporaryDirectory(dir=target, prefix=".building-") as temporary:
        new = Path(temporary) / "function"
        report("installing the locked wheels for CPython 3.10, Linux x86-64 …")
        _install(new)
        left_out = prune(new)
        report(f"excluded {_mib(left_out)} of unused files")
        for strange in copy_code(function, new):
            report(f"!!! {_shown(strange)} is not packed, because it is not part of the bridge's code")
        interpreter = python310.find()
        if interpreter:
            report(f"compiling with {interpreter} …")
            _compile(new, interpreter)
        else:
            report(WITHOUT_BYTECODE)
        _set_modes(new)
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    _zip(folder, archive)
    package = Package(folder, archive, _size(folder), archive.stat().st_size, precompiled=interpreter is not None)
    report(f"{_shown(folder)}/ {_mib(package.unpacked)}, {_shown(archive)} {_mib(package.zipped)}")
    return package


def check_line_endings(function: Path) -> None:
    """Raise PackageError for CRLF. Linux could not start `scf_bootstrap` with CRLF, and the zip would differ."""
    code, _ = _sources(function)
    wrong = [_shown(path) for path in code if b"\r\n" in path.read_bytes()]
    if wrong:
        raise PackageError(
            f"package: {', '.join(wrong)} must have LF line endings, but has CRLF; convert with "
            f"`sed -i 's/\\r$//' {shlex.join(wrong)}`, and run the command again"
        )


def _sources(function: Path) -> tuple[list[Path], list[Path]]:
    """Return the function's files: the files to pack, and the others."""
    code: list[Path] = []
    others: list[Path] = []
    for path in sorted(function.rglob("*")):
        if not path.is_dir() and "__pycache__" not in path.parts:
            (code if path.suffix in CODE_SUFFIXES or path.name in CODE_NAMES else others).append(path)
    return code, others


def copy_code(function: Path, folder: Path) -> list[Path]:
    """Copy the function's code. Return the other files in the folder, which are not copied."""
    code, others = _sources(function)
    for path in code:
        target = folder / path.relative_to(function)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return others


def _install(folder: Path) -> None:
    locked = folder.with_name("requirements.txt")
    locked.write_text(requirements_for_scf(data_file("requirements.txt").read_text()))
    command = [
        _python_with_pip(folder.with_name("pip")), "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
        "--root-user-action", "ignore", "--no-compile", "--no-deps", "--require-hashes", "--only-binary", ":all:",
        *_WHEELS, "--target", str(folder), "-r", str(locked),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  no foreign input
    if done.returncode:
        raise PackageError(f"package: pip failed to install the wheels:\n{done.stdout}{done.stderr}")


def _python_with_pip(folder: Path) -> str:
    """Return an interpreter that has pip: this one, or that of a new environment, since uv's environments have none."""
    if importlib.util.find_spec("pip"):
        return sys.executable
    try:
        venv.create(folder, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise PackageError(
            f"package: this Python has no pip, and an environment with pip could not be created: {error}"
        ) from None
    return str(folder / "bin" / "python")


def requirements_for_scf(requirements: str) -> str:
    """Return the locked requirements without the excluded packages. Raise PackageError for an environment marker.

    pip would evaluate a marker for the Python that runs pip, not for SCF's.
    """
    entries = re.split(r"^(?=[a-z])", requirements, flags=re.MULTILINE)
    kept = [entry for entry in entries if entry.partition("==")[0] not in LEFT_OUT]
    marked = [entry.partition("==")[0] for entry in kept if re.match(r"\S+ ;", entry)]
    if marked:
        raise PackageError(
            f"package: {', '.join(marked)} has an environment marker, and may not be for SCF's Python; see LEFT_OUT in "
            "signup_deploy/packaging/exclusions.py"
        )
    return "".join(kept)


def prune(folder: Path) -> int:
    """Delete the files in `PRUNES` and return their size in bytes. Raise PackageError if a pattern matches nothing."""
    before = _size(folder)
    for rule in PRUNES:
        for pattern in rule.patterns:
            paths = list(folder.glob(pattern))
            if not paths:
                raise PackageError(f"package: no file matches {pattern}; remove it from PRUNES")
            for path in paths:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()
    for metadata in folder.glob("*.dist-info/METADATA"):
        head, _, _ = metadata.read_text(encoding="utf-8").partition("\n\n")  # the rest is the package's README
        metadata.write_text(head + "\n", encoding="utf-8")
    return before - _size(folder)


def _compile(folder: Path, interpreter: str) -> None:
    """Compile bytecode that is not checked against its source, because unpacking changes the files' times."""
    command = [interpreter, "-s", "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    command += ["-s", str(folder), "-p", CODE_FOLDER, str(folder)]
    # String hashes determine the order of set constants in the bytecode.
    if subprocess.run(command, env={"PYTHONHASHSEED": "0"}, check=False).returncode:  # noqa: S603
        raise PackageError("package: a file could not be compiled; see the compiler's message above")


def _set_modes(folder: Path) -> None:
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() or path.name == "scf_bootstrap" else 0o644)
    folder.chmod(0o755)


def _zip(folder: Path, archive: Path) -> None:
    """Zip the content of the folder: sorted, with modes, without times and owners."""
    new = archive.with_suffix(".zip.new")
    with zipfile.ZipFile(new, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        for path in _files(folder):
            info = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _EPOCH)
            info.create_system = 3  # Unix, so that modes apply
            info.external_attr = (stat.S_IFREG | stat.S_IMODE(path.stat().st_mode)) << 16
            out.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED)
    new.replace(archive)


def _files(folder: Path) -> list[Path]:
    return sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.as_posix())


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in _files(folder))


def _mib(size: int) -> str:
    return f"{size / 2**20:.2f} MiB"


def _shown(path: Path) -> str:
    return os.path.relpath(path)
