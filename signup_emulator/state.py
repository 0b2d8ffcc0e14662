"""What `run` leaves in its folder: the bridge's ledger, and what the emulator knew when it stopped."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from .server import Emulator


class State:
    """The folder. Without ``keep`` nothing of the last time is known again."""

    def __init__(self, folder: Path, *, keep: bool) -> None:
        self._folder = folder.resolve()
        self._file = self._folder / "emulator.json"
        self._ledger = self._folder / "ledger.db"
        self._folder.mkdir(parents=True, exist_ok=True)
        if not keep:
            self._file.unlink(missing_ok=True)
            for file in self._folder.glob(f"{self._ledger.name}*"):
                file.unlink(missing_ok=True)  # another run in this folder may remove them, too

    @property
    def ledger_url(self) -> str:
        return f"sqlite:///{quote(str(self._ledger))}"

    def restore(self, emulator: Emulator) -> None:
        """Know again what is there. Raises OSError when it is not the emulator's."""
        if not self._file.exists():
            return
        try:
            emulator.restore(json.loads(self._file.read_text()))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise OSError(f"{self._file} is not the emulator's; remove it, or start without KEEP=1") from error

    def save(self, emulator: Emulator) -> None:
        """Write down what is known, for its owner alone: contacts and codes are in it."""
        new = self._file.with_suffix(".new")
        with open(new, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            json.dump(emulator.snapshot(), file)
        new.replace(self._file)

    def forget_deliveries(self) -> None:
        """Empty the ledger, of which the bridge may be at work; its key and version stay."""
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
