// A signup by the official SDK for Node, against `signup-bridge emulate`.
const { Client } = require("tencentcloud-sdk-nodejs-intl-en/tencentcloud/domain").v20180808;
const { ClientProfile, Credential, HttpProfile } = require("tencentcloud-sdk-nodejs-intl-en/tencentcloud/common");

const emulator = `127.0.0.1:${process.argv[2] || 9010}`;
const credential = new Credential("AKIDSignupBridgeEmulatorDemo00000000", "demo-key-that-opens-nothing-00000");
const profile = new ClientProfile("TC3-HMAC-SHA256", new HttpProfile("http://", emulator));
const client = new Client(credential, "", profile);

const call = (action, request) =>
  new Promise((resolve, reject) => {
    client[action].call(client, request, (error, reply) => {
      if (error) reject(error);
      else if (!reply.RequestId) reject(new Error("The response has no RequestId: the outcome is unknown."));
      else resolve(reply);
    });
  });
const refusal = ({ code, message, requestId }) => ({ code, message, requestId });

async function main() {
  const contact = { Type: 2, Code: "jo@example.com" };
  const sent = await call("SendIntlPhoneEmailCode", contact);
  const [{ code }] = await (await fetch(`http://${emulator}/emulator/codes`)).json();

  const other = code === "000000" ? "111111" : "000000";
  const wrong = await call("CreateIntlPhoneEmail", { ...contact, VerifyCode: other }).catch(refusal);
  const verified = await call("CreateIntlPhoneEmail", { ...contact, VerifyCode: code });
  const again = await call("CreateIntlPhoneEmail", { ...contact, VerifyCode: code }).catch(refusal);
  const listed = await call("DescribeIntlPhoneEmailList", { Type: 2 });
  const removed = await call("DeleteIntlPhoneEmail", contact);
  console.log(JSON.stringify({ sent, wrong, verified, again, listed, removed }, null, 2));
}

main();
