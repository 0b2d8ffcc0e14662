// The list of deliveries, newest first. Each row opens to show the steps of its delivery.

import { announce, byId, clock, el, milliseconds } from "./console-dom.js";
import { detail, toolbar } from "./console-delivery.js";
import { badges } from "./console-words.js";

/** The maximum number of rows on the page. The oldest are removed. */
export const LIMIT = 100;

const rows = new Map();

export function show(deliveries) {
  const numbers = new Set(deliveries.map((one) => one.number));
  for (const number of [...rows.keys()]) if (!numbers.has(number)) drop(number);
  for (const delivery of [...deliveries].reverse()) put(delivery);
  count();
}

export function update(delivery) {
  const arrived = !rows.has(delivery.number);
  const row = put(delivery);
  if (arrived) row.item.classList.add("arrived");
  for (const number of [...rows.keys()].sort((one, other) => other - one).slice(LIMIT)) drop(number);
  count();
  if (delivery.state === "done") announce(`Delivery ${delivery.number}: ${delivery.outcome ?? delivery.error}`);
}

/** Open the row of a delivery and scroll to it. */
export function open(number) {
  const row = rows.get(number);
  if (!row) return;
  toggle(row, true);
  row.head.focus({ preventScroll: true });
  row.item.scrollIntoView({ block: "nearest" });
}

function put(delivery) {
  let row = rows.get(delivery.number);
  const text = JSON.stringify(delivery);
  if (!row) {
    row = make(delivery.number);
    rows.set(delivery.number, row);
    const older = [...rows.keys()].filter((number) => number < delivery.number);
    const next = older.length ? rows.get(Math.max(...older)).item : null;
    byId("delivery-list").insertBefore(row.item, next);
  } else if (row.text === text) {
    return row;
  }
  row.text = text;
  row.delivery = delivery;
  row.head.replaceChildren(...summary(delivery));
  if (!row.panel.hidden) fill(row);
  return row;
}

function make(number) {
  const id = `delivery-${number}`;
  const row = { delivery: null, text: "" };
  row.head = el("button", {
    type: "button",
    id: `${id}-head`,
    className: "summary-grid",
    aria: { expanded: "false", controls: `${id}-panel` },
    on: { click: () => toggle(row, row.panel.hidden) },
  });
  row.panel = el("div", { id: `${id}-panel`, className: "panel", hidden: true, role: "group", aria: { label: `Delivery ${number}` } });
  row.item = el("li", { id }, el("h3", {}, row.head), row.panel);
  return row;
}

function drop(number) {
  rows.get(number).item.remove();
  rows.delete(number);
}

function toggle(row, wanted) {
  row.panel.hidden = !wanted;
  row.head.ariaExpanded = String(wanted);
  if (wanted) fill(row);
}

/** Redraw the steps when the delivery changes. The buttons above keep the focus. */
function fill(row) {
  if (!row.tools) {
    row.tools = toolbar(row.delivery, open);
    row.way = el("div", { className: "way" });
    row.panel.append(row.tools, row.way);
  }
  row.way.replaceChildren(...detail(row.delivery, open));
}

function summary(delivery) {
  const cell = (name, ...children) => el("span", { className: name }, ...children, " ");
  return [
    cell("number muted", String(delivery.number)),
    cell("verdict", ...badges(delivery)),
    cell("status mono", String(delivery.status ?? "")),
    cell("contact", delivery.contact ?? "–"),
    cell("sender muted", delivery.sender ?? "–"),
    cell("time muted", clock(delivery.at)),
    cell("took muted", milliseconds(delivery.duration_ms)),
  ];
}

function count() {
  const some = rows.size > 0;
  byId("deliveries-empty").hidden = some;
  byId("delivery-columns").hidden = !some;
  const words = rows.size < LIMIT ? String(rows.size) : `the newest ${LIMIT}`;
  byId("deliveries-count").textContent = some ? words : "";
}
