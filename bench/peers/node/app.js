// The baseline in Node: no signature, no check, no ledger, no log line.
const express = require("express");
const { Client } = require("tencentcloud-sdk-nodejs-intl-en/tencentcloud/domain").v20180808;
const { ClientProfile, Credential, HttpProfile } = require("tencentcloud-sdk-nodejs-intl-en/tencentcloud/common");

const { TENCENT_SECRET_ID, TENCENT_SECRET_KEY, DOMAIN_API_URL, HOST, PORT } = process.env;
const [scheme, endpoint] = DOMAIN_API_URL.split("://");
const credential = new Credential(TENCENT_SECRET_ID, TENCENT_SECRET_KEY);
const profile = new ClientProfile("TC3-HMAC-SHA256", new HttpProfile(`${scheme}://`, endpoint));
const client = new Client(credential, "", profile);

const app = express();
app.use(express.json());
app.post("/", ({ body }, response) => {
  const parameters = { Type: 1, Code: body.contact, VerifyCode: body.verify_code };
  client.CreateIntlPhoneEmail(parameters, (error, reply) => {
    if (error) response.status(500).json({ message: error.message });
    else response.json(reply);
  });
});
app.get("/health", (_request, response) => response.json({ status: "ok" }));
app.listen(Number(PORT), HOST);
