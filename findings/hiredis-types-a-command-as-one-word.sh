#!/bin/bash
# PyPI hiredis 3.5.0: the stub of `pack_command` declares its argument as a tuple of exactly one element, where a tuple of
# any length is meant. The function packs a command of several words, and a type checker rejects the same call; it accepts
# only commands such as PING. A good guess: a package that ships `py.typed` describes its own functions.
# Source: `hiredis/hiredis.pyi` (`Tuple[...]` without an ellipsis).
# Seen with CPython 3.11 and mypy 2.4.1:
#   packed: b'*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n'
#   mypy: incompatible type "tuple[str, str, str]"
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check hiredis==3.5.0 mypy==2.4.1
cat > "$folder/call.py" <<'PY'
import hiredis

print("packed:", hiredis.pack_command(("SET", "k", "v")))
PY
cd "$folder"
{
    venv/bin/python call.py
    (venv/bin/mypy --strict call.py || true) | grep -o 'incompatible type "[^"]*"' | sed 's/^/mypy: /'
} | tee seen
diff seen - <<'SEEN'
packed: b'*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nv\r\n'
mypy: incompatible type "tuple[str, str, str]"
SEEN
