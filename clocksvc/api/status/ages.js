// The ages that the page shows. Each age is computed here, as of the service's last answer or tick, and never from the
// computer's time. So every part of the page shows the same number for the same fact.
//
// A clock's state has two times, both in the service's time: `answeredMs`, when the service answered with the state, and
// `asOfMs`, which is later if a tick arrived after that answer. `answeredTickMs` is the last tick of the answer, or null.

// Returns a state with its times. `fallbackMs` is used if the state has no time of its own, before the first tick.
export function withTimes(state, fallbackMs) {
  const answeredMs = answeredAtMs(state) ?? fallbackMs;
  const answeredTickMs = state.timestamp_seconds === null ? null : state.timestamp_seconds * 1000;
  return { ...state, answeredMs, answeredTickMs, asOfMs: answeredMs };
}

// When the service answered with this state, in the service's time; null if the state does not have it.
export function answeredAtMs({ timestamp_seconds: at, behind_seconds: behind, slowest = [] }) {
  if (at !== null) return (at + behind) * 1000;
  const line = slowest.find(({ timestamp_ms: ms }) => ms !== null);
  return line ? line.timestamp_ms + line.behind_seconds * 1000 : null;
}

// How many seconds the clock is behind; null before the first tick.
export const behindSeconds = (clock) => (clock.timestamp_seconds === null ? null : Math.max(0, clock.asOfMs / 1000 - clock.timestamp_seconds));

// How many seconds ago the last tick was emitted; null before the first tick.
export const lastTickSeconds = (clock) => (clock.last_tick ? secondsBetween(Date.parse(clock.last_tick.emitted_at), clock.asOfMs) : null);

// How long the clock has held, in seconds; null if it does not hold, or if this is not known.
export const heldSeconds = (clock) => (clock.hold?.since ? secondsBetween(Date.parse(clock.hold.since), clock.asOfMs) : null);

// How many seconds before the answer something in it happened; null if it has not happened.
export const secondsSince = (clock, time) => (time === null ? null : secondsBetween(Date.parse(time), clock.answeredMs));

const secondsBetween = (fromMs, untilMs) => Math.max(0, (untilMs - fromMs) / 1000);
