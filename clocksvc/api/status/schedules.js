// The schedules of a clock: how many there are, whether each partition has an owner, and up to which tick all was sent.

import { byId, updateChildren, make, setText, setTone, setVisible } from "./dom.js";
import { asSentence, count, dateTime, duration, plural } from "./format.js";

const LATE_S = 10; // schedulers announce themselves once a second

// Returns {tone, text, section}: what is wrong with the schedules of a clock, as a clause, and the runbook's section about it;
// null if nothing is known to be wrong.
export function schedulesError(clock) {
  const { owned, partitions, replicas, loading } = clock.schedules ?? { owned: null };
  if (owned === null) return null;
  const section = "ClocksvcSchedulesWithoutOwner";
  if (replicas === 0) return { tone: "hold", text: "no scheduler runs its schedules", section };
  if (owned < partitions) {
    const text = `${count(partitions - owned)} of ${plural(partitions, "partition")} of schedules ${partitions - owned === 1 ? "has" : "have"} no owner`;
    return loading ? { tone: "warn", text: `${text} yet`, section } : { tone: "hold", text, section };
  }
  const late = lateSeconds(clock);
  return late ? { tone: "hold", text: `schedules are ${duration(late)} behind the clock`, section: "ClocksvcSchedulesLate" } : null;
}

// How far the schedules were behind the clock at the time of the answer; 0 if that is normal or not known.
function lateSeconds({ schedules: { position }, answeredTickMs, interval_seconds: interval }) {
  if (position === null || answeredTickMs === null) return 0;
  const late = (answeredTickMs - Date.parse(position)) / 1000;
  return late > Math.max(2 * interval, LATE_S) ? late : 0;
}

// Draw the panel. It is hidden for a clock without schedules.
export function draw(clock) {
  const { schedules } = clock;
  setVisible(byId("Schedules"), schedules !== null);
  if (schedules === null) return;
  setText(byId("SchedulesCount"), schedules.count === null ? "not known" : count(schedules.count));
  const facts = new Map(Object.entries(factsOf(clock, schedules)));
  updateChildren(byId("SchedulesFacts"), [...facts.keys()], (name) => make("div", {}, make("dt", { textContent: name }), make("dd")), (item, name) => {
    const [text, tone] = facts.get(name);
    setText(item.lastChild, text);
    setTone(item, tone);
  });
  const { loading, loaded_ratio: ratio } = schedules;
  setVisible(byId("Loading"), Boolean(loading) && ratio !== null);
  if (ratio !== null) byId("Loading").value = ratio;
  const link = byId("SchedulesRunbook");
  const section = schedulesError(clock)?.section ?? "";
  setVisible(link, section !== "");
  if (link.dataset.section !== section) setText(link, `Runbook: ${section}`);
  link.dataset.section = section;
  updateChildren(byId("SchedulesProblems"), schedules.problems.map(asSentence), () => make("li"), setText);
}

function factsOf(clock, schedules) {
  const { owned, partitions, replicas, loading, loaded_ratio: ratio, due_per_minute: due, missed, unreadable } = schedules;
  if (owned === null) return { Partitions: [`${count(partitions)}. Their owners are not known, because Redis does not answer.`, "hold"] };
  const error = schedulesError(clock);
  const facts = {
    Partitions: [`${count(owned)} of ${count(partitions)} have an owner`, owned < partitions ? error.tone : ""],
    Schedulers: [replicas === 0 ? "None" : count(replicas), replicas === 0 ? "hold" : ""],
  };
  if (loading) facts.Loading = [`${plural(loading, "partition")}${ratio === null ? "" : `, ${Math.floor(100 * ratio)} % read`}`, ""];
  facts["Due a minute"] = [due === null ? "not known" : count(Math.round(due)), ""];
  facts["Sent up to"] = [sentUpTo(clock), lateSeconds(clock) ? "hold" : ""];
  facts.Missed = [missed === null ? "not known" : missed ? `${count(missed)} since the schedulers started` : "None", missed ? "warn" : ""];
  if (unreadable) facts.Unreadable = [`${plural(unreadable, "record")}: see the scheduler's log`, "warn"];
  return facts;
}

function sentUpTo(clock) {
  const { position } = clock.schedules;
  if (position === null) return "not known";
  const late = lateSeconds(clock);
  return `${dateTime(Date.parse(position), clock.answeredMs)}${late ? `, ${duration(late)} behind the clock` : ""}`;
}
