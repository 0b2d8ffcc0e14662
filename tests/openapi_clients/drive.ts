// Use the types that openapi-typescript generates: `node drive.js URL` prints the responses.
import createClient, { type Middleware } from "openapi-fetch";
import { Webhook } from "standardwebhooks";
import type { components, paths } from "./bridge.js";

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const phone: components["schemas"]["PhoneDelivery"] = { type: "phone", contact: "18766554433", verify_code: "123456" };

const sign: Middleware = {
  async onRequest({ request }) {
    const id = request.headers.get("webhook-id") ?? `msg_${crypto.randomUUID()}`;
    const now = new Date();
    request.headers.set("webhook-id", id);
    request.headers.set("webhook-timestamp", String(Math.floor(now.getTime() / 1000)));
    request.headers.set("webhook-signature", new Webhook(secret).sign(id, now, await request.clone().text()));
    return request;
  },
};

const client = createClient<paths>({ baseUrl: process.argv[2] });
client.use(sign);

const sent = await client.POST("/webhooks/code", { body: { Type: 2, Code: "jo@example.com" } });
const wrong = await client.POST("/webhooks/signup", { body: { ...phone, verify_code: "000000" } });
const known = { headers: { "webhook-id": "msg_1" } };
const verified = await client.POST("/webhooks/signup", { body: phone, ...known });
const listed = await client.POST("/", { body: phone });
const delivered = await client.GET("/deliveries/{id}", { params: { path: { id: "msg_1" } } });
const ready = await client.GET("/ready");

// The compiler checks the members, and the codes that each status can have.
const wait: number | undefined = sent.data?.resend_after;
const code: "verified" | undefined = verified.data?.code;
const masked: string | undefined = verified.data?.contact;
if (wrong.error !== undefined && wrong.error.code === "code-incorrect") {
  const again: boolean = wrong.error.retryable;
  console.log(
    JSON.stringify({
      sent: [sent.response.status, wait],
      wrong: [wrong.response.status, wrong.error.code, again],
      verified: [verified.response.status, code, masked],
      listed: [listed.response.status, listed.error?.code],
      delivered: [delivered.response.status, delivered.data],
      ready: [ready.response.status, ready.data?.ledger.engine],
    }),
  );
}
