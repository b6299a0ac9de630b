// The page: asks for the clocks each 5 s, follows the ticks of the one that is shown, and draws.

import { get, Refused } from "./api.js";
import * as clockPanel from "./clock.js";
import * as contact from "./contact.js";
import { byId, say, show, tone } from "./dom.js";
import * as facts from "./facts.js";
import { first } from "./first.js";
import * as heat from "./heat.js";
import { Holds } from "./holds.js";
import * as overview from "./overview.js";
import { Partitions, watch } from "./partitions.js";
import * as runbook from "./runbook.js";
import { follow } from "./stream.js";
import * as table from "./table.js";
import * as theme from "./theme.js";
import * as ticks from "./ticks.js";
import * as timeline from "./timeline.js";
import * as token from "./token.js";
import { severity, standsStill, verdict } from "./verdict.js";
import { clockTime, listed, localTime, moment, named, plural, span } from "./words.js";

const EVERY_MS = 5_000;
const HISTORY_AFTER_MS = 2_000;
const FIRST_TICKS = 40;
const LIVE_TICKS = 40;
const MOST_TICKS = 360; // six hours of minutes, in 70 kB

const MAY_LAG_MS = 1_000;

const clocks = new Map();
const tickedAtMs = new Map(); // by the page's own count: when a clock's last tick came by the stream
let asked = false;
let refusal = "";
let fault = ""; // what went wrong when the last answer was drawn
let drawing = null;
let link = { attempt: 0, nextMs: 0 }; // null while the stream is read
const pictures = new Map(); // of each clock that was shown
let shown = null; // {name, partitions, holds, end()}: the clock that is shown

async function poll(question) {
  const askedAtMs = performance.now();
  let answer = null;
  try {
    answer = await question;
  } catch (error) {
    if (error instanceof Refused) refusal = error.message;
  }
  if (answer) {
    refusal = fault = "";
    asked = true;
    contact.toldClocks();
  }
  setTimeout(() => poll(get("v1/clocks")), EVERY_MS);
  guarded(() => (answer ? take(answer.clocks, askedAtMs) : drawTimes()));
}

// Whatever can't be drawn, an answer of another version, say: no old all-clear stays, and the questions go on.
function guarded(draw) {
  try {
    draw();
  } catch (error) {
    fault = `it can't be shown: ${error.message}`;
    drawTop();
  }
}

function take(states, askedAtMs) {
  const before = new Map(clocks);
  clocks.clear();
  for (const state of states) clocks.set(state.clock, newer(before.get(state.clock), state, askedAtMs));
  choose();
  announceChanges(before);
  drawAll();
}

// A stream may have brought a later tick than a slow answer, or one of a replica that lags. What such a replica says of a
// hold counts all the same, unless it was asked before the tick, or so soon after that it may not have read it.
function newer(before, state, askedAtMs) {
  if (state.timestamp_seconds !== null) contact.told((state.timestamp_seconds + state.behind_seconds) * 1000);
  const last = before?.last_tick;
  if (!last || !state.last_tick || state.timestamp_seconds >= last.timestamp_seconds) return state;
  const outdated = askedAtMs < (tickedAtMs.get(state.clock) ?? 0) + MAY_LAG_MS;
  return { ...state, ...reached(last), ...(outdated ? { hold: before.hold, status: before.status } : {}) };
}

const reached = (tick) => ({ time: tick.time, timestamp_seconds: tick.timestamp_seconds, last_tick: tick });

// The clock in the address; else the one that needs somebody most, but none that is looked at is taken away for less than
// one that stands still.
function choose() {
  // A clock's name needs no escapes: an address that has some names none.
  const wanted = location.hash.slice(1);
  const name = clocks.has(wanted) ? wanted : worst();
  if (shown?.name === name) return;
  shown?.end();
  shown = name === null ? null : open(name);
}

function worst() {
  const [name] = [...clocks.keys()].sort((a, b) => severity(clocks.get(a)) - severity(clocks.get(b)));
  const stays = clocks.has(shown?.name) && !(severity(clocks.get(name)) === 0 && severity(clocks.get(shown.name)) > 0);
  return stays ? shown.name : (name ?? null);
}

