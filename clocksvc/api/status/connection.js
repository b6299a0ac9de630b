// Whether the service answers, and the time of the service. This module must not depend on clocks.

const ANSWER_WITHIN_MS = 11_000; // the page waits 10 s for an answer

let offsetMs = null; // null until the service's time is known
let answeredAtMs = null;
let clocksAtMs = null; // measured by performance.now(), which does not change if the computer's time is set
let staleAfterMs = Infinity;
let failedSinceMs = null;
let failure = "";
const listeners = new Set();

// The service's time in ms; the computer's time until the service has answered.
export const now = () => performance.timeOrigin + performance.now() + (offsetMs ?? 0);

// Set the service's time.
export function setTime(ms) {
  offsetMs = ms - (performance.timeOrigin + performance.now());
}

// Call this when the service has answered. The header Date has the time in seconds only, so it is used until the state of a
// clock has a better time.
export function onAnswer(date = null) {
  if (offsetMs === null && date !== null) setTime(Date.parse(date) + 500);
  answeredAtMs = now();
  if (failedSinceMs === null) return;
  failedSinceMs = null;
  notify();
}

// Call this when the service has sent the state of its clocks, with the time in ms until the next request. An open stream does not
// prove that it still sends it.
export function onClocks(nextMs) {
  clocksAtMs = performance.now();
  staleAfterMs = nextMs + ANSWER_WITHIN_MS;
}

// When the service last sent the state of its clocks, in its time; null if never.
export const clocksReceivedMs = () => (clocksAtMs === null ? null : now() - (performance.now() - clocksAtMs));

// Call this when the service has not answered.
export function onNoAnswer(why) {
  failure = why;
  if (failedSinceMs !== null) return;
  failedSinceMs = answeredAtMs ?? now();
  notify();
}

// Returns null while the service answers. Otherwise returns since when it does not, and why; `ever` is true if it has
// ever answered.
export function outage() {
  if (failedSinceMs !== null) return { sinceMs: failedSinceMs, why: failure, ever: answeredAtMs !== null };
  if (clocksAtMs === null || performance.now() - clocksAtMs < staleAfterMs) return null;
  return { sinceMs: clocksReceivedMs(), why: "no state of the clocks received", ever: true };
}

export function onChange(listener) {
  listeners.add(listener);
}

function notify() {
  listeners.forEach((listener) => listener());
}
