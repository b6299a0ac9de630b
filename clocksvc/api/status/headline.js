// The status of clocks as text: sentences about one clock, and the page's headline.

import { behindSeconds, heldSeconds, lastTickSeconds } from "./ages.js";
import { count, dateTime, duration, nameFirst, partitionName, plural, stageName } from "./format.js";
import { schedulesError } from "./schedules.js";
import { reasonText, statusText } from "./words.js";

const TONES = {
  running: ["ok", "●"],
  catching_up: ["warn", "»"],
  holding: ["hold", "■"],
  paused: ["paused", "‖"],
  starting: ["idle", "○"],
  rebuilding: ["idle", "↻"],
};
const MAX_NAMED = 5; // of the clocks that the headline counts
const SEVERITY = ["hold", "lost", "warn", "paused", "idle", "ok"];

const REBUILDING = "The ticks in Redis are being restored, or this replica has not read them yet. Until then, the page shows the last tick that this replica knew.";

export const toneOfStatus = (status) => (TONES[status] ?? ["idle"])[0];
export const severityOf = (status) => SEVERITY.indexOf(toneOfStatus(status));
export const toneOf = (clock) => toneOfStatus(clock.status);
export const wordOf = (clock) => `${(TONES[clock.status] ?? ["", "?"])[1]} ${statusText(clock.status)}`;
export const isStopped = (clock) => clock.hold !== null && clock.status !== "starting";

// The sentence in the panel of a clock. `pace` is the pace of a catch-up, see pace.js.
export function sentence(clock, pace) {
  if (clock.hold) return `${reasonText(clock.hold.reason)}. ${stopped(clock)}${due(clock)}`;
  if (clock.status === "rebuilding") return REBUILDING;
  if (!clock.last_tick) return "No tick yet. The first tick follows when every partition has been reported.";
  const last = `last tick ${duration(lastTickSeconds(clock))} ago`;
  if (clock.status === "catching_up") return `Catching up: ${last}.${due(clock, pace)}${without(clock)}${notSent(clock)}`;
  return `Running: ${last}, a tick is due every ${duration(clock.interval_seconds)}.${without(clock)}${notSent(clock)}`;
}

function notSent(clock) {
  const error = schedulesError(clock);
  return error ? ` But ${error.text}.` : "";
}

function stopped(clock) {
  const held = heldSeconds(clock);
  const none = clock.last_tick ? "No tick" : "No tick yet. The clock waits";
  if (held === null) return "It is not known since when.";
  return `${none} since ${dateTime(Date.parse(clock.hold.since), clock.asOfMs)} UTC, for ${duration(held)}.`;
}

// How many ticks the clock still has to emit, and how long it takes at the present pace.
function due(clock, pace) {
  const ticks = dueTicks(clock);
  if (ticks === "") return "";
  if (!pace) return ` ${ticks}.`;
  if (pace.secondsLeft === null) return ` ${ticks}, and the clock gets no closer: consumers are slower than producers.`;
  return ` ${ticks}, about ${duration(pace.secondsLeft)} at the present pace.`;
}

const dueTicks = ({ due_ticks: ticks }) => (ticks ? `${plural(ticks, "tick")} due` : "");

function without({ partitions }) {
  return partitions.excluded ? ` Ticks do not wait for ${plural(partitions.excluded, "excluded partition")}.` : "";
}

// The stage to blame for a hold: the last one in the chain of upstream clocks; null if there is none.
export function stageToBlame({ upstream }) {
  let stage = upstream ?? null;
  while (stage?.hold?.upstream) stage = stage.hold.upstream;
  return stage;
}

// The reason of a hold, and its first partitions or the stage to blame. `partition_count` is the number of partitions if not
// all are named.
export function holdText(hold, most) {
  const { reason, partitions, partition_count: total = partitions.length } = hold;
  const stage = stageToBlame(hold);
  if (stage) return `Waits for ${stageName(stage)} (${reason})`;
  return [reasonText(reason), nameFirst(partitions.map(partitionName), most, total)].filter(Boolean).join(": ");
}

// A few words for the overview.
export function shortReason(clock) {
  if (clock.hold) {
    const held = heldSeconds(clock);
    return `${holdText(clock.hold, 1)}${held === null ? "" : `, for ${duration(held)}`}`;
  }
  const error = schedulesError(clock);
  if (error) return error.text;
  if (clock.status === "catching_up") return dueTicks(clock);
  return clock.partitions.excluded ? `${plural(clock.partitions.excluded, "partition")} excluded` : "";
}

