"""Test the zip: its content, its size, and that every build of it is identical."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from signup_deploy.packaging import package
from signup_deploy.packaging.package import Package, PackageError, build
from signup_toolkit import python310
from tests.support import ROOT
from tests.support.emulator.command import IMPORTS

MIB = 2**20


@pytest.mark.usefixtures("python3_10")
def test_package_is_small_and_precompiled(built: Package) -> None:
    assert built.zipped == built.archive.stat().st_size < 4 * MIB
    assert built.unpacked < 10 * MIB
    assert built.precompiled


def test_scf_bootstrap_is_executable_with_lf(built: Package) -> None:
    bootstrap = built.folder / "scf_bootstrap"
    data = bootstrap.read_bytes()
    assert bootstrap.stat().st_mode & 0o777 == 0o755
    assert data.startswith(b"#!/bin/bash\n")
    assert b"\r" not in data
    with zipfile.ZipFile(built.archive) as archive:
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
    assert modes["scf_bootstrap"] == 0o100755
    assert {mode for name, mode in modes.items() if name != "scf_bootstrap"} == {0o100644}


def test_zip_equals_folder(built: Package) -> None:
    with zipfile.ZipFile(built.archive) as archive:
        zipped = {name: archive.read(name) for name in archive.namelist()}
    files = {p.relative_to(built.folder).as_posix(): p.read_bytes() for p in built.folder.rglob("*") if p.is_file()}
    assert zipped == files
    ours = {p.relative_to(ROOT / "function").as_posix() for p in (ROOT / "function").rglob("*") if p.is_file()}
    assert {name for name in ours if "__pycache__" not in name} < set(zipped)
    assert not {name.split("/")[0] for name in zipped} & {
        "bin",
        "boto3",
        "pytest",
        "async_timeout",
        "signup_emulator",
        "tests",
    }
    assert not [name for name in zipped if name.endswith((".pyi", ".c", ".egg", ".dist-info/RECORD"))]


def test_wheels_are_for_scf_on_any_machine(built: Package) -> None:
    compiled = {path.name for path in built.folder.rglob("*.so")}
    assert compiled
    assert {re.sub(r"^\w+\.", "", name) for name in compiled} == {"cpython-310-x86_64-linux-gnu.so"}


def test_package_keeps_versions_and_licences(built: Package) -> None:
    licensed = set()
    for folder in built.folder.glob("*.dist-info"):
        names = {path.name for path in folder.rglob("*") if path.is_file()}
        assert "METADATA" in names
        if [name for name in names if name.upper().startswith("LICENSE")]:
            licensed.add(folder.name.partition("-")[0])
    assert {"flask", "werkzeug", "gunicorn", "requests", "urllib3", "certifi"} < licensed


@pytest.mark.usefixtures("python3_10")
def test_every_module_has_unchecked_bytecode(built: Package) -> None:
    for source in built.folder.rglob("*.py"):
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-310.pyc"
        data = compiled.read_bytes()
        assert data[4:8] == b"\x01\x00\x00\x00", f"{source}: hash-based, unchecked (PEP 552)"
        assert f"/var/user/{source.relative_to(built.folder)}".encode() in data
        assert str(ROOT).encode() not in data


@pytest.mark.toolchain
def test_package_is_reproducible_on_other_path_and_day(built: Package, tmp_path: Path) -> None:
    copy = tmp_path / "another place"
    for name in ("function", "signup_deploy", "signup_toolkit"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "requirements.txt", copy)
    past = time.time() - 40 * 86_400
    for path in copy.rglob("*"):
        path.chmod(0o700)
        os.utime(path, (past, past))
    command = [sys.executable, "-m", "signup_bridge", "package"]
    environ = os.environ | {"PYTHONPATH": f"{copy / 'function'}:{copy}"}
    done = subprocess.run(command, cwd=copy, env=environ, capture_output=True, text=True, umask=0o077, check=False)
    assert done.returncode == 0, done.stderr
    assert (copy / "build" / "function.zip").read_bytes() == built.archive.read_bytes()
    assert f"build/function.zip {built.zipped / MIB:.2f} MiB" in done.stdout
    assert sorted(os.listdir(copy / "build")) == ["function", "function.zip"]


def test_find_without_python_3_10_returns_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = tmp_path / "python3.10"
    failing.write_text("#!/bin/sh\nexit 1\n")
    failing.chmod(0o755)
    monkeypatch.setattr(sys, "executable", f"{tmp_path}/missing")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert python310.find() is None


@pytest.mark.toolchain
def test_build_without_python_3_10_has_no_bytecode_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(python310, "find", lambda: None)
    lines: list[str] = []
    done = build(tmp_path / "build", report=lines.append)
    assert not done.precompiled
    assert not list(done.folder.rglob("*.pyc"))
    assert any(line.startswith("!!! Built without bytecode, because this machine has no Python 3.10") for line in lines)


def test_files_that_are_not_code_are_skipped_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    function = tmp_path / "function"
    (function / "signup_bridge" / "notes").mkdir(parents=True)
    code = {"scf_bootstrap", "index.py", "signup_bridge/app.py", "signup_bridge/ledger.lua"}
    strange = [".DS_Store", ".env", "signup_bridge/app.py.orig", "signup_bridge/notes/todo.txt"]
    for name in [*code, *strange]:
        (function / name).write_text("SECRET=1")
    assert package.copy_code(function, tmp_path / "copy") == [function / name for name in strange]
    copied = {
        path.relative_to(tmp_path / "copy").as_posix() for path in (tmp_path / "copy").rglob("*") if path.is_file()
    }
    assert copied == code


@pytest.mark.parametrize("name", ["scf_bootstrap", "signup_bridge/ledger/redis/claim.lua", "signup_bridge/app.py"])
def test_windows_line_endings_are_rejected(tmp_path: Path, name: str) -> None:
    function = tmp_path / "function"
    shutil.copytree(ROOT / "function", function, ignore=shutil.ignore_patterns("__pycache__"))
    file = function / name
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    target = tmp_path / "build"
    with pytest.raises(PackageError) as raised:
        build(target, function=function, report=lambda _: None)
    shown = os.path.relpath(file)
    assert str(raised.value) == (
        f"package: {shown} must have LF line endings, but has CRLF; convert with `sed -i 's/\\r$//' {shown}`, "
        "and run the command again"
    )
    assert not target.exists()
    subprocess.run(["sed", "-i", r"s/\r$//", str(file)], check=True)
    package.check_line_endings(function)


def test_git_checkout_has_lf_with_autocrlf(tmp_path: Path) -> None:
    """Git's installer for Windows sets autocrlf, which writes CRLF."""
    isolated = os.environ | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}

    def git(*arguments: str) -> None:
        author = ("-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "core.autocrlf=true")
        subprocess.run(["git", *author, *arguments], env=isolated, capture_output=True, check=True)

    origin, clone = tmp_path / "origin", tmp_path / "clone"
    shutil.copytree(ROOT / "function", origin / "function", ignore=shutil.ignore_patterns("__pycache__"))
    for name in (".gitattributes", "requirements.txt", "serverless.yml", "Makefile"):
        shutil.copy(ROOT / name, origin)
    (origin / "page.bin").write_bytes(b"\0\r\n")
    git("init", "-q", str(origin))
    git("-C", str(origin), "add", "-A")
    git("-C", str(origin), "commit", "-q", "-m", "all")
    git("clone", "-q", str(origin), str(clone))
    cloned = {path.relative_to(clone): path.read_bytes() for path in clone.rglob("*") if path.is_file()}
    assert Path("function/scf_bootstrap") in cloned
    for path, data in cloned.items():
        if ".git" not in path.parts:
            assert data == (origin / path).read_bytes(), path
    package.check_line_endings(clone / "function")


def test_failed_build_keeps_previous_package(tmp_path: Path) -> None:
    target = tmp_path / "build"
    (target / "function").mkdir(parents=True)
    (target / "function.zip").touch()
    environ = os.environ | IMPORTS | {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
    program = f"import pathlib; from signup_deploy.packaging.package import build; build(pathlib.Path({str(target)!r}))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "PackageError: package: pip failed to install the wheels:\n" in done.stderr
    assert "No matching distribution found" in done.stderr
    assert sorted(os.listdir(target)) == ["function", "function.zip"]


def test_locked_package_with_unknown_marker_is_rejected() -> None:
    lock = "# made\npyyaml==6.0.3 ; python_full_version < '3.11.3' \\\n    --hash=x\nflask==3 \\\n    --hash=y\n"
    assert package.requirements_for_scf(lock) == "# made\nflask==3 \\\n    --hash=y\n"
    with pytest.raises(PackageError, match="colorama has an environment marker"):
        package.requirements_for_scf(lock + "colorama==1 ; sys_platform == 'win32' \\\n    --hash=z\n")


def test_prune_rule_without_match_raises(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="no file matches bin"):
        package.prune(tmp_path)
