// The holds of one clock in the last days, as the service keeps them.

import { get } from "./api.js";

const LIMIT = 100;
const EVERY_MS = 60_000; // also read when a hold begins or ends

export class Holds {
  constructor(clock) {
    this.clock = clock;
    this.list = null; // the newest hold first; null until the service has sent them
    this.more = false; // true if there are older ones
    this.keptSinceMs = null;
    this.reason = undefined; // the reason of the present hold when the list was requested
    this.readAtMs = 0;
  }

  // Read the holds if they may have changed since the last request. Returns true if they were read.
  async read(state) {
    const reason = state.hold?.reason ?? null;
    if (document.hidden || (reason === this.reason && performance.now() - this.readAtMs < EVERY_MS)) return false;
    this.readAtMs = performance.now();
    try {
      const answer = await get(`v1/clocks/${this.clock}/holds?limit=${LIMIT}`);
      this.list = answer.holds.map(fromWire);
      this.more = answer.next !== null;
      this.keptSinceMs = answer.kept_since === null ? null : Date.parse(answer.kept_since);
      this.reason = reason;
      return true;
    } catch (error) {
      console.debug("holds:", error.message);
      return false;
    }
  }
}

const fromWire = ({ began_at: began, ended_at: ended, ...hold }) => ({ ...hold, fromMs: Date.parse(began), untilMs: ended === null ? null : Date.parse(ended) });
