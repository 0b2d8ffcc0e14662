// Faults: arm them with a button or the form, list the armed ones, reset.

import { api, button, byId, el, prose } from "./console-dom.js";

const QUICK = [
  ["hang", "Hang"],
  ["reset", "Reset the connection"],
  ["unprocessed", "Do not process"],
  ["http-502", "Status 502"],
  ["RequestLimitExceeded", "Throttle"],
  ["InternalError.VerifyCodeErr", "Reject the code"],
];

/** The buttons name this action: a fault for any action would apply to the call that sends the code. */
const VERIFYING = "CreateIntlPhoneEmail";

let meanings = new Map();

export function start() {
  byId("quick-faults").append(...QUICK.map(([fault, words]) => button(words, () => arm({ fault, action: VERIFYING }))));
  byId("fault").addEventListener("change", showMeaning);
  byId("fault-form").addEventListener("submit", (event) => {
    event.preventDefault();
    arm({
      fault: byId("fault").value,
      action: byId("fault-action").value || null,
      contact: byId("fault-contact").value.trim() || null,
      times: byId("fault-times").valueAsNumber,
    });
  });
  byId("disarm").addEventListener("click", () => attempt("DELETE", "/emulator/faults", undefined, () => "All faults are disarmed."));
  byId("reset").addEventListener("click", () => attempt("POST", "/emulator/reset", {}, () => "Everything was reset."));
}

export function show({ armed, api_codes: codes, wire, actions }) {
  const named = [
    ["Wire faults", wire.map((one) => [one.fault, one.meaning])],
    ["API error codes", codes.map((one) => [one.code, one.meaning])],
  ];
  meanings = new Map(named.flatMap(([, faults]) => faults));
  const options = (faults) => faults.map(([fault]) => el("option", { value: fault }, fault));
  const chosen = [byId("fault").value, byId("fault-action").value];
  byId("fault").replaceChildren(...named.map(([label, faults]) => el("optgroup", { label }, ...options(faults))));
  byId("fault-action").replaceChildren(
    el("option", { value: "" }, "any"),
    ...actions.map((action) => el("option", { value: action }, action)),
  );
  if (meanings.has(chosen[0])) byId("fault").value = chosen[0];
  byId("fault-action").value = chosen[1];
  showMeaning();
  showArmed(armed);
}

export function showArmed(armed) {
  byId("armed-empty").hidden = armed.length > 0;
  byId("disarm").hidden = armed.length === 0;
  byId("armed").replaceChildren(
    ...armed.map(({ fault, action, contact, times }) => {
      const where = [`the next ${times === 1 ? "call" : `${times} calls`}`, action && `of ${action}`, contact && `with ${contact}`];
      return el("li", {}, el("strong", { className: "mono" }, fault), ` for ${where.filter(Boolean).join(" ")}`);
    }),
  );
}

function showMeaning() {
  byId("fault-meaning").replaceChildren(...prose(meanings.get(byId("fault").value)));
}

function arm(fault) {
  return attempt("POST", "/emulator/faults", fault, () => "");
}

async function attempt(method, path, document, words) {
  try {
    byId("faults-said").textContent = words(await api(method, path, document));
  } catch (error) {
    byId("faults-said").textContent = error.message;
  }
}
