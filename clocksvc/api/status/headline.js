// The status of clocks as text: a sentence about one clock, and the page's headline. The current time is an argument.

import { timeOfDay, nameFirst, dateTime, partitionName, plural, duration } from "./format.js";

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
export const isStopped = (clock) => clock.hold !== null && clock.status !== "starting";

export const sinceMs = (clock) => (clock.hold?.since ? Date.parse(clock.hold.since) : null);

// How many seconds the clock is behind now.
export const behind = (clock, nowMs) => (clock.timestamp_seconds === null ? null : nowMs / 1000 - clock.timestamp_seconds);

// One sentence for the panel.
export function sentence(clock, nowMs) {
  if (clock.hold) return `${stopped(clock, nowMs)} Reason: ${clock.hold.reason}.`;
  if (clock.status === "rebuilding") return "The ticks in Redis are being restored, or this replica has not read them yet. Until then, the page shows the last tick that this replica knew.";
  if (!clock.last_tick) return "No tick yet. The first tick follows when every partition has been reported.";
  const ago = duration(Math.max(0, (nowMs - Date.parse(clock.last_tick.emitted_at)) / 1000));
  const status = clock.status === "catching_up" ? "Catching up" : "Running";
  return `${status}: last tick ${ago} ago, a tick is due every ${duration(clock.interval_seconds)}.${without(clock)}`;
}

function stopped(clock, nowMs) {
  const since = sinceMs(clock);
  if (since === null) return "Stopped; it is not known since when.";
  return `${clock.last_tick ? "Stopped" : "No tick yet,"} since ${dateTime(since, nowMs)} UTC (${duration((nowMs - since) / 1000)}).`;
}

function without({ partitions }) {
  return partitions.excluded ? ` Ticks do not wait for ${plural(partitions.excluded, "excluded partition")}.` : "";
}

// A few words for the overview.
export function shortReason(clock, nowMs) {
  if (clock.hold) {
    const since = sinceMs(clock);
    const names = clock.hold.partitions.map(partitionName);
    const partitions = names.length ? `: ${nameFirst(names, 2)}` : "";
    return `${since === null ? "" : `for ${duration((nowMs - since) / 1000)}, `}${clock.hold.reason}${partitions}`;
  }
  return clock.partitions.excluded ? `${plural(clock.partitions.excluded, "partition")} excluded` : "";
}

// Returns the page's headline as [tone, text]. It answers the question: is anything wrong?
export function headline(clocks, nowMs) {
  if (clocks.length === 0) return ["idle", "No clock is configured, or this token may not see any clock"];
  const holding = clocks.filter(isStopped);
  const broken = holding.filter((clock) => clock.status !== "paused");
  const worst = broken[0] ?? holding[0];
  if (worst && clocks.length === 1) return [toneOf(worst), headlineOfOne(worst, nowMs)];
  if (broken.length) return ["hold", `${broken.length} of ${clocks.length} clocks stopped: ${nameFirst(broken.map((one) => one.clock))}`];
  if (holding.length) return ["paused", `${plural(holding.length, "clock")} paused, the others are running`];
  const late = clocks.filter((clock) => clock.status === "catching_up");
  if (late.length) return ["warn", `${nameFirst(late.map((one) => one.clock))} ${late.length === 1 ? "is" : "are"} catching up: ${duration(behind(late[0], nowMs))} behind`];
  const idle = clocks.filter((clock) => toneOf(clock) === "idle");
  if (idle.length) return ["idle", `${nameFirst(idle.map((one) => one.clock))}: ${idle[0].status}`];
  return allRunning(clocks);
}

// With an excluded partition the headline is a warning, because ticks promise nothing about this partition.
function allRunning(clocks) {
  const text = clocks.length === 1 ? `${clocks[0].clock} is running` : `All ${clocks.length} clocks are running`;
  const part = clocks.filter((clock) => clock.partitions.excluded);
  if (part.length === 0) return ["ok", text];
  if (clocks.length === 1) return ["warn", `${text}, without ${plural(part[0].partitions.excluded, "partition")}`];
  return ["warn", `${text}, ${nameFirst(part.map((clock) => clock.clock))} without some partitions`];
}

function headlineOfOne(clock, nowMs) {
  const since = sinceMs(clock);
  if (clock.status === "paused") return `${clock.clock} is paused`;
  if (since === null) return `${clock.clock} stopped`;
  return `${clock.clock} stopped at ${timeOfDay(since)} (${duration((nowMs - since) / 1000)} ago)`;
}
