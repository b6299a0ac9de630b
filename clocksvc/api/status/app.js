// The main module: requests the clocks every 5 s, follows the ticks of the selected clock, and draws the page.

import { answeredAtMs, withTimes } from "./ages.js";
import { get, RequestFailed } from "./api.js";
import * as clockPanel from "./clock.js";
import * as connection from "./connection.js";
import { byId, setText, setVisible, setTone } from "./dom.js";
import * as facts from "./facts.js";
import { first } from "./first_request.js";
import * as partitionMap from "./partition_map.js";
import { Holds } from "./holds.js";
import * as overview from "./overview.js";
import * as pace from "./pace.js";
import { Partitions } from "./partitions.js";
import * as runbook from "./runbook.js";
import * as schedules from "./schedules.js";
import { follow } from "./stream.js";
import * as table from "./table.js";
import * as theme from "./theme.js";
import * as ticks from "./ticks.js";
import * as timeline from "./timeline.js";
import * as token from "./token.js";
import { severity, isStopped, headline, holdText } from "./headline.js";
import { timeOfDay, localTime, dateTime, plural, duration } from "./format.js";

const POLL_EVERY_MS = 5_000;
const LISTED_TICKS = 12;
const MAX_LAG_MS = 1_000; // how long a replica may need to read a tick

const clocks = new Map();
const tickedAtMs = new Map(); // by clock: when its last tick arrived by the stream, measured by performance.now()
let hasClocks = false; // true once the service has sent its clocks
let rejection = ""; // the service's error, if it rejected the last request
let drawError = ""; // the error while the last answer was drawn
let drawing = null;
let link = { attempt: 0, nextMs: 0 }; // null while the stream is connected
const partitionsOf = new Map(); // by clock: its Partitions, if the clock has been selected
let selected = null; // {name, partitions, holds, ticks, ticksMissing, endTicks()}: the selected clock; `ticks` are its newest ticks, ascending

async function poll(request) {
  const requestedAtMs = performance.now();
  let answer = null;
  try {
    answer = await request;
  } catch (error) {
    if (error instanceof RequestFailed) rejection = error.message;
  }
  if (answer) {
    rejection = drawError = "";
    hasClocks = true;
    connection.onClocks();
  }
  setTimeout(() => poll(get("v1/clocks")), POLL_EVERY_MS);
  guarded(() => (answer ? update(answer.clocks, requestedAtMs) : drawTimes()));
  readMore();
}

// Read what belongs to the selected clock alone, after the answer with its state, so that both have nearly the same time.
function readMore() {
  const one = selected;
  const clock = clocks.get(one?.name);
  if (!clock) return;
  one.partitions.read().then((changed) => changed && one === selected && guarded(drawPartitions));
  if (one.ticksMissing) loadTicks(one);
  one.holds.read(clock).then((changed) => changed && one === selected && guarded(drawHolds));
}

// If an answer can't be drawn, for example because it has another version, the page must not go on to show the old state
// as if it were current, and must not stop its requests.
function guarded(draw) {
  try {
    draw();
  } catch (error) {
    drawError = error.message;
    drawTop();
  }
}

function update(states, requestedAtMs) {
  const before = new Map(clocks);
  const nowMs = states.map(answeredAtMs).find((ms) => ms !== null);
  if (nowMs !== undefined) connection.setTime(nowMs);
  clocks.clear();
  for (const state of states) clocks.set(state.clock, withNewestTick(before.get(state.clock), state, requestedAtMs));
  clocks.forEach(pace.measure);
  selectClock();
  announceChanges(before);
  drawAll();
}

// The stream may already have delivered a later tick than an answer has, if the answer was slow or its replica lags. The
// later tick is then kept. The hold of the answer is ignored only if the request was sent before the tick, or so soon
// after the tick that the replica may not have read it.
function withNewestTick(before, answer, requestedAtMs) {
  const state = withTimes(answer, connection.now());
  const last = before?.last_tick;
  if (!last || !state.last_tick || state.timestamp_seconds >= last.timestamp_seconds) return state;
  const outdated = requestedAtMs < (tickedAtMs.get(state.clock) ?? 0) + MAX_LAG_MS;
  const asOfMs = Math.max(before.asOfMs, state.asOfMs);
  return { ...state, asOfMs, ...tickFields(last), ...(outdated ? { hold: before.hold, status: before.status } : {}) };
}

