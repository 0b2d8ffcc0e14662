"""Store the state of `run` in a folder: the bridge's ledger and the emulator's state."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from .server import Emulator


class State:
    """The state folder. Entering it locks the folder and, without ``keep``, deletes the state of the last run."""

    def __init__(self, folder: Path, *, keep: bool) -> None:
        self._keep = keep
        self._folder = folder.resolve()
        self._file = self._folder / "emulator.json"
        self._ledger = self._folder / "ledger.db"

    def __enter__(self) -> State:  # noqa: PYI034  Self came with Python 3.11
        """Lock the folder. Raises OSError if another run uses it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self._folder / "lock").open("w")  # not deleted on exit: the next run must lock the same file
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise OSError(
                f"{self._folder} is in use by another `run`; stop that one, or set --state to another folder"
            ) from None
        if not self._keep:
            for file in (self._file, *self._folder.glob(f"{self._ledger.name}*")):
                file.unlink(missing_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.close()

    @property
    def ledger_url(self) -> str:
        return f"sqlite:///{quote(str(self._ledger))}"

    def restore(self, emulator: Emulator) -> None:
        """Load the saved state. Raises OSError if the file is not valid."""
        if not self._file.exists():
            return
        try:
            emulator.restore(json.loads(self._file.read_text()))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise OSError(
                f"{self._file} is not a saved state of the emulator; delete it, or start without --keep (KEEP=1)"
            ) from error

    def save(self, emulator: Emulator) -> None:
        """Save the state with access for the owner only, because it contains contacts and codes."""
        new = self._file.with_suffix(".new")
        with open(new, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            json.dump(emulator.snapshot(), file)
        new.replace(self._file)

    def clear_ledger(self) -> None:
        """Empty the ledger, which the bridge may be using. Its key and version stay."""
        if not self._ledger.exists():
            return
        db = sqlite3.connect(self._ledger, timeout=10, isolation_level=None)
        try:
            tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            db.execute("BEGIN IMMEDIATE")
            for name in tables:
                if name != "meta":
                    db.execute(f'DELETE FROM "{name}"')  # noqa: S608  names of the file itself
            db.execute("COMMIT")
        finally:
            db.close()
