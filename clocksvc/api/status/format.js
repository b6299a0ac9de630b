// Formats times, durations, numbers and names.

const two = (number) => String(number).padStart(2, "0");

const PARTS = [[86_400, "d"], [3_600, "h"], [60, "min"], [1, "s"]];

// Returns a duration such as 7 s, 90 s, 7 min 12 s, 3 h 5 min or 2 d.
export function duration(seconds) {
  const sign = seconds < -0.5 ? "−" : "";
  const whole = Math.round(Math.abs(seconds));
  if (whole < 120) return `${sign}${whole} s`;
  const at = PARTS.findIndex(([size]) => whole >= size);
  const [[size, unit], [small, its]] = PARTS.slice(at, at + 2);
  const rest = Math.floor((whole % size) / small);
  return `${sign}${Math.floor(whole / size)} ${unit}${rest ? ` ${rest} ${its}` : ""}`;
}

// Returns a duration that fits into a cell of the map, such as 9s, 12m, 3h or 2d: the first part of `duration`.
export const shortDuration = (seconds) => duration(Math.max(0, seconds)).replace(/^(\d+) (s|min|h|d)\b.*/, (_, number, unit) => number + unit[0]);

export function timeOfDay(ms) {
  const at = new Date(ms);
  return `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())}`;
}

export function timeOfDayMs(ms) {
  return `${timeOfDay(ms)}.${String(((ms % 1000) + 1000) % 1000).padStart(3, "0")}`;
}

export function date(ms) {
  return new Date(ms).toISOString().slice(0, 10);
}

// The time of day, with the date if it is not today.
export function dateTime(ms, nowMs) {
  return date(ms) === date(nowMs) ? timeOfDay(ms) : `${date(ms)} ${timeOfDay(ms)}`;
}

// The user's local time; empty if the user's time zone is UTC.
export function localTime(ms) {
  const at = new Date(ms);
  return at.getTimezoneOffset() === 0 ? "" : `${two(at.getHours())}:${two(at.getMinutes())} here`;
}

export const count = (number) => number.toLocaleString("en");

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

export const partitionName = ({ topic, partition }) => `${topic}:${partition}`;

// The name of a stage of a pipeline, such as raw, or raw@ and the URL if another service runs it.
export const stageName = ({ clock, url }) => (url ? `${clock}@${url}` : clock);

// The first few names, then the number of the others. `total` is larger than the number of names if not all are known.
export function nameFirst(names, most = 5, total = names.length) {
  const named = names.slice(0, most);
  const more = total - named.length;
  return named.join(", ") + (more > 0 ? ` and ${count(more)} more` : "");
}

// Returns a text as a sentence. The first letter becomes a capital, unless the first word can be a name: a name of a
// topic, for example, is followed by a colon or has other characters than letters.
export function asSentence(text) {
  const capital = /^[a-z]+('[a-z]+)?[ ,]/.test(text) ? text[0].toUpperCase() + text.slice(1) : text;
  return /[.:!?…]$/.test(capital) ? capital : `${capital}.`;
}
