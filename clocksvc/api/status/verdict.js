// What is to be said of a clock, from its state. Pure: it knows the time only as an argument.

import { clockTime, listed, moment, named, plural, span } from "./words.js";

const WORDS = {
  running: ["ok", "● running"],
  catching_up: ["warn", "» catching up"],
  holding: ["hold", "■ holding"],
  paused: ["paused", "‖ paused"],
  starting: ["idle", "○ starting"],
  rebuilding: ["idle", "↻ rebuilding"],
};
const SEVERITY = ["hold", "lost", "warn", "paused", "idle", "ok"];

export const severity = (clock) => SEVERITY.indexOf(toneOf(clock));
export const toneOf = (clock) => (WORDS[clock.status] ?? ["idle"])[0];
export const wordOf = (clock) => (WORDS[clock.status] ?? ["", `? ${clock.status}`])[1];
export const standsStill = (clock) => clock.hold !== null && clock.status !== "starting";

export const sinceMs = (clock) => (clock.hold?.since ? Date.parse(clock.hold.since) : null);

// Seconds behind, now.
export const behind = (clock, nowMs) => (clock.timestamp_seconds === null ? null : nowMs / 1000 - clock.timestamp_seconds);

// One sentence for the panel.
export function sentence(clock, nowMs) {
  if (clock.hold) return `${stillness(clock, nowMs)} Reason: ${clock.hold.reason}.`;
  if (clock.status === "rebuilding") return "This replica reads the ticks anew; nothing lower than what was shown is shown meanwhile.";
  if (!clock.last_tick) return "No tick yet: the first one comes once every partition has been reported.";
  const ago = span(Math.max(0, (nowMs - Date.parse(clock.last_tick.emitted_at)) / 1000));
  const moving = clock.status === "catching_up" ? "It moves, and catches up" : "It moves";
  return `${moving}: the last tick came ${ago} ago, one is due every ${span(clock.interval_seconds)}.${without(clock)}`;
}

function stillness(clock, nowMs) {
  const since = sinceMs(clock);
  if (since === null) return "It stands still; since when is not known.";
  const still = clock.last_tick ? "It has stood still" : "It has not begun to move";
  return `${still} since ${moment(since, nowMs)} UTC (${span((nowMs - since) / 1000)}).`;
}

function without({ partitions }) {
  return partitions.excluded ? ` Ticks do not wait for ${plural(partitions.excluded, "excluded partition")}.` : "";
}

// A few words for the overview.
export function shortWhy(clock, nowMs) {
  if (clock.hold) {
    const since = sinceMs(clock);
    const names = clock.hold.partitions.map(named);
    const who = names.length ? `: ${listed(names, 2)}` : "";
    return `${since === null ? "" : `for ${span((nowMs - since) / 1000)}, `}${clock.hold.reason}${who}`;
  }
  return clock.partitions.excluded ? `${plural(clock.partitions.excluded, "partition")} excluded` : "";
}

// The page's one line: is anything wrong?
export function verdict(clocks, nowMs) {
  if (clocks.length === 0) return ["idle", "No clock is configured, or none that this token may see"];
  const still = clocks.filter(standsStill);
  const broken = still.filter((clock) => clock.status !== "paused");
  const worst = broken[0] ?? still[0];
  if (worst && clocks.length === 1) return [toneOf(worst), ofOne(worst, nowMs)];
  if (broken.length) return ["hold", `${broken.length} of ${clocks.length} clocks ${broken.length === 1 ? "stands" : "stand"} still: ${listed(broken.map((one) => one.clock))}`];
  if (still.length) return ["paused", `${plural(still.length, "clock")} paused, the others move`];
  const late = clocks.filter((clock) => clock.status === "catching_up");
  if (late.length) return ["warn", `${listed(late.map((one) => one.clock))} ${late.length === 1 ? "catches" : "catch"} up: ${span(behind(late[0], nowMs))} behind`];
  const idle = clocks.filter((clock) => toneOf(clock) === "idle");
  if (idle.length) return ["idle", `${listed(idle.map((one) => one.clock))}: ${idle[0].status}`];
  return allMove(clocks);
}

// A tick without a partition is no whole truth, so it is no all-clear either.
function allMove(clocks) {
  const text = clocks.length === 1 ? `${clocks[0].clock} moves` : `All ${clocks.length} clocks move`;
  const part = clocks.filter((clock) => clock.partitions.excluded);
  if (part.length === 0) return ["ok", text];
  if (clocks.length === 1) return ["warn", `${text}, without ${plural(part[0].partitions.excluded, "partition")}`];
  return ["warn", `${text}, ${listed(part.map((clock) => clock.clock))} without some partitions`];
}

function ofOne(clock, nowMs) {
  const since = sinceMs(clock);
  if (clock.status === "paused") return `${clock.clock} is paused`;
  if (since === null) return `${clock.clock} stands still`;
  return `${clock.clock} has stood still since ${clockTime(since)} (${span((nowMs - since) / 1000)})`;
}
