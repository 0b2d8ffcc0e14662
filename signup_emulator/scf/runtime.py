"""SCF's Python runtime as far as an event function sees it; run by a Python 3.10 in the function's folder.

It tells when the code is loaded. Then each line that comes in is a JSON object with an event, a context and the
environment's renewed names; each line that goes out what ``main_handler`` returned, or that it raised.
"""

import json
import os
import sys
import traceback

incoming, outgoing = os.fdopen(int(sys.argv[1])), os.fdopen(int(sys.argv[2]), "w")


def failure(error: BaseException) -> "dict[str, str]":
    traceback.print_exc(file=sys.stdout)
    return {"raised": type(error).__name__, "message": str(error)}


def tell(what: object) -> None:
    outgoing.write(json.dumps(what) + "\n")
    outgoing.flush()


# SystemExit, too: the platform tells of whatever is raised.
try:
    import index
except BaseException as error:  # noqa: BLE001
    tell(failure(error))
    sys.exit(1)
tell({})
for line in incoming:
    message = json.loads(line)
    os.environ.update(message["environ"])
    try:
        answer = {"returned": json.loads(json.dumps(index.main_handler(message["event"], message["context"])))}
    except BaseException as error:  # noqa: BLE001
        answer = failure(error)
    tell(answer)
