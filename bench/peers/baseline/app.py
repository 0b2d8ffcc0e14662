"""Serve the baseline: the minimum with Flask, gunicorn and the SDK, without signatures, checks, ledger or log."""

import os

from flask import Flask, Response, jsonify, request
from requests.adapters import HTTPAdapter
from tencentcloud.common import credential
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

scheme, _, endpoint = os.environ["DOMAIN_API_URL"].partition("://")
key = credential.Credential(os.environ["TENCENT_SECRET_ID"], os.environ["TENCENT_SECRET_KEY"])
trusted = os.environ.get("DOMAIN_API_CA_BUNDLE")
http = HttpProfile(protocol=scheme, endpoint=endpoint, keepAlive=True, certification=trusted)
profile = ClientProfile(httpProfile=http)
client = CommonClient("domain", "2018-08-08", key, "", profile)
# The SDK keeps ten connections, so that some of sixteen threads would open new ones.
kept = HTTPAdapter(pool_maxsize=int(os.environ.get("KEPT_CONNECTIONS", "16")))
client.request.conn._session.mount(scheme + "://", kept)  # noqa: SLF001  the SDK has no public way
app = Flask(__name__)


@app.post("/")
def signup() -> Response:
    body = request.get_json()
    parameters = {"Type": 1, "Code": body["contact"], "VerifyCode": body["verify_code"]}
    return jsonify(client.call_json("CreateIntlPhoneEmail", parameters))


@app.get("/health")
def health() -> Response:
    return jsonify(status="ok")
