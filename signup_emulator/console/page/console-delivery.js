// The content of an open row: the actions and the steps of a delivery.

import { api, button, byId, clock, copy, el, milliseconds, pretty } from "./console-dom.js";
import { badges, signatureWords } from "./console-words.js";

const AGAIN = [
  ["fresh", "Redeliver", "Send it again with the same id, signed now"],
  ["stale", "Redeliver stale", "Send it again with the same id and an old timestamp"],
  ["tampered", "Redeliver tampered", "Send it again with one byte changed after signing"],
];

/** The buttons, and the result of the last one. */
export function toolbar(delivery, open) {
  if (delivery.via === "bridge") return el("div");
  const path = `/emulator/deliveries/${delivery.number}`;
  const said = el("p", { className: "said", role: "status" });
  const tell = (...words) => said.replaceChildren(...words);
  const redeliver = (as) => async () => {
    tell("Sending…");
    try {
      const sent = await api("POST", `${path}/redeliver`, { as });
      tell(...badges(sent), " ", button(`See delivery ${sent.number}`, () => open(sent.number), "link"));
    } catch (error) {
      tell(error.message);
    }
  };
  const curl = button("Copy as curl", async () => {
    try {
      await copy(await api("GET", `${path}/curl`), curl);
    } catch (error) {
      tell(error.message);
    }
  });
  const buttons = AGAIN.map(([as, words, title]) => Object.assign(button(words, redeliver(as)), { title }));
  return el("div", { className: "tools" }, el("div", { className: "buttons" }, ...buttons, curl), said);
}

/** The steps of a delivery, from the request to the response. */
export function detail(delivery, open) {
  return [
    facts(delivery, open),
    times(delivery),
    ...(delivery.request ? [request(delivery), signature(delivery)] : [direct(delivery)]),
    ...calls(delivery),
    response(delivery),
    delivery.log && el("details", {}, el("summary", {}, "The bridge’s log line"), code(JSON.stringify(delivery.log))),
  ].filter(Boolean);
}

function step(title, ...children) {
  return el("section", { className: "step" }, el("h4", {}, title), ...children);
}

const part = (caption, text) => el("div", {}, el("p", { className: "caption muted" }, caption), text);
const code = (text) => el("pre", { className: "mono" }, pretty(text));
const header = ([name, value]) => el("span", {}, el("span", { className: "muted" }, `${name}: `), value, "\n");
const headersOf = (headers) => part("Headers", el("pre", { className: "mono headers" }, ...headers.map(header)));
const none = (words) => el("p", { className: "muted" }, words);
const body = (text) => part("Body", text ? code(text) : none("None."));
const pair = (...parts) => el("div", { className: "pair" }, ...parts);

function facts(delivery, open) {
  const vias = { console: "sent by this console", proxy: "posted to the emulator", bridge: "posted directly to the bridge" };
  return el(
    "p",
    { className: "muted line" },
    `Delivery ${delivery.number}, ${vias[delivery.via]} at ${clock(delivery.at)}`,
    delivery.delivery_id && el("span", {}, ", id ", el("span", { className: "mono" }, delivery.delivery_id)),
    delivery.repeats !== null && el("span", {}, ", repeat of ", button(`delivery ${delivery.repeats}`, () => open(delivery.repeats), "link")),
    delivery.message && el("span", {}, `. Text for the person: “${delivery.message}”`),
  );
}

function direct() {
  return step(
    "Request",
    el("p", {}, "Posted directly to the bridge, so only its log line is known. To record the whole request, post to ",
      el("code", {}, `${location.origin}/webhooks/signup`), "."),
  );
}

function request({ request: { method, path, headers, body: text } }) {
  return step(["Request ", method, " ", path].join(""), pair(headersOf(headers), body(text)));
}

function signature(delivery) {
  const valid = delivery.signature?.valid;
  const tone = valid ? "yes" : valid === false ? "no" : "wait";
  return step("Signature", el("p", { className: "tone", data: { tone } }, signatureWords(delivery)));
}

/** A bar that divides the duration: wait for a slot, API calls, and the rest. */
function times({ duration_ms: total, wait_ms: wait, upstream_ms: upstream }) {
  if (total === null) return step("Time", none("In progress."));
  const parts = [
    ["wait", "waiting for a slot", wait ?? 0],
    ["upstream", "in API calls", upstream ?? 0],
    ["rest", "in the bridge", Math.max(0, total - (wait ?? 0) - (upstream ?? 0))],
  ];
  const bar = el("div", { className: "bar", aria: { hidden: "true" } });
  for (const [name, , time] of parts) {
    const part = el("span", { className: name });
    part.style.flexGrow = time;
    bar.append(part);
  }
  const words = parts.map(([name, what, time]) => el("li", { className: name }, `${milliseconds(time)} ${what}`));
  return step(`Time ${milliseconds(total)}`, bar, el("ul", { className: "plain legend" }, ...words));
}

function calls(delivery) {
  if (!delivery.calls.length) {
    const why = delivery.replayed ? "None. The stored response was returned." : "None.";
    return [step("API call", none(why))];
  }
  return delivery.calls.map((call) => {
    const fault = call.fault ? el("p", { className: "tone", data: { tone: "later" } }, `Fault: ${call.fault}`) : null;
    return step(
      `API call ${call.action}`,
      fault,
      el("p", { className: "muted" }, `${call.result} in ${milliseconds(call.duration_ms)}`),
      pair(
        part("Parameters", code(JSON.stringify(call.request))),
        part("Reply", call.reply === null ? none("None.") : code(call.reply)),
      ),
    );
  });
}

function response({ response: received, error, status, state }) {
  if (received) {
    const { reason, headers } = received;
    return step(`Response ${received.status} ${reason}`, pair(headersOf(headers), body(received.body)));
  }
  if (error) return step("Response", el("p", { className: "tone", data: { tone: "no" } }, error));
  if (state === "working") return step("Response", none("In progress."));
  return step(`Response ${status ?? ""}`, none("Not recorded."));
}
