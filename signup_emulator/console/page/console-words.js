// The words, signs and tones of deliveries and codes. A tone is a colour, which never appears without a sign.

import { el } from "./console-dom.js";

const SIGNS = { yes: "✓", no: "✕", later: "↻", wait: "…", broken: "!" };

/** yes: verified or sent; no: permanent rejection; later: retryable; broken: no response; wait: in progress. */
export function tone(delivery) {
  if (delivery.state === "working") return "wait";
  if (delivery.error || delivery.status === null) return "broken";
  if (["verified", "sent"].includes(delivery.outcome)) return "yes";
  return delivery.retryable ? "later" : "no";
}

export function verdict(delivery) {
  const words = delivery.state === "working" ? "in progress" : (delivery.outcome ?? (delivery.error ? "no response" : "no code"));
  return el(
    "span",
    { className: "tone", data: { tone: tone(delivery) } },
    el("span", { className: "sign", aria: { hidden: "true" } }, SIGNS[tone(delivery)]),
    words,
  );
}

/** The outcome and the flags of a delivery. */
export function badges(delivery) {
  const flags = [
    delivery.replayed && "replay",
    delivery.resolved && "resolved",
    delivery.as && delivery.as !== "fresh" && delivery.as,
    delivery.via === "bridge" && "direct",
  ].filter(Boolean);
  return [verdict(delivery), ...flags.flatMap((flag) => [" ", el("span", { className: "flag" }, flag)])];
}

/** The result of the bridge's signature check. */
export function signatureWords(delivery) {
  const { valid, reason } = delivery.signature ?? {};
  if (valid) return "Valid: one of the bridge’s secrets signed exactly these bytes, within the tolerance.";
  if (valid === false) return `Rejected: ${reason ?? "missing, or not created for these bytes with a secret of the bridge"}.`;
  return "Unknown.";
}

export function codeState(code) {
  const state = code.state === "good" && code.expires_at < Date.now() / 1000 ? "expired" : code.state;
  return { good: "unused", used: "used", replaced: "replaced", expired: "expired" }[state] ?? state;
}
