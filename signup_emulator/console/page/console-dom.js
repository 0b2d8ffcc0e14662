// Small helpers: elements, times, requests, the clipboard. Data from outside is set as text only.

export const byId = (id) => document.getElementById(id);

/** Create an element. `data`, `aria` and `on` are maps, other members properties; children are nodes or strings. */
export function el(tag, { data = {}, aria = {}, on = {}, role, ...properties } = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  Object.assign(element.dataset, data);
  for (const [name, value] of Object.entries(aria)) element.setAttribute(`aria-${name}`, value);
  for (const [name, handler] of Object.entries(on)) element.addEventListener(name, handler);
  if (role) element.setAttribute("role", role);
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export function button(text, onClick, className = "small") {
  return el("button", { type: "button", className, on: { click: onClick } }, text);
}

/** Send a request and return the JSON or text of its response. Throws an Error with a text for the page. */
export async function api(method, path, body) {
  const options = { method };
  if (body !== undefined) {
    options.headers = { "Content-Type": "application/json" };
    options.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    throw new Error("The emulator does not respond. Is `signup-bridge run` still running?");
  }
  const text = await response.text();
  if (!(response.headers.get("Content-Type") ?? "").includes("json")) {
    if (response.ok) return text;
    throw new Error(`The emulator returned ${response.status}.`);
  }
  const document = JSON.parse(text);
  if (!response.ok) throw new Error(document.error ?? `The emulator returned ${response.status}.`);
  return document;
}

/** Announce a text to screen readers. */
export function announce(text) {
  byId("announcer").textContent = text;
}

export const clock = (at) => new Date(at * 1000).toLocaleTimeString("en-GB");

export function milliseconds(value) {
  if (value === null || value === undefined) return "";
  if (value >= 999.5) return `${(value / 1000).toFixed(1)} s`;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
}

export function ago(seconds) {
  if (seconds < 1) return "now";
  if (seconds < 90) return `${Math.floor(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}

/** Create the age of a time, which `tick` updates. */
export function age(at) {
  const moment = new Date(at * 1000);
  const text = ago(Date.now() / 1000 - at);
  return el("time", { dateTime: moment.toISOString(), title: moment.toLocaleString(), data: { at } }, text);
}

export function tick() {
  for (const element of document.querySelectorAll("time[data-at]")) {
    element.textContent = ago(Date.now() / 1000 - element.dataset.at);
  }
}

/** Indent JSON. Other text is returned unchanged. */
export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

/** Convert `backticks` in a text to code elements. */
export function prose(text) {
  return String(text ?? "").split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));
}

/** Copy a text and confirm it on the button. Browsers offer the clipboard API on loopback and HTTPS only. */
export async function copy(text, from) {
  let copied = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = el("textarea", { value: text, className: "hidden", readOnly: true });
    document.body.append(area);
    area.select();
    copied = document.execCommand("copy");
    area.remove();
    from.focus();
  }
  const words = from.dataset.words ?? from.textContent;
  from.dataset.words = words;
  from.textContent = copied ? "Copied" : "Not copied";
  announce(copied ? "Copied to the clipboard" : "The browser does not permit copying");
  setTimeout(() => {
    from.textContent = words;
  }, 1500);
}