const tickFields = (tick) => ({ time: tick.time, timestamp_seconds: tick.timestamp_seconds, last_tick: tick });

// Select the clock in the URL, or else the clock with the most severe status. Without a clock in the URL, the selected
// clock is replaced only if it is not stopped and another clock is.
function selectClock() {
  // The name of a clock needs no URL escapes.
  const wanted = location.hash.slice(1);
  const name = clocks.has(wanted) ? wanted : mostSevere();
  if (selected?.name === name) return;
  selected?.endTicks();
  selected = name === null ? null : openClock(name);
}

function mostSevere() {
  const [name] = [...clocks.keys()].sort((a, b) => severity(clocks.get(a)) - severity(clocks.get(b)));
  const stays = clocks.has(selected?.name) && !(severity(clocks.get(name)) === 0 && severity(clocks.get(selected.name)) > 0);
  return stays ? selected.name : (name ?? null);
}

function openClock(name) {
  if (!partitionsOf.has(name)) partitionsOf.set(name, new Partitions(name));
  const one = { name, partitions: partitionsOf.get(name), holds: new Holds(name), ticks: [] };
  followTicks(one);
  return one;
}

// Read the newest ticks, then follow the stream.
function followTicks(one) {
  let endStream = () => {};
  let ended = false;
  one.endTicks = () => {
    ended = true;
    endStream();
  };
  one.ticks = [];
  ticks.draw([]);
  loadTicks(one).then(() => {
    if (!ended) endStream = follow(one.name, one.ticks.at(-1)?.timestamp_seconds ?? null, listener(one));
  });
}

// Read the newest ticks. If it fails, the page tries again after the next answer.
async function loadTicks(one) {
  one.ticksMissing = false;
  try {
    const answer = await get(`v1/clocks/${one.name}/ticks?limit=${LISTED_TICKS}`);
    if (selected !== one) return;
    const lastS = answer.ticks.at(-1)?.timestamp_seconds ?? 0;
    one.ticks = [...answer.ticks, ...one.ticks.filter((tick) => tick.timestamp_seconds > lastS)].slice(-LISTED_TICKS);
    ticks.draw(one.ticks);
  } catch (error) {
    one.ticksMissing = true;
    console.debug("ticks:", error.message);
  }
}

function listener(one) {
  return {
    state: onState,
    tick: onTick,
    reset: () => {
      // Ticks were missed and are no longer kept: start again with the newest ones.
      one.endTicks();
      followTicks(one);
    },
    link: (state) => {
      link = state;
      drawLink();
    },
  };
}

function onState(state) {
  const before = new Map(clocks);
  clocks.set(state.clock, withNewestTick(before.get(state.clock), state, performance.now()));
  announceChanges(before);
  drawAll();
}

function onTick(tick) {
  const clock = clocks.get(selected.name);
  if (!clock || tick.clock !== selected.name || tick.timestamp_seconds <= (selected.ticks.at(-1)?.timestamp_seconds ?? 0)) return;
  selected.ticks = [...selected.ticks.slice(1 - LISTED_TICKS), tick];
  connection.setTime(Math.max(connection.now(), Date.parse(tick.emitted_at)));
  tickedAtMs.set(selected.name, performance.now());
  clocks.set(selected.name, { ...clock, ...tickFields(tick), ...endedHold(clock), asOfMs: connection.now() });
  pace.measure(clocks.get(selected.name));
  scheduleDraw();
}

// Draw once if many ticks arrive at once after an outage.
function scheduleDraw() {
  drawing ??= requestAnimationFrame(() => {
    drawing = null;
    if (!selected) return;
    ticks.draw(selected.ticks);
    drawTimes();
  });
}

// A tick ends a hold. The other changes come with the next answer.
function endedHold(clock) {
  if (!clock.hold) return {};
  announce(`${clock.clock} is running again`);
  return { hold: null, status: "catching_up" };
}

function announceChanges(before) {
  for (const [name, clock] of clocks) {
    const old = before.get(name);
    if (!old || isStopped(old) === isStopped(clock)) continue;
    announce(clock.hold ? stopText(clock) : `${name} is running again`);
  }
}

const stopText = ({ clock: name, hold }) => `${name} stopped. ${holdText(hold, 3)}`;

function announce(text) {
  byId("Announce").textContent = text;
}

function drawAll() {
  const clock = clocks.get(selected?.name);
  if (clock) selected.partitions.update(clock);
  drawTimes();
  drawMap();
  drawHolds();
  if (clocks.size && !performance.getEntriesByName("clocks-shown").length) performance.mark("clocks-shown");
}

