#!/bin/bash
# PyPI cloudevents 2.2.0, `cloudevents.core.bindings.http.from_binary_event`: a `ce-` header that holds a quoted string
# keeps its quotes and backslashes. The HTTP binding 1.0.2 (3.1.3.2) says that a receiver MUST unescape a double-quoted
# string before it percent-decodes. So an id that one SDK writes in quotes is another id here, and an event that arrives
# in both spellings counts as two. A good guess: the CNCF's own SDK reads each spelling that the binding allows.
# Source: CloudEvents HTTP protocol binding 1.0.2, section 3.1.3.2; the package's `_decode_header_value`.
# Seen with CPython 3.11:
#   "signup 7" in quotes is read as '"signup 7"'
#   percent-encoded it is read as 'signup 7'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check cloudevents==2.2.0
cat > "$folder/seen.py" <<'PY'
from cloudevents.core.bindings.http import HTTPMessage, from_binary_event

def read(event_id):
    headers = {"ce-specversion": "1.0", "ce-type": "signup", "ce-source": "/s", "ce-id": event_id,
               "content-type": "application/json"}
    return from_binary_event(HTTPMessage(headers, b"{}")).get_id()

print('"signup 7" in quotes is read as', repr(read('"signup 7"')))
print("percent-encoded it is read as", repr(read("signup%207")))
PY
"$folder/venv/bin/python" "$folder/seen.py" | tee "$folder/seen"
diff "$folder/seen" - <<'SEEN'
"signup 7" in quotes is read as '"signup 7"'
percent-encoded it is read as 'signup 7'
SEEN
