// What the page concludes about a clock's heartbeats, from the last answer of the service.

import { secondsSince } from "./ages.js";
import { count, duration } from "./format.js";

const WORKER = "is a Celery worker running?";

// Returns {text, counts, late}: a conclusion, and the counts as text, which can be empty. `late` is true if a round is
// overdue, or if none has ever reached every partition.
export function heartbeats(clock) {
  const { every_seconds: every, last_success_at: last, delivered, failed, expired } = clock.heartbeats;
  if (every === null) return { text: "Off.", counts: "", late: false };
  const due = `one is due every ${duration(every)}`;
  if (delivered === null) return { text: `Every ${duration(every)}. The counts are not known, because Redis does not answer.`, counts: "", late: false };
  const counts = `${count(delivered)} delivered, ${count(failed)} failed, ${count(expired)} expired.`;
  const ago = secondsSince(clock, last);
  if (ago !== null && ago <= 2 * every + 3) return { text: `Every ${duration(every)}, last ${duration(ago)} ago.`, counts, late: false };
  if (ago !== null) return { text: `No heartbeat for ${duration(ago)} though ${due}: ${WORKER}`, counts, late: true };
  if (delivered + failed + expired === 0) return { text: `No heartbeat yet though ${due}: ${WORKER}`, counts: "", late: true };
  return { text: `No heartbeat has reached every partition yet though ${due}: see the Celery worker's log.`, counts, late: true };
}
