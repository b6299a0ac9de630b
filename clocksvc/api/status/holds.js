// Computes holds from ticks: a hold is a long gap between the emission of two ticks. Its reason is known only if this page
// was open during the hold.

const WINDOW_MS = 6 * 3_600_000;

export class Holds {
  constructor() {
    this.gaps = [];
    this.without = [];
    this.seen = new Map();
    this.oldestMs = null;
    this.last = null;
    this.open = null;
  }

  // Returns a copy without ticks, to which the ticks can be added again. It keeps the known reasons.
  withoutTicks() {
    const made = new Holds();
    made.seen = this.seen;
    return made;
  }

  // Ticks must be added in order. Ticks that were added before are ignored.
  addTick(tick, holdAfterS) {
    const emittedMs = Date.parse(tick.emitted_at);
    if (this.last !== null && tick.timestamp_seconds <= this.last.timestamp_seconds) return;
    if (this.last !== null) this.#gap(Date.parse(this.last.emitted_at), emittedMs, holdAfterS);
    this.oldestMs ??= emittedMs;
    if (tick.excluded.length) this.#excluded(emittedMs);
    else this.open = null;
    this.last = tick;
    this.#forget(emittedMs - WINDOW_MS);
  }

  // Remember the reason of a state's hold.
  addState(clock) {
    if (!clock.hold?.since) return;
    this.seen.set(Date.parse(clock.hold.since), { reason: clock.hold.reason, partitions: clock.hold.partitions });
  }

  // Returns [{fromMs, untilMs, reason, partitions}], the newest hold first. `untilMs` is null if the hold continues.
  list(clock) {
    const found = this.gaps.map((gap) => ({ ...gap, ...this.seen.get(gap.fromMs) }));
    if (clock.hold?.since) {
      const { reason, partitions } = clock.hold;
      found.push({ fromMs: Date.parse(clock.hold.since), untilMs: null, reason, partitions });
    }
    return found.reverse();
  }

  #gap(fromMs, untilMs, holdAfterS) {
    // A hold that this page has seen counts, even if it was short.
    if (untilMs - fromMs > holdAfterS * 1000 || this.seen.has(fromMs)) this.gaps.push({ fromMs, untilMs });
  }

  #excluded(emittedMs) {
    this.open ??= this.without[this.without.push({ fromMs: emittedMs, untilMs: emittedMs }) - 1];
    this.open.untilMs = emittedMs;
  }

  #forget(beforeMs) {
    this.oldestMs = Math.max(this.oldestMs, beforeMs);
    this.gaps = this.gaps.filter((gap) => gap.untilMs > beforeMs);
    this.without = this.without.filter((gap) => gap.untilMs > beforeMs);
    for (const sinceMs of this.seen.keys()) if (sinceMs < beforeMs - WINDOW_MS) this.seen.delete(sinceMs);
  }
}
