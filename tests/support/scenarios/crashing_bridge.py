"""Kill bridges at a given moment with SIGKILL. system/test_crash.py runs this program.

Each line of standard input is a JSON array: the settings, the moment (``before`` or ``after``, a method of the ledger,
the number of the call), the delivery's id and its code. The program forks a bridge for each line and prints its exit
status as the operating system reports it. Importing the bridge only once saves most of the time.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import Any

from signup_bridge import settings

from tests.support.bridge.instances import Bridge
from tests.support.bridge.signed_requests import body, signed


def fork(line: str) -> int:
    """Fork a process that handles a delivery until it is killed; return its status."""
    environ, *arguments = json.loads(line)
    child = os.fork()
    if not child:
        try:
            os.environ |= environ
            die(*arguments)
        finally:
            os._exit(1)  # the process was not killed
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die(when: str, verb: str, time: str, delivery_id: str, code: str) -> None:
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
    for request in sys.stdin:
        sys.stdout.write(f"{fork(request)}\n")
        sys.stdout.flush()
