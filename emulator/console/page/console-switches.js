// The folded sections: outcomes chosen by the contact, and the switches of what the API leaves open.

import { api, button, byId, el } from "./console-dom.js";

export function showInputs(inputs, use) {
  byId("input-rows").replaceChildren(
    ...inputs.map((one) => {
      const filling = button("Try", () => use(one.contact));
      filling.ariaLabel = `Try ${one.contact}`;
      return el(
        "tr",
        {},
        el("th", { scope: "row", className: "mono" }, one.contact),
        el("td", {}, one.outcome),
        el("td", { className: "mono" }, String(one.status ?? "")),
        el("td", { className: "muted" }, one.does),
        el("td", {}, filling),
      );
    }),
  );
}

export function showSwitches(values) {
  const focused = document.activeElement?.id;
  byId("switch-list").replaceChildren(...Object.entries(values).map(([name, value]) => line(name, value)));
  if (focused?.startsWith("switch-")) byId(focused)?.focus();
}

function line(name, value) {
  const id = `switch-${name}`;
  const set = (read) => async (event) => {
    try {
      await api("PATCH", "/emulator/behaviour", { [name]: read(event.target) });
      byId("switches-said").textContent = `${name} is set.`;
    } catch (error) {
      byId("switches-said").textContent = error.message;
    }
  };
  const label = el("label", { htmlFor: id }, name.replaceAll("_", " "));
  if (typeof value === "boolean") {
    const on = { change: set((input) => input.checked) };
    return el("div", { className: "switch" }, label, el("input", { id, type: "checkbox", checked: value, on }));
  }
  const number = typeof value === "number";
  const on = { change: set((input) => (number ? input.valueAsNumber : input.value)) };
  const input = el("input", { id, type: number ? "number" : "text", on });
  if (number) input.step = "any";
  input.value = value ?? "";
  return el("div", { className: "switch" }, label, input);
}
