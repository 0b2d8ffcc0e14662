#!/bin/bash
# PyPI openapi-python-client 0.29.1: an operation whose request body has two JSON media types, and that has no optional
# parameter, becomes a module that names `Unset` without importing it, so that importing it raises NameError. With one
# media type, or with an optional header beside, the module is right. The generator prints no warning and exits with 0.
# A good guess: a description that the generator takes gives a package that can be imported. Two media types are what
# a webhook that also reads CloudEvents describes (application/json, application/cloudevents+json).
# Source: the generated module; the generator's endpoint template.
# Seen with CPython 3.11:
#   one media type: imported
#   two media types: NameError
#   two media types and an optional header: imported
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check openapi-python-client==0.29.1
cat > "$folder/describe.py" <<'PY'
import json
import sys

media, optional, target = int(sys.argv[1]), sys.argv[2] == "optional", sys.argv[3]
body = {"type": "object", "properties": {"contact": {"type": "string"}}, "required": ["contact"]}
kinds = ["application/json", "application/cloudevents+json"][:media]
operation = {
    "operationId": "signup",
    "requestBody": {"required": True, "content": {kind: {"schema": {"$ref": "#/components/schemas/Body"}} for kind in kinds}},
    "responses": {"204": {"description": "done"}},
}
if optional:
    operation["parameters"] = [{"name": "traceparent", "in": "header", "schema": {"type": "string"}}]
document = {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {"/": {"post": operation}},
            "components": {"schemas": {"Body": body}}}
json.dump(document, open(target, "w"))
PY
PATH="$folder/venv/bin:$PATH"
case_of() {
    python "$folder/describe.py" "$2" "$3" "$folder/openapi.json"
    openapi-python-client generate --path "$folder/openapi.json" --output-path "$folder/client$2$3" \
        --config <(echo "package_name_override: client"; echo "content_type_overrides: {application/cloudevents+json: application/json}") >/dev/null 2>&1
    if (cd "$folder/client$2$3" && python -c 'import client.api.default.signup') 2>"$folder/error"; then echo "$1: imported"
    else echo "$1: $(tail -1 "$folder/error" | sed 's/:.*//')"; fi
}
{
    case_of "one media type" 1 none
    case_of "two media types" 2 none
    case_of "two media types and an optional header" 2 optional
} | tee "$folder/seen"
diff "$folder/seen" - <<'SEEN'
one media type: imported
two media types: NameError
two media types and an optional header: imported
SEEN