// Returns the page's headline as [tone, text]. It answers the question: is anything wrong? `clocks` are the first clocks of
// all, the worst ones, and `rest` has the number of the other clocks by status.
export function headline(clocks, rest) {
  const more = (...statuses) => statuses.reduce((sum, status) => sum + (rest[status] ?? 0), 0);
  const total = clocks.length + more(...Object.keys(rest));
  if (total === 0) return ["idle", "No clock is configured, or this token may not see any clock"];
  const holding = clocks.filter(isStopped);
  const broken = holding.filter((clock) => clock.status !== "paused").sort((a, b) => isWaiting(a) - isWaiting(b));
  const worst = broken[0] ?? holding[0];
  if (worst && total === 1) return [toneOf(worst), headlineOfOne(worst)];
  const stopped = broken.length + more("holding");
  if (stopped) return ["hold", `${count(stopped)} of ${count(total)} clocks stopped${causeOf(broken, stopped)}`];
  const paused = holding.length + more("paused");
  if (paused) return ["paused", `${plural(paused, "clock")} paused, the others are running`];
  const unsent = withoutSchedules(clocks);
  if (unsent) return unsent;
  const late = clocks.filter((clock) => clock.status === "catching_up");
  const behind = late.length + more("catching_up");
  if (late.length === 1 && behind === 1) return ["warn", `${late[0].clock} is catching up: ${duration(behindSeconds(late[0]))} behind`];
  if (behind) return ["warn", `${namesOf(late, behind)} are catching up`];
  const idle = clocks.filter((clock) => toneOf(clock) === "idle");
  const begin = idle.length + more("starting", "rebuilding");
  if (begin) return ["idle", `${namesOf(idle, begin)} ${begin === 1 ? "is" : "are"} ${[...new Set(idle.map((one) => statusText(one.status)))].join(" or ")}`];
  return allRunning(clocks, total);
}

// A clock that waits for an earlier stage is not a cause.
const isWaiting = ({ hold }) => hold.reason === "upstream_behind";

// The names of the stopped clocks, without those that wait for an earlier stage; or their reason, if they are many and have only one.
function causeOf(broken, stopped) {
  const causes = broken.filter((clock) => !isWaiting(clock));
  const waiting = stopped - causes.length;
  if (causes.length && waiting && broken.length === stopped) return `: ${namesOf(causes)}, and ${plural(waiting, "clock")} after ${causes.length === 1 ? "it" : "them"}`;
  const reasons = new Set(broken.map((clock) => clock.hold.reason));
  if (stopped <= MAX_NAMED || reasons.size !== 1) return `: ${namesOf(broken, stopped)}`;
  const which = broken.length < stopped ? `, the ${count(broken.length)} worst` : "";
  return `${which}: ${reasonText(broken[0].hold.reason)}`;
}

// What is due in schedules is not sent, or late, although the clocks move.
function withoutSchedules(clocks) {
  const found = clocks.filter((clock) => schedulesError(clock));
  if (found.length === 0) return null;
  const errors = found.map(schedulesError);
  const tone = errors.some((error) => error.tone === "hold") ? "hold" : "warn";
  if (found.length === 1) return [tone, `${found[0].clock} is ${statusText(found[0].status)}, but ${errors[0].text}`];
  return [tone, `Schedules of ${count(found.length)} clocks are not all sent: ${namesOf(found)}`];
}

const namesOf = (clocks, total) => nameFirst(clocks.map((one) => one.clock), MAX_NAMED, total);

// With an excluded partition the headline is a warning, because ticks promise nothing about this partition.
function allRunning(clocks, total) {
  const text = total === 1 ? `${clocks[0].clock} is running` : `All ${count(total)} clocks are running`;
  const part = clocks.filter((clock) => clock.partitions.excluded);
  if (part.length === 0) return ["ok", text];
  if (total === 1) return ["warn", `${text}, without ${plural(part[0].partitions.excluded, "partition")}`];
  return ["warn", `${text}, ${namesOf(part)} without some partitions`];
}

function headlineOfOne(clock) {
  if (clock.status === "paused") return `${clock.clock} is paused`;
  if (!clock.last_tick) return `${clock.clock} waits for its first tick`;
  const held = heldSeconds(clock);
  return held === null ? `${clock.clock} stopped` : `${clock.clock} stopped ${duration(held)} ago`;
}
