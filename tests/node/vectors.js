// Print the decision of the libraries from npm about each signature vector: accepted, refused, or another kind of error.
const { readFileSync } = require("node:fs");
const standard = require("standardwebhooks");
const svix = require("svix");

const joined = (pairs) => {
  const headers = {};
  for (const [name, value] of pairs) {
    const key = name.toLowerCase();
    headers[key] = key in headers ? `${headers[key]},${value.trim()}` : value.trim();
  }
  return headers;
};

const judge = ({ headers: pairs, secrets, body, body_base64: raw, now }) => {
  Date.now = () => now * 1000;
  const headers = joined(pairs);
  const { Webhook, WebhookVerificationError } = Object.keys(headers).some((name) => name.startsWith("svix-")) ? svix : standard;
  const told = secrets.map((secret) => {
    try {
      new Webhook(secret).verify(raw === undefined ? body : Buffer.from(raw, "base64"), headers);
      return "accepts";
    } catch (error) {
      // The library parses an accepted body as JSON, which a vector's body need not be.
      return error instanceof WebhookVerificationError ? "refuses" : error instanceof SyntaxError ? "accepts" : "fails";
    }
  });
  return told.includes("accepts") ? "accepts" : told.at(-1);
};

const vectors = JSON.parse(readFileSync(process.argv[2], "utf8")).filter((one) => one.scheme === "standard-webhooks");
console.log(JSON.stringify(Object.fromEntries(vectors.map((one) => [one.name, judge(one)]))));
