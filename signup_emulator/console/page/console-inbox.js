// The inbox: the codes that were sent, newest first.

import { age, button, byId, copy, el } from "./console-dom.js";
import { codeState } from "./console-words.js";

const SHOWN = 5;

let codes = [];
let all = false;
let useCode = () => {};

export function start(use) {
  useCode = use;
  byId("unmask").addEventListener("change", draw);
  byId("all-codes").addEventListener("click", () => {
    all = !all;
    draw();
  });
}

export function show(list) {
  codes = list;
  draw();
}

export function update(code) {
  codes = [code, ...codes.filter((one) => one.id !== code.id)].sort((one, other) => other.id - one.id);
  draw();
}

export const list = () => codes;

/** Redraw the whole list, which is short, and restore the focus. */
function draw() {
  const focused = document.activeElement?.dataset.key;
  const shown = all ? codes : codes.slice(0, SHOWN);
  byId("inbox-empty").hidden = codes.length > 0;
  byId("codes").replaceChildren(...shown.map(row));
  byId("all-codes").hidden = codes.length <= SHOWN;
  byId("all-codes").textContent = all ? `Show the newest ${SHOWN}` : `Show all ${codes.length}`;
  if (focused) document.querySelector(`#codes [data-key="${CSS.escape(focused)}"]`)?.focus();
}

function row(code) {
  const state = codeState(code);
  const copying = button("Copy", () => copy(code.code, copying));
  const using = button("Use", () => useCode(code.contact, code));
  copying.ariaLabel = `Copy ${code.code}`;
  using.ariaLabel = `Use ${code.code}`;
  copying.dataset.key = `copy-${code.id}`;
  using.dataset.key = `use-${code.id}`;
  return el(
    "li",
    { className: "code", data: { state } },
    el("span", { className: "mono digits" }, code.code),
    el("span", { className: "contact" }, byId("unmask").checked ? code.contact : code.masked),
    el("span", { className: "muted about" }, age(code.sent_at), ` · ${state}`),
    el("span", { className: "buttons" }, state === "unused" && using, copying),
  );
}
