// Whether the service answers, and what time it is there. Must not know of clocks.

const STALE_MS = 16_000; // a request every 5 s, with 10 s for its answer

let offsetMs = 0;
let answeredAtMs = null;
let clocksAtMs = null; // by performance.now(), which a change of the computer's time does not move
let failedSinceMs = null;
let failure = "";
const listeners = new Set();

// The service's time in ms; the computer's own until the service has answered.
export const now = () => performance.timeOrigin + performance.now() + offsetMs;

// Set the service's time.
export function setTime(ms) {
  offsetMs = ms - (performance.timeOrigin + performance.now());
}

// The service answered.
export function onAnswer() {
  answeredAtMs = now();
  if (failedSinceMs === null) return;
  failedSinceMs = null;
  notify();
}

// The service sent the state of its clocks. A stream that is still open does not prove that.
export function onClocks() {
  clocksAtMs = performance.now();
}

// When it last sent them.
export const clocksReceivedMs = () => (clocksAtMs === null ? null : now() - (performance.now() - clocksAtMs));

// The service did not answer.
export function onNoAnswer(why) {
  failure = why;
  if (failedSinceMs !== null) return;
  failedSinceMs = answeredAtMs ?? now();
  notify();
}

// null while the service answers; else since when it does not, and why. `ever`: whether it has ever answered.
export function outage() {
  if (failedSinceMs !== null) return { sinceMs: failedSinceMs, why: failure, ever: answeredAtMs !== null };
  if (clocksAtMs === null || performance.now() - clocksAtMs < STALE_MS) return null;
  return { sinceMs: clocksReceivedMs(), why: "no news of the clocks", ever: true };
}

export function onChange(listener) {
  listeners.add(listener);
}

function notify() {
  listeners.forEach((listener) => listener());
}
