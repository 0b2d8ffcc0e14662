// The signup form: a contact, a code, and the text that a person would see.

import { announce, api, button, byId, el, milliseconds } from "./console-dom.js";
import { badges, tone } from "./console-words.js";

const SENDERS = {
  standard: "Standard Webhooks",
  svix: "Svix, Clerk",
  supabase: "Supabase",
  github: "GitHub",
  bearer: "a bearer token",
  none: "no signature",
};
const HINT = "The code arrives in the inbox below.";
const HINT_SENT = "Use the code that was sent, or enter a wrong one to see the rejection.";
const FIRST_CONTACT = 18766550001;

let codes = [];
let openDelivery = () => {};
let taken = new Set();
let sends = false;

export function start(open) {
  openDelivery = open;
  byId("send-form").addEventListener("submit", alone(send));
  byId("verify-form").addEventListener("submit", alone(verify));
  byId("contact").addEventListener("input", showStep);
  byId("use-newest").addEventListener("click", () => useCode(newest()));
}

/** Apply `GET /emulator/status`: the senders, and whether the bridge sends codes. */
export function showStatus(status) {
  sends = status.sends;
  const select = byId("sender");
  const chosen = select.value || status.sender;
  select.replaceChildren(...status.senders.map((name) => el("option", { value: name }, SENDERS[name] ?? name)));
  if (status.senders.includes(chosen)) select.value = chosen;
}

export async function chooseContact() {
  taken = new Set((await api("GET", "/emulator/verified")).map((one) => one.contact));
  if (!byId("contact").value) byId("contact").value = freshContact();
  showStep();
}

export function showCodes(all) {
  codes = all;
  showStep();
}

export function clear() {
  taken.clear();
  byId("contact").value = freshContact();
  byId("code").value = "";
  byId("result").replaceChildren();
  showStep();
}

/** Fill in a contact from another section, with its code if there is one. */
export function use(contact, code) {
  byId("contact").value = contact;
  byId("code").value = "";
  byId("result").replaceChildren();
  showStep();
  if (code) useCode(code);
  else byId("send-form").querySelector("[type=submit]").focus();
}

function useCode(code) {
  byId("code").value = code.code;
  byId("verify-form").querySelector("[type=submit]").focus();
}

const contact = () => byId("contact").value.trim();
const newest = () => codes.find((one) => one.contact === contact() && one.state === "good");

function freshContact() {
  let number = FIRST_CONTACT;
  while (taken.has(String(number))) number += 1;
  return String(number);
}

/** Highlight the next step. */
function showStep() {
  const code = newest();
  byId("newest").hidden = !code;
  byId("newest-code").textContent = code?.code ?? "";
  byId("send-form").dataset.step = code || taken.has(contact()) ? "done" : "now";
  byId("verify-form").dataset.step = code ? "now" : "later";
  byId("try-hint").textContent = code ? HINT_SENT : HINT;
}

/** Wrap a form's handler to run once at a time. The button stays enabled, since disabling it would move the focus. */
function alone(work) {
  return async (event) => {
    event.preventDefault();
    const form = event.currentTarget;
    if (form.ariaBusy === "true") return;
    form.ariaBusy = "true";
    try {
      await work();
    } catch (error) {
      byId("result").replaceChildren(el("p", { className: "says", data: { tone: "no" } }, error.message));
    } finally {
      form.ariaBusy = "false";
    }
  };
}

async function send() {
  byId("result").replaceChildren();
  if (sends) return sendThroughBridge();
  const sent = await api("POST", "/emulator/codes", { contact: contact() });
  if (!codes.some((one) => one.id === sent.id)) showCodes([sent, ...codes]);
  byId("code").value = "";
  byId("code").focus();
  announce(`The code ${sent.code} was sent`);
}

/** Request a code from the bridge. The code itself arrives as an event. */
async function sendThroughBridge() {
  const asked = contact();
  const delivery = await api("POST", "/emulator/deliveries", { contact: asked, sender: byId("sender").value });
  if (delivery.outcome !== "sent") return showResult(delivery, asked);
  byId("code").value = "";
  byId("code").focus();
  announce(delivery.message);
}

async function verify() {
  byId("result").replaceChildren(el("p", { className: "says", data: { tone: "wait" } }, "Verifying…"));
  const asked = contact();
  const order = { contact: asked, verify_code: byId("code").value.trim(), sender: byId("sender").value };
  showResult(await api("POST", "/emulator/deliveries", order), asked);
}

function showResult(delivery, asked) {
  const over = ["verified", "already-verified", "attempts-exhausted"].includes(delivery.outcome);
  if (over) taken.add(asked);
  showStep();
  const told = el(
    "div",
    {},
    el("p", { className: "says", data: { tone: tone(delivery) } }, delivery.message || delivery.error),
    delivery.error && el("p", { className: "muted" }, delivery.error),
    el("p", { className: "muted line" }, ...badges(delivery), ` ${delivery.status ?? ""} in ${milliseconds(delivery.duration_ms)}`),
    el(
      "div",
      { className: "buttons" },
      over && button("Sign up another contact", startOver, "small main"),
      button(`See delivery ${delivery.number}`, () => openDelivery(delivery.number)),
    ),
  );
  byId("result").replaceChildren(told);
  if (delivery.outcome === "code-incorrect") byId("code").select();
}

function startOver() {
  byId("contact").value = freshContact();
  byId("code").value = "";
  byId("result").replaceChildren();
  showStep();
  byId("contact").focus();
}
