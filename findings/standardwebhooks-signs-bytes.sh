#!/bin/bash
# PyPI standardwebhooks 1.1.0 and svix 2.9.1: `Webhook.sign` takes a payload of type bytes, raises nothing, and signs the
# text that Python prints for it (b'...'), not its bytes. No receiver accepts the signature; `verify` of the same object
# does not either. Pass str to sign. A good guess: bytes are signed as they are, since webhooks are signed over bytes and
# verify takes both.
# Source: the packages' `Webhook.sign`, which puts the payload into an f-string.
# Seen with CPython 3.11:
#   standardwebhooks bytes signed as "b'{}'": True, verified: False
#   svix bytes signed as "b'{}'": True, verified: False
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check standardwebhooks==1.1.0 svix==2.9.1
cat > "$folder/seen.py" <<'PY'
import datetime
import importlib

now = datetime.datetime.now(datetime.timezone.utc)
for package in ("standardwebhooks", "svix.webhooks"):
    module = importlib.import_module(package)
    webhook = module.Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signature = webhook.sign("msg_1", now, b"{}")
    as_text = signature == webhook.sign("msg_1", now, "b'{}'")
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    try:
        webhook.verify(b"{}", headers)
        verified = True
    except module.WebhookVerificationError:
        verified = False
    print(f"{package.partition('.')[0]} bytes signed as \"b'{{}}'\": {as_text}, verified: {verified}")
PY
"$folder/venv/bin/python" "$folder/seen.py" | tee "$folder/seen"
diff "$folder/seen" - <<'SEEN'
standardwebhooks bytes signed as "b'{}'": True, verified: False
svix bytes signed as "b'{}'": True, verified: False
SEEN
