// The collapsed sections: the outcomes chosen by the contact, and the behaviour options.

import { api, button, byId, el, prose } from "./console-dom.js";

let options = [];

/** Show a row for each outcome, with all contacts that choose it. */
export function showInputs(inputs, use) {
  const rows = new Map();
  for (const one of inputs) {
    const key = JSON.stringify([one.outcome, one.status, one.end, one.effect]);
    rows.set(key, [...(rows.get(key) ?? []), one]);
  }
  byId("input-rows").replaceChildren(...[...rows.values()].map((same) => inputRow(same, use)));
}

function inputRow(same, use) {
  const { outcome, status, end, end_status: endStatus, effect } = same[0];
  const other = end && end !== outcome;
  const trying = ({ contact }) => {
    const name = button(contact, () => use(contact), "link mono");
    name.title = "Try it";
    return el("div", {}, name);
  };
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, ...same.map(trying)),
    el("td", {}, outcome, other && el("div", { className: "muted" }, `then ${end}`)),
    el("td", { className: "mono" }, String(status), other && el("div", { className: "muted" }, String(endStatus))),
    el("td", { className: "muted" }, ...prose(effect)),
  );
}

export function showSwitches(values) {
  const focused = document.activeElement?.id;
  byId("switch-list").replaceChildren(...options.filter((one) => one.name in values).map((one) => line(one, values[one.name])));
  if (focused?.startsWith("switch-")) byId(focused)?.focus();
}

/** Set the descriptions of the options, from `GET /emulator/behaviour/options`. */
export function describe(all) {
  options = all;
}

function line({ name, constraint, meaning, why }, value) {
  const id = `switch-${name}`;
  const input = control(constraint, value);
  Object.assign(input, { id, title: why });
  input.setAttribute("aria-describedby", `${id}-meaning`);
  input.addEventListener("change", () => set(name, input));
  return el(
    "div",
    { className: "switch" },
    el("label", { htmlFor: id }, name.replaceAll("_", " ")),
    el("p", { id: `${id}-meaning`, className: "muted" }, ...prose(meaning)),
    input,
  );
}

function control(constraint, value) {
  if (typeof value === "boolean") return el("input", { type: "checkbox", checked: value });
  if (typeof value === "number") return el("input", { type: "number", step: "any", value });
  const choices = constraint.replace(/^one of /, "").split(", ");
  return el("select", {}, ...choices.map((one) => el("option", { value: one, selected: one === value }, one)));
}

async function set(name, input) {
  const read = { checkbox: () => input.checked, number: () => input.valueAsNumber }[input.type] ?? (() => input.value);
  try {
    await api("PATCH", "/emulator/behaviour", { [name]: read() });
    byId("switches-said").textContent = `${name.replaceAll("_", " ")} is set.`;
  } catch (error) {
    byId("switches-said").textContent = error.message;
  }
}
