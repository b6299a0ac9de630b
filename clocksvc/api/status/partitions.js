// All partition clocks of one clock, read in pages of at most 60 kB.

import { get } from "./api.js";

const PAUSE_MS = 5_000; // after an answer
const LONGEST_WAIT_MS = 1_000;

// All partitions. For each topic there is a list of {clockMs, behindMs, mark}; the index is the number of the partition.
// `clockMs` and `behindMs` are null if the partition is unreported. `behindMs` is the number of the service's answer, so
// that the map, the tables and the sentences show the same age.
export class Partitions {
  constructor(clock) {
    this.clock = clock;
    this.topics = new Map();
    this.after = null;
    this.fresh = new Map();
    this.nextMs = 0; // when the next request may begin, measured by performance.now()
    this.reading = false;
  }

  get size() {
    let sum = 0;
    for (const lines of this.topics.values()) sum += lines.length;
    return sum;
  }

  // Call `visit(topic, number, line)` for each partition.
  each(visit) {
    for (const [topic, lines] of this.topics) lines.forEach((line, number) => visit(topic, number, line));
  }

  // How far a partition of the clock's state is behind, in seconds; null if it is unreported.
  behindSeconds({ topic, partition, behind_seconds: behind }) {
    const known = this.topics.get(topic)?.[partition];
    if (!known) return behind;
    return known.behindMs === null ? null : known.behindMs / 1000;
  }

  // Take over the slowest partitions of a newer answer with the clock's state.
  update({ slowest }) {
    for (const { topic, partition, timestamp_ms: clockMs, behind_seconds: behind, ...line } of slowest) {
      const known = this.topics.get(topic)?.[partition];
      if (known) Object.assign(known, { clockMs, behindMs: behind === null ? null : behind * 1000, mark: markOf(line) });
    }
  }

  // Read the next page, 5 s after the answer with the last page, so that a slow service gets fewer requests. Returns true if a
  // page was read. Nothing is read if it is too early by more than a second, or while the tab is hidden. The next call
  // repeats a failed request.
  async read() {
    const waitMs = this.nextMs - performance.now();
    if (document.hidden || this.reading || waitMs > LONGEST_WAIT_MS) return false;
    this.reading = true;
    if (waitMs > 0) await new Promise((done) => setTimeout(done, waitMs));
    const query = this.after === null ? "" : `?after=${encodeURIComponent(this.after)}`;
    try {
      this.#add(await get(`v1/clocks/${this.clock}/partitions/brief${query}`));
      return true;
    } catch (error) {
      console.debug("partitions:", error.message);
      return false;
    } finally {
      this.nextMs = performance.now() + PAUSE_MS;
      this.reading = false;
    }
  }

  #add({ now_ms: nowMs, runs, next }) {
    for (const { topic, first, behind_ms: behind, marks } of runs) {
      if (!this.topics.has(topic)) this.topics.set(topic, []);
      const lines = this.topics.get(topic);
      behind.forEach((behindMs, at) => {
        lines[first + at] = { clockMs: behindMs === null ? null : nowMs - behindMs, behindMs, mark: marks[at] };
      });
      this.fresh.set(topic, first + behind.length);
    }
    this.after = next;
    if (next === null) this.#keepOnlyFresh();
  }

  // Remove the partitions that were missing in a complete round of pages.
  #keepOnlyFresh() {
    for (const [topic, lines] of this.topics) {
      lines.length = this.fresh.get(topic) ?? 0;
      if (!this.fresh.has(topic)) this.topics.delete(topic);
    }
    this.fresh = new Map();
  }
}

function markOf({ excluded, refused, reported_timestamp_ms: reported }) {
  if (excluded) return "x";
  if (refused) return "!";
  return reported === null ? "?" : ".";
}