// Called once a second and after each change. Writes only the texts that changed.
function drawTimes() {
  drawTop();
  drawPanel();
}

function drawPanel() {
  const clock = clocks.get(selected?.name);
  setVisible(byId("Clock"), Boolean(clock));
  if (!clock) return;
  clockPanel.draw(clock, selected.partitions, pace.paceOf(clock), outage());
  facts.draw(clock);
  schedules.draw(clock);
}

// Returns null while the state of the clocks is known. Otherwise returns since when it is unknown, why, and the headline.
function outage() {
  const noAnswer = connection.outage();
  if (noAnswer) return { ...noAnswer, headline: "The service does not answer" };
  const sinceMs = connection.clocksReceivedMs() ?? connection.now();
  if (token.isAsking()) return { sinceMs, why: "it requires a token", ever: hasClocks, headline: "The service requires a token" };
  if (rejection) return { sinceMs, why: rejection, ever: hasClocks, headline: "The service rejected the request" };
  return drawError ? { sinceMs, why: drawError, ever: hasClocks, headline: "The service's answer can't be displayed" } : null;
}

// Draw what is above the selected clock.
function drawTop() {
  const nowMs = connection.now();
  const unknown = outage();
  const [sort, text] = topLine(unknown);
  setText(byId("Headline"), text);
  setTone(byId("Headline"), sort);
  document.body.classList.toggle("stale", Boolean(unknown));
  document.title = `${{ hold: "■ ", lost: "? ", warn: "» ", paused: "‖ " }[sort] ?? ""}${text} · clocksvc`;
  setText(byId("Now"), timeOfDay(nowMs));
  setText(byId("LocalNow"), localTime(nowMs));
  setVisible(byId("Outage"), Boolean(unknown));
  setText(byId("Outage"), unknown ? outageText(unknown, nowMs) : "");
  overview.draw(clocks, selected?.name, Boolean(unknown));
  drawLink();
}

function topLine(unknown) {
  if (unknown) return ["lost", unknown.headline];
  return hasClocks ? headline([...clocks.values()]) : ["idle", "Connecting to the service …"];
}

function outageText({ sinceMs, why, ever }, nowMs) {
  if (!ever) return `No answer yet (${why}). Retrying every few seconds.`;
  return `No answer since ${dateTime(sinceMs, nowMs)} UTC, for ${duration((nowMs - sinceMs) / 1000)} (${why}). The page shows the state at that time. Retrying every few seconds.`;
}

function drawLink() {
  const left = link === null ? 0 : Math.max(0, Math.ceil((link.nextMs - connection.now()) / 1000));
  const words = link === null ? "live" : link.attempt === 0 ? "connecting" : `reconnecting${left ? ` in ${left} s` : " now"}, ${plural(link.attempt, "attempt")}`;
  setText(byId("Link"), words);
  setTone(byId("Link"), link === null ? "ok" : "warn");
  ticks.drawLink(link === null);
}

// Called after a page of partition clocks was read.
function drawPartitions() {
  drawPanel();
  drawMap();
}

function drawMap() {
  const clock = clocks.get(selected?.name);
  if (!clock || !selected.partitions.size) return;
  const hold = clockPanel.holders(clock);
  partitionMap.drawLegend(clock);
  partitionMap.draw(selected.partitions, clock, hold);
  table.draw(selected.partitions, hold);
}

function drawHolds() {
  const clock = clocks.get(selected?.name);
  if (clock) timeline.draw(selected.holds, clock);
}

function onHover(event) {
  const clock = clocks.get(selected?.name);
  const words = clock && partitionMap.describeAt(selected.partitions, event.offsetX, event.offsetY, clockPanel.holders(clock));
  setText(byId("Hover"), words ?? "Point at a cell to see its partition.");
}

function start() {
  theme.start(drawMap);
  token.start();
  runbook.start();
  table.start();
  connection.onChange(() => {
    announce(connection.outage() ? "The service does not answer" : "The service answers again");
    drawTimes();
  });
  addEventListener("hashchange", () => {
    selectClock();
    drawAll();
    readMore();
  });
  new ResizeObserver(drawMap).observe(byId("Map").parentElement);
  byId("Map").addEventListener("pointermove", onHover);
  setInterval(() => guarded(drawTimes), 1000);
  poll(first);
}

start();
