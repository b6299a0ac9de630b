// How fast a clock catches up, measured over the answers of the last minute.

import { behindSeconds } from "./ages.js";

const WINDOW_MS = 60_000;
const SHORTEST_MS = 4_000;
const samples = new Map(); // by clock: [{atMs, behind}], the oldest first

// Add the state of a clock. Call this for each answer and tick.
export function measure(clock) {
  if (clock.status !== "catching_up") {
    samples.delete(clock.clock);
    return;
  }
  const kept = (samples.get(clock.clock) ?? []).filter(({ atMs }) => atMs > clock.asOfMs - WINDOW_MS);
  samples.set(clock.clock, [...kept, { atMs: clock.asOfMs, behind: behindSeconds(clock) }]);
}

// Returns {secondsLeft}, which is null if the clock does not get closer; or null if it has not been measured long enough.
export function paceOf(clock) {
  const found = samples.get(clock.clock) ?? [];
  const [first, last] = [found[0], found.at(-1)];
  if (!first || last.atMs - first.atMs < SHORTEST_MS) return null;
  const gained = ((first.behind - last.behind) * 1000) / (last.atMs - first.atMs); // seconds per second
  return { secondsLeft: gained > 0 ? last.behind / gained : null };
}
