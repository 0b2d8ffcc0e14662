"""Serve the naive peer, as the API's explorer generates it: a client per request, and status 500 for every failure."""

import json
import os

from flask import Flask, Response, request
from tencentcloud.common import credential
from tencentcloud.common.common_client import CommonClient
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

app = Flask(__name__)


@app.post("/")
def signup() -> Response:
    body = request.get_json()
    try:
        cred = credential.Credential(os.environ["TENCENT_SECRET_ID"], os.environ["TENCENT_SECRET_KEY"])
        http_profile = HttpProfile()
        http_profile.certification = os.environ.get("DOMAIN_API_CA_BUNDLE")
        http_profile.endpoint = os.environ["DOMAIN_API_URL"].partition("://")[2]
        client_profile = ClientProfile()
        client_profile.httpProfile = http_profile
        client = CommonClient("domain", "2018-08-08", cred, "", client_profile)
        params = {"Type": 1, "Code": body["contact"], "VerifyCode": body["verify_code"]}
        reply = client.call_json("CreateIntlPhoneEmail", params)
    except TencentCloudSDKException as error:
        return Response(str(error), 500)
    return Response(json.dumps(reply), content_type="application/json")


@app.get("/health")
def health() -> Response:
    return Response(json.dumps({"status": "ok"}))
