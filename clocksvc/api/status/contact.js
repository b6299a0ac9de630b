// Whether the service answers, and what time it is there. Knows nothing of clocks.

const STALE_MS = 16_000; // a question each 5 s, with 10 s for its answer

let offsetMs = 0;
let lastHeardMs = null;
let toldAtMs = null; // by the page's own count, which no clock that is set can move
let silentSinceMs = null;
let silence = "";
const listeners = new Set();

// The service's time, in ms; the computer's own until the service has said something.
export const now = () => performance.timeOrigin + performance.now() + offsetMs;

// The service said that it is `ms` there.
export function told(ms) {
  offsetMs = ms - (performance.timeOrigin + performance.now());
}

// Something came from the service.
export function heard() {
  lastHeardMs = now();
  if (silentSinceMs === null) return;
  silentSinceMs = null;
  change();
}

// The service told how its clocks are. A stream that goes on says nothing of that.
export function toldClocks() {
  toldAtMs = performance.now();
}

// When it last did.
export const toldClocksMs = () => (toldAtMs === null ? null : now() - (performance.now() - toldAtMs));

// The service did not answer.
export function silent(why) {
  silence = why;
  if (silentSinceMs !== null) return;
  silentSinceMs = lastHeardMs ?? now();
  change();
}

// null while it answers; else since when it does not, and why.
export function trouble() {
  if (silentSinceMs !== null) return { sinceMs: silentSinceMs, why: silence, ever: lastHeardMs !== null };
  if (toldAtMs === null || performance.now() - toldAtMs < STALE_MS) return null;
  return { sinceMs: toldClocksMs(), why: "no news of the clocks", ever: true };
}

export function onContact(listener) {
  listeners.add(listener);
}

function change() {
  listeners.forEach((listener) => listener());
}
