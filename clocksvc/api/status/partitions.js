// Reads all partition clocks of one clock: a page of at most 60 kB every 5 s, and nothing while the tab is hidden.

import { get } from "./api.js";

const EVERY_MS = 5_000;
const answered = new Map(); // when each clock's last page arrived, to keep the 5 s if a clock is selected again

// All partitions. For each topic there is a list of clocks in ms (null if unknown) and a list of marks; the index is the
// number of the partition.
export class Partitions {
  constructor() {
    this.topics = new Map();
    this.complete = false;
  }

  get size() {
    let sum = 0;
    for (const { clocks } of this.topics.values()) sum += clocks.length;
    return sum;
  }

  // Call `visit(topic, number, clockMs, mark)` for each partition.
  each(visit) {
    for (const [topic, { clocks, marks }] of this.topics) {
      for (let number = 0; number < clocks.length; number += 1) visit(topic, number, clocks[number], marks[number]);
    }
  }

  add({ now_ms: nowMs, runs }, fresh) {
    for (const { topic, first, behind_ms: behind, marks } of runs) {
      if (!this.topics.has(topic)) this.topics.set(topic, { clocks: [], marks: [] });
      const known = this.topics.get(topic);
      behind.forEach((ms, at) => {
        known.clocks[first + at] = ms === null ? null : nowMs - ms;
        known.marks[first + at] = marks[at];
      });
      fresh.set(topic, first + behind.length);
    }
  }

  // Remove the partitions that were missing in a complete round of pages.
  keepOnly(fresh) {
    for (const [topic, known] of this.topics) {
      known.clocks.length = known.marks.length = fresh.get(topic) ?? 0;
      if (!fresh.has(topic)) this.topics.delete(topic);
    }
    this.complete = true;
  }
}

// Read until the returned function is called. `changed` is called after each page.
export function watch(clock, partitions, changed) {
  let timer = null;
  let ended = false;
  let after = null;
  let fresh = new Map();

  async function read() {
    if (!document.hidden) await page().catch((error) => console.debug("partitions:", error.message));
    // The pause begins after the answer, so that a slow service gets fewer requests.
    answered.set(clock, performance.now());
    if (!ended) timer = setTimeout(read, EVERY_MS);
  }

  async function page() {
    const answer = await get(`v1/clocks/${clock}/partitions/brief${after === null ? "" : `?after=${encodeURIComponent(after)}`}`);
    if (ended) return;
    partitions.add(answer, fresh);
    after = answer.next;
    if (after === null) {
      partitions.keepOnly(fresh);
      fresh = new Map();
    }
    changed();
  }

  timer = setTimeout(read, Math.max(0, (answered.get(clock) ?? -EVERY_MS) + EVERY_MS - performance.now()));
  return () => {
    ended = true;
    clearTimeout(timer);
  };
}
