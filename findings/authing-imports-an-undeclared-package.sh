#!/bin/bash
# PyPI authing 5.1.0 (Authing's own SDK for Python): `import authing` fails in an environment that pip has just made for
# it. `authing/utils/wss.py`, which the package imports at once, needs `websockets`; the package's metadata requires
# `requests` and `pyjwt` only. A good guess: a vendor's SDK can be imported once it is installed.
# Source: the package's metadata (`Requires-Dist`) and `authing/utils/wss.py`.
# Seen with CPython 3.11:
#   declared: requests, pyjwt
#   import authing: No module named 'websockets'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check authing==5.1.0
cat > "$folder/seen.py" <<'PY'
from importlib.metadata import requires

print("declared:", ", ".join(requires("authing") or ()))
try:
    import authing
except ModuleNotFoundError as error:
    print("import authing:", error)
else:
    print("import authing: it works,", authing.__name__)
PY
"$folder/venv/bin/python" "$folder/seen.py" | tee "$folder/seen"
diff "$folder/seen" - <<'SEEN'
declared: requests, pyjwt
import authing: No module named 'websockets'
SEEN
