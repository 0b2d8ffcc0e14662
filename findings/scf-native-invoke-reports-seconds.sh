#!/bin/bash
# PyPI scf 0.2.8, Tencent Cloud's own command for SCF: `scf native invoke` hands the function a context whose
# `time_limit_in_ms` is the template's `Timeout` in seconds. On SCF the same member is milliseconds. A function that
# reads its remaining time from it believes that 9 s are 9 ms. A good guess: the unit is the one in the member's name.
# Source: SCF's documentation of the context object; the package's native runtime for Python.
# Needs a Python that still builds the package (3.10 here), chardet, and a MarkupSafe before 2.1.
# Seen with CPython 3.10, template with Timeout: 9:
#   {"time_limit_in_ms": 9}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.10 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check scf==0.2.8 chardet==5.2.0 markupsafe==2.0.1
mkdir "$folder/function"
cat > "$folder/function/index.py" <<'PY'
def main_handler(event, context):
    return {"time_limit_in_ms": context["time_limit_in_ms"]}
PY
cat > "$folder/template.yaml" <<'YAML'
Resources:
  default:
    Type: TencentCloud::Serverless::Namespace
    probe:
      Type: TencentCloud::Serverless::Function
      Properties:
        CodeUri: function
        Type: Event
        Handler: index.main_handler
        MemorySize: 128
        Runtime: Python3.6
        Timeout: 9
YAML
echo '{}' > "$folder/event.json"
cd "$folder"
HOME=$folder PATH=$folder/venv/bin:$PATH scf native invoke --template template.yaml --event event.json --quiet |
    grep -o '{.*}' | tee seen
diff seen - <<<'{"time_limit_in_ms": 9}'
