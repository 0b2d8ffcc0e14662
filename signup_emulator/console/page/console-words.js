// How a delivery and a code are told: a tone (a colour that never stands alone), signs and words.

import { el } from "./console-dom.js";

const SIGNS = { yes: "✓", no: "✕", later: "↻", wait: "…", broken: "!" };

/** yes: verified, or sent; no: refused for good; later: may end otherwise; broken: nobody answered; wait: not over. */
export function tone(delivery) {
  if (delivery.state === "working") return "wait";
  if (delivery.error || delivery.status === null) return "broken";
  if (["verified", "sent"].includes(delivery.outcome)) return "yes";
  return delivery.retryable ? "later" : "no";
}

export function verdict(delivery) {
  const words = delivery.state === "working" ? "working" : (delivery.outcome ?? (delivery.error ? "no answer" : "answered"));
  return el(
    "span",
    { className: "tone", data: { tone: tone(delivery) } },
    el("span", { className: "sign", aria: { hidden: "true" } }, SIGNS[tone(delivery)]),
    words,
  );
}

/** The verdict, and what else is worth a word. */
export function badges(delivery) {
  const flags = [
    delivery.replayed && "replay",
    delivery.resolved && "resolved",
    delivery.as && delivery.as !== "fresh" && delivery.as,
    delivery.via === "bridge" && "direct",
  ].filter(Boolean);
  return [verdict(delivery), ...flags.flatMap((flag) => [" ", el("span", { className: "flag" }, flag)])];
}

/** What the bridge's check of the signature came to. */
export function signatureWords(delivery) {
  const { valid, reason } = delivery.signature ?? {};
  if (valid) return "Valid: one of the bridge’s secrets signed exactly these bytes, within the tolerance.";
  if (valid === false) return `Refused: ${reason ?? "missing, or not of these bytes by a secret that the bridge knows"}.`;
  return "Not known.";
}

export function codeState(code) {
  const state = code.state === "good" && code.expires_at < Date.now() / 1000 ? "expired" : code.state;
  return { good: "unused", used: "used", replaced: "replaced", expired: "expired" }[state] ?? state;
}
