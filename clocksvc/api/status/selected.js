// The selected clock: its state, from the service's answers and the stream of its ticks, and what belongs to it alone.

import { answeredAtMs, withTimes } from "./ages.js";
import { get } from "./api.js";
import * as connection from "./connection.js";
import { Holds } from "./holds.js";
import * as pace from "./pace.js";
import { Partitions } from "./partitions.js";
import { Pipeline } from "./pipeline.js";
import { follow } from "./stream.js";

const LISTED_TICKS = 12;
const MAX_LAG_MS = 1_000; // how long a replica may need to read a tick

const partitionsOf = new Map(); // by clock: its Partitions, so that a clock that is selected again has its map at once

// `on.state()` is called after the stream has sent the state, `on.ticks()` when `ticks` has changed, and `on.link(link)` as for
// `follow`.
export class SelectedClock {
  constructor(name, on) {
    if (!partitionsOf.has(name)) partitionsOf.set(name, new Partitions(name));
    this.name = name;
    this.state = null; // null until `accept` was called
    this.partitions = partitionsOf.get(name);
    this.holds = new Holds(name);
    this.pipeline = new Pipeline(name);
    this.ticks = []; // the newest ticks, ascending
    this.ticksMissing = false;
    this.tickedAtMs = -Infinity; // when the last tick arrived by the stream, measured by performance.now()
    this.ended = false;
    this.endStream = () => {};
    this.on = on;
  }

  // Request the state, for `accept`. Throws as `get`.
  request() {
    return get(`v1/clocks/${this.name}`);
  }

  accept(answer, requestedAtMs) {
    const answeredMs = answeredAtMs(answer);
    if (answeredMs !== null) connection.setTime(answeredMs);
    this.state = this.#withNewestTick(withTimes(answer, connection.now()), requestedAtMs);
    this.partitions.update(this.state);
    pace.measure(this.state);
  }

  // Read the newest ticks, then follow the stream.
  async follow() {
    await this.readTicks();
    if (this.ended) return;
    this.endStream = follow(this.name, this.ticks.at(-1)?.timestamp_seconds ?? null, {
      state: (state) => {
        this.accept(state, performance.now());
        this.on.state();
      },
      tick: (tick) => this.#add(tick),
      // Ticks were missed and are no longer kept: start again with the newest ones.
      reset: () => {
        this.endStream();
        this.ticks = [];
        this.follow();
      },
      link: this.on.link,
    });
  }

  end() {
    this.ended = true;
    this.endStream();
  }

  // Read the newest ticks. If it fails, `ticksMissing` is true, and the caller tries again later.
  async readTicks() {
    this.ticksMissing = false;
    try {
      const { ticks } = await get(`v1/clocks/${this.name}/ticks?limit=${LISTED_TICKS}`);
      if (this.ended) return;
      const lastS = ticks.at(-1)?.timestamp_seconds ?? 0;
      this.ticks = [...ticks, ...this.ticks.filter((tick) => tick.timestamp_seconds > lastS)].slice(-LISTED_TICKS);
      this.on.ticks();
    } catch (error) {
      this.ticksMissing = true;
      console.debug("ticks:", error.message);
    }
  }

  // The stream may already have delivered a later tick than an answer has, if the answer was slow or its replica lags. The
  // later tick is then kept. The hold of the answer is ignored only if the request was sent before the tick, or so soon
  // after the tick that the replica may not have read it.
  #withNewestTick(state, requestedAtMs) {
    const { last_tick: last, asOfMs, hold, status } = this.state ?? {};
    if (!last || !state.last_tick || state.timestamp_seconds >= last.timestamp_seconds) return state;
    const outdated = requestedAtMs < this.tickedAtMs + MAX_LAG_MS;
    return { ...state, asOfMs: Math.max(asOfMs, state.asOfMs), ...tickFields(last), ...(outdated ? { hold, status } : {}) };
  }

  #add(tick) {
    if (tick.clock !== this.name || tick.timestamp_seconds <= (this.ticks.at(-1)?.timestamp_seconds ?? 0)) return;
    this.ticks = [...this.ticks.slice(1 - LISTED_TICKS), tick];
    connection.setTime(Math.max(connection.now(), Date.parse(tick.emitted_at)));
    this.tickedAtMs = performance.now();
    // A tick ends a hold. The other changes come with the next answer.
    const endedHold = this.state.hold ? { hold: null, status: "catching_up" } : {};
    this.state = { ...this.state, ...tickFields(tick), ...endedHold, asOfMs: connection.now() };
    pace.measure(this.state);
    this.on.ticks();
  }
}

const tickFields = (tick) => ({ time: tick.time, timestamp_seconds: tick.timestamp_seconds, last_tick: tick });
