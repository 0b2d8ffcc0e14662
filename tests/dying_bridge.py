"""A bridge that is killed at a given moment of its work, as `kill -9` would: run as a program by test_crash.py.

Its arguments are the moment (``before`` or ``after``, a verb of the ledger, the how manieth time), the delivery's id
and its code; its settings are the environment's.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from bridge import settings
from builders import Bridge, body, signed


def main(when: str, verb: str, time: str, delivery_id: str, code: str) -> None:
    instance = Bridge(settings.load(os.environ))
    ledger = instance.app.extensions["ledger"]
    does = getattr(ledger, verb)
    left = int(time)

    def dies(*of: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        if not left and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        done = does(*of, **named)
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    setattr(ledger, verb, dies)
    data = body(verify_code=code)
    instance.post(data, signed(data, delivery_id=delivery_id))


if __name__ == "__main__":
    main(*sys.argv[1:])
