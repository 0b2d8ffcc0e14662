"""Emulate SCF's Python runtime for an event function. A Python 3.10 runs this in the function's folder.

It writes a line when the code is loaded. Each input line is a JSON object with an event, a context and environment
variables; each output line has what ``main_handler`` returned or raised.
"""

import json
import os
import sys
import traceback

incoming, outgoing = os.fdopen(int(sys.argv[1])), os.fdopen(int(sys.argv[2]), "w")


def failure(error: BaseException) -> "dict[str, str]":
    traceback.print_exc(file=sys.stdout)
    return {"raised": type(error).__name__, "message": str(error)}


def write(document: object) -> None:
    outgoing.write(json.dumps(document) + "\n")
    outgoing.flush()


# SystemExit too: the platform reports every exception.
try:
    import index
except BaseException as error:  # noqa: BLE001
    write(failure(error))
    sys.exit(1)
write({})
for line in incoming:
    message = json.loads(line)
    os.environ.update(message["environ"])
    try:
        result = {"returned": json.loads(json.dumps(index.main_handler(message["event"], message["context"])))}
    except BaseException as error:  # noqa: BLE001
        result = failure(error)
    write(result)
