// The console: lists that are fetched at each connection and updated by server-sent events.

import { api, byId, tick } from "./console-dom.js";
import * as deliveries from "./console-deliveries.js";
import * as faults from "./console-faults.js";
import * as inbox from "./console-inbox.js";
import * as switches from "./console-switches.js";
import * as trying from "./console-try.js";

const RETRY = 2000; // milliseconds, if the browser does not reconnect automatically

/** The handler of each event. Handlers run after the lists are fetched, so no event is lost. */
const EVENTS = {
  delivery: deliveries.update,
  code(code) {
    inbox.update(code);
    trying.showCodes(inbox.list());
  },
  faults: faults.showArmed,
  behaviour: switches.showSwitches,
  async reset() {
    await fetchAll();
    trying.clear();
  },
};

let fetched = Promise.resolve();

async function fetchAll() {
  const get = (path) => api("GET", `/emulator/${path}`);
  const [status, codes, sent, armed, inputs, options, behaviour] = await Promise.all(
    ["status", "codes", `deliveries?limit=${deliveries.LIMIT}`, "faults", "inputs", "behaviour/options", "behaviour"].map(get),
  );
  showStatus(status);
  inbox.show(codes);
  trying.showCodes(codes);
  deliveries.show(sent);
  faults.show(armed);
  switches.showInputs(inputs, trying.use);
  switches.describe(options);
  switches.showSwitches(behaviour);
  await trying.chooseContact();
}

function showStatus(status) {
  byId("bridge").textContent = status.bridge ? `The bridge is at ${status.bridge}` : "No bridge: the emulator runs alone.";
  byId("proxy-url").textContent = `${location.origin}/webhooks/signup`;
  trying.showStatus(status);
}

function showConnection(state, words) {
  byId("connection").dataset.state = state;
  byId("connection").textContent = words;
}

/** Run handlers in order. One that fails does not stop the next. */
function queue(work) {
  fetched = fetched.then(work).catch((error) => showConnection("lost", error.message));
}

function connect() {
  const source = new EventSource("/emulator/events");
  source.addEventListener("open", () =>
    queue(async () => {
      await fetchAll();
      showConnection("live", "Live");
    }),
  );
  source.addEventListener("error", () => {
    showConnection("lost", "Connection lost. Reconnecting…");
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, RETRY);
  });
  for (const [name, handle] of Object.entries(EVENTS)) {
    source.addEventListener(name, (event) => queue(() => handle(JSON.parse(event.data))));
  }
}

/** Expand a collapsed section that a link targets. */
function unfold() {
  const target = byId(location.hash.slice(1));
  if (target?.tagName === "DETAILS") target.open = true;
}

faults.start();
inbox.start(trying.use);
trying.start(deliveries.open);
addEventListener("hashchange", unfold);
unfold();
setInterval(tick, 1000);
connect();
