"""SCF's Python runtime as far as an event function sees it; run by a Python 3.10 in the function's folder.

Each line that comes in is a JSON object with an event, a context and the environment's renewed names; each line that
goes out what ``main_handler`` returned, or that it raised.
"""

import json
import os
import sys
import traceback
from typing import Any

incoming, outgoing = os.fdopen(int(sys.argv[1])), os.fdopen(int(sys.argv[2]), "w")


def answer(message: "dict[str, Any]") -> "dict[str, Any]":
    os.environ.update(message["environ"])
    try:
        import index  # noqa: PLC0415  when the instance is asked for the first time

        return {"returned": json.loads(json.dumps(index.main_handler(message["event"], message["context"])))}
    except BaseException as error:  # noqa: BLE001  SystemExit, too: the platform tells of whatever is raised
        traceback.print_exc(file=sys.stdout)
        return {"raised": type(error).__name__, "message": str(error)}


for line in incoming:
    outgoing.write(json.dumps(answer(json.loads(line))) + "\n")
    outgoing.flush()
