"""Test the command `signup-bridge`: its help, its exit statuses, and commands whose packages are not installed."""

from __future__ import annotations

import ast
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from signup_bridge import __version__
from signup_bridge.cli import installation, main
from signup_bridge.cli.main import COMMANDS

from signup_emulator.server import Emulator
from tests.support import ROOT
from tests.support.bridge.serving import serving
from tests.support.emulator.command import COMMAND, IMPORTS

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def run(*arguments: str, cwd: Path = ROOT, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        env=os.environ | IMPORTS,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=150,
        check=False,
    )


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--version"])
    assert (raised.value.code, capsys.readouterr().out) == (0, f"signup-bridge {__version__}\n")


def test_module_runs_the_command() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"signup-bridge {__version__}\n", "")


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(["--help"])
    printed = capsys.readouterr().out
    assert raised.value.code == 0
    assert [name for name in COMMANDS if f"\n    {name}" not in printed] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_describes_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main([name, "--help"])
    usage, description, *_ = capsys.readouterr().out.split("\n\n")
    assert raised.value.code == 0
    assert f" {name} " in usage
    assert len(description.split()) > 5


@pytest.mark.parametrize("arguments", [[], ["--port", "run"], ["verify"], ["serve", "--port", "1"], ["--"]])
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert raised.value.code == 2
    assert capsys.readouterr().err.startswith("usage: ")


def test_exit_status_is_that_of_the_command(emulator: Emulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["codes", "--json", "--emulator", emulator.url]) == 0
    assert json.loads(capsys.readouterr().out) == []


def test_interrupted_command_exits_with_130() -> None:
    """The command waits for a response when Ctrl-C arrives."""

    def interrupt(_environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        signal.raise_signal(signal.SIGINT)
        start_response("200 OK", [])
        return [b""]

    with serving(interrupt) as server:
        assert main(["send", "--sender", "none", "--url", f"http://127.0.0.1:{server.server_port}/"]) == 130


def test_reader_that_ends_first_is_no_traceback(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run("deploy", "--init", cwd=tmp_path, stdout=writing)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def imported_by(*arguments: str) -> set[str]:
    """Return the modules that the command imports."""
    program = (
        "import sys; from signup_bridge.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | IMPORTS, capture_output=True, text=True, timeout=150, check=True
    )
    return set(done.stderr.split())


def test_only_the_chosen_command_is_imported() -> None:
    assert {"flask", "requests", "signup_emulator", "signup_deploy", "yaml"}.isdisjoint(imported_by("serve", "--help"))
    assert "signup_deploy" not in imported_by("codes", "--help")


def test_application_does_not_import_the_command_line() -> None:
    program = "import sys, signup_bridge.app, signup_bridge.events.handler; print(*sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | IMPORTS, capture_output=True, text=True, timeout=150, check=True
    )
    assert "signup_bridge.app" in done.stdout.split()
    assert "signup_bridge.cli" not in done.stdout.split()
    assert "argparse" not in done.stdout.split()


@pytest.mark.parametrize(("name", "package"), [("run", "signup_emulator"), ("deploy", "signup_deploy")])
def test_command_outside_the_zip_names_the_missing_package(name: str, package: str) -> None:
    """`PYTHONPATH` has only the function, like the unpacked zip."""
    done = subprocess.run(
        [*COMMAND, name],
        cwd=ROOT / "function",
        env=os.environ | {"PYTHONPATH": "", "PYTHONSAFEPATH": ""},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"signup-bridge {name}: requires the package {package}, which is not installed;")


def test_missing_dependency_of_a_command_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("signup_deploy.cli", "signup_deploy.packaging.package"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, "signup_deploy.packaging.package", None)
    with pytest.raises(ModuleNotFoundError, match=r"signup_deploy\.packaging\.package"):
        main(["package"])


def test_file_that_is_missing_is_an_error_of_the_installation() -> None:
    assert installation.data_file("gunicorn.conf.py") == ROOT / "function" / "gunicorn.conf.py"
    assert installation.data_file("serverless.yml") == ROOT / "serverless.yml"
    with pytest.raises(FileNotFoundError, match=r"nothing\.txt is missing from the installation of signup-bridge"):
        installation.data_file("nothing.txt")


def test_words_of_the_command_are_those_that_a_shell_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "signup-bridge"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(program), "run"])
    assert installation.command_words() == [str(program)]
    monkeypatch.chdir(tmp_path)
    assert installation.command_words() == ["bin/signup-bridge"]
    monkeypatch.setenv("PATH", str(program.parent))
    assert installation.command_words() == ["signup-bridge"]
    monkeypatch.setattr(sys, "argv", [f"{tmp_path}/signup_bridge/__main__.py"])
    monkeypatch.setattr(sys, "executable", f"{tmp_path}/.venv/bin/python")
    assert installation.command_words() == [".venv/bin/python", "-m", "signup_bridge"]
    assert installation.command_line("codes", "--send", "a b") == (
        ".venv/bin/python -m signup_bridge codes --send 'a b'"
    )


PACKAGES = ("function/signup_bridge", "signup_emulator", "signup_deploy", "signup_toolkit")


@pytest.mark.parametrize("package", PACKAGES)
def test_no_hint_spells_the_command_itself(package: str) -> None:
    """Users copy hints. `command_line` writes the command in the form in which it was started."""
    hint = re.compile(rf"signup-bridge ({'|'.join(COMMANDS)})\b")
    spelled = []
    for path in (ROOT / package).rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        documentation = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        constants = [node for node in nodes if isinstance(node, ast.Constant) and id(node) not in documentation]
        texts = [node.value for node in constants if isinstance(node.value, str)]
        spelled += [f"{path.name}: {text}" for text in texts if hint.search(text)]
    assert spelled == []