function open(name) {
  if (!pictures.has(name)) pictures.set(name, new Partitions());
  const one = { name, partitions: pictures.get(name), holds: new Holds(), live: [] };
  const endWatch = watch(name, one.partitions, drawMap);
  one.end = () => {
    endWatch();
    one.endTicks();
  };
  followTicks(one);
  return one;
}

// From what was given before on.
function followTicks(one) {
  let endStream = () => {};
  let ended = false;
  // What is hours old can wait for the picture, and for a store that is away.
  const history = async () => {
    if (!ended && !(await recall(one, MOST_TICKS))) later = setTimeout(history, EVERY_MS);
  };
  let later = setTimeout(history, HISTORY_AFTER_MS);
  one.endTicks = () => {
    ended = true;
    clearTimeout(later);
    endStream();
  };
  one.live = [];
  ticks.draw([]);
  recall(one, FIRST_TICKS).then(() => {
    if (!ended) endStream = follow(one.name, one.holds.last?.timestamp_seconds ?? null, listener(one));
  });
}

function listener(one) {
  return {
    state: onState,
    tick: onTick,
    reset: () => {
      // Too much was missed to be told one by one: begin anew with the newest ones.
      one.endTicks();
      followTicks(one);
    },
    link: (state) => {
      link = state;
      drawLink();
    },
  };
}

// The ticks that were given before this page was opened; whether they could be read.
async function recall(one, limit) {
  try {
    const { ticks: past } = await get(`v1/clocks/${one.name}/ticks?limit=${limit}`);
    if (shown !== one) return true;
    // The stream may have told some of them already, or later ones.
    const byTime = new Map([...past, ...one.live].map((tick) => [tick.timestamp_seconds, tick]));
    const all = [...byTime.values()].sort((a, b) => a.timestamp_seconds - b.timestamp_seconds);
    one.holds = one.holds.anew();
    all.forEach((tick) => one.holds.addTick(tick, clocks.get(one.name).hold_after_seconds));
    one.live = all.slice(-LIVE_TICKS);
    ticks.draw(one.live);
    drawHolds();
    return true;
  } catch (error) {
    console.debug("ticks:", error.message);
    return false;
  }
}

function onState(state) {
  const before = new Map(clocks);
  clocks.set(state.clock, newer(before.get(state.clock), state, performance.now()));
  announceChanges(before);
  drawAll();
}

function onTick(tick) {
  const clock = clocks.get(shown.name);
  if (!clock || tick.clock !== shown.name || tick.timestamp_seconds <= (shown.holds.last?.timestamp_seconds ?? 0)) return;
  contact.told(Math.max(contact.now(), Date.parse(tick.emitted_at)));
  tickedAtMs.set(shown.name, performance.now());
  shown.holds.addTick(tick, clock.hold_after_seconds);
  shown.live = [...shown.live.slice(1 - LIVE_TICKS), tick];
  clocks.set(shown.name, { ...clock, ...reached(tick), ...moving(clock) });
  soon();
}

// Many ticks may come at once, after an outage: they are drawn once.
function soon() {
  drawing ??= requestAnimationFrame(() => {
    drawing = null;
    if (!shown) return;
    ticks.draw(shown.live);
    drawTimes();
  });
}

// A tick is the end of a hold: the next answer says what else has changed.
function moving(clock) {
  if (!clock.hold) return {};
  announce(`${clock.clock} moves again`);
  return { hold: null, status: "catching_up" };
}

function announceChanges(before) {
  for (const [name, clock] of clocks) {
    const old = before.get(name);
    if (!old || standsStill(old) === standsStill(clock)) continue;
    const who = clock.hold ? listed(clock.hold.partitions.map(named), 3) : "";
    announce(clock.hold ? `${name} stands still: ${clock.hold.reason} ${who}` : `${name} moves again`);
  }
}

function announce(text) {
  byId("Announce").textContent = text;
}

function drawAll() {
  drawTimes();
  drawMap();
  drawHolds();
  if (clocks.size && !performance.getEntriesByName("clocks-shown").length) performance.mark("clocks-shown");
}

// Once a second, and whenever something has changed. It writes only the words that are other ones now.
function drawTimes() {
  drawTop();
  drawPanel();
}

