#!/bin/bash
# PyPI tencentcloud-sdk-python-common 3.1.195 beside a product package (tencentcloud-sdk-python-scf 3.1.100): both own
# the file tencentcloud/__init__.py, and pip lets the later one overwrite it without a word. The version that the SDK
# names to the cloud is then the product package's, and after `pip uninstall` of the product package the file is gone:
# the common package is still listed, and has no version. A good guess: the packages share a namespace, and
# removing one leaves the other whole.
# Source: the RECORD files of both wheels.
# Seen with CPython 3.11:
#   common alone: 3.1.195
#   with the product package: 3.1.100
#   after the product package was removed: AttributeError
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/pip" --quiet --disable-pip-version-check "$@"; }
version() { "$folder/venv/bin/python" -c 'import tencentcloud; print(tencentcloud.__version__)' 2>&1 | tail -1 | sed 's/:.*//'; }
{
    pip install tencentcloud-sdk-python-common==3.1.195
    echo "common alone: $(version)"
    pip install --no-deps tencentcloud-sdk-python-scf==3.1.100
    echo "with the product package: $(version)"
    pip uninstall --yes tencentcloud-sdk-python-scf
    echo "after the product package was removed: $(version)"
} | tee "$folder/seen"
diff "$folder/seen" - <<'SEEN'
common alone: 3.1.195
with the product package: 3.1.100
after the product package was removed: AttributeError
SEEN