function drawPanel() {
  const clock = clocks.get(shown?.name);
  show(byId("Clock"), Boolean(clock));
  if (!clock) return;
  shown.holds.addState(clock);
  const unknown = trouble();
  clockPanel.draw(clock, contact.now(), unknown);
  facts.draw(clock, unknown?.sinceMs ?? contact.now());
}

// null while it is known how the clocks are; else since when it is not, why, and what to say of it.
function trouble() {
  const silent = contact.trouble();
  if (silent) return { ...silent, headline: "The service does not answer" };
  const sinceMs = contact.toldClocksMs() ?? contact.now();
  if (token.isAsking()) return { sinceMs, why: "it wants a token", ever: asked, headline: "The service wants a token" };
  if (!refusal && !fault) return null;
  const headline = refusal ? "The service refuses to tell" : "The service's answer can't be shown";
  return { sinceMs, why: refusal || fault, ever: asked, headline };
}

// What stands above the clock that is shown.
function drawTop() {
  const nowMs = contact.now();
  const unknown = trouble();
  const [sort, text] = headline(unknown, nowMs);
  say(byId("Verdict"), text);
  tone(byId("Verdict"), sort);
  document.body.classList.toggle("stale", Boolean(unknown));
  document.title = `${{ hold: "■ ", lost: "? ", warn: "» ", paused: "‖ " }[sort] ?? ""}${text} · clocksvc`;
  say(byId("Now"), clockTime(nowMs));
  say(byId("LocalNow"), localTime(nowMs));
  show(byId("Trouble"), Boolean(unknown));
  say(byId("Trouble"), unknown ? silence(unknown, nowMs) : "");
  overview.draw(clocks, shown?.name, unknown?.sinceMs ?? nowMs, Boolean(unknown));
  drawLink();
}

function headline(unknown, nowMs) {
  if (unknown) return ["lost", unknown.headline];
  return asked ? verdict([...clocks.values()], nowMs) : ["idle", "Asking the service …"];
}

function silence({ sinceMs, why, ever }, nowMs) {
  if (!ever) return `No answer yet (${why}). It is asked again every few seconds.`;
  return `No answer since ${moment(sinceMs, nowMs)} UTC, for ${span((nowMs - sinceMs) / 1000)} (${why}). What is shown is from then. It is asked again every few seconds.`;
}

function drawLink() {
  const left = link === null ? 0 : Math.max(0, Math.ceil((link.nextMs - contact.now()) / 1000));
  const words = link === null ? "live" : link.attempt === 0 ? "connecting" : `reconnecting${left ? ` in ${left} s` : " now"}, ${plural(link.attempt, "attempt")}`;
  say(byId("Link"), words);
  tone(byId("Link"), link === null ? "ok" : "warn");
  ticks.drawLink(link === null ? "as they come" : "the stream is away; it goes on behind the last one shown");
}

function drawMap() {
  const clock = clocks.get(shown?.name);
  if (!clock || !shown.partitions.size) return;
  const hold = clockPanel.holders(clock);
  heat.drawLegend(clock);
  heat.draw(shown.partitions, clock, hold, contact.now());
  table.draw(shown.partitions, hold, contact.now());
}

function drawHolds() {
  const clock = clocks.get(shown?.name);
  if (clock) timeline.draw(shown.holds, clock, contact.now());
}

function onHover(event) {
  const clock = clocks.get(shown?.name);
  const words = clock && heat.under(shown.partitions, event.offsetX, event.offsetY, clockPanel.holders(clock), contact.now());
  say(byId("Hover"), words ?? "Point at a cell for its partition.");
}

function start() {
  theme.start(drawMap);
  token.start();
  runbook.start();
  table.start();
  contact.onContact(() => {
    announce(contact.trouble() ? "The service does not answer" : "The service answers again");
    drawTimes();
  });
  addEventListener("hashchange", () => {
    choose();
    drawAll();
  });
  new ResizeObserver(drawMap).observe(byId("Map").parentElement);
  byId("Map").addEventListener("pointermove", onHover);
  setInterval(() => guarded(drawTimes), 1000);
  poll(first);
}

start();
