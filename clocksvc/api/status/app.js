// The main module: requests the clocks every 5 s, follows the ticks of the selected clock, and draws the page.

import { RequestFailed } from "./api.js";
import * as clockPanel from "./clock.js";
import { ClockList } from "./clock_list.js";
import * as connection from "./connection.js";
import { byId, setText, setVisible, setTone } from "./dom.js";
import * as facts from "./facts.js";
import { first } from "./first_request.js";
import * as partitionMap from "./partition_map.js";
import * as overview from "./overview.js";
import * as pace from "./pace.js";
import * as pipeline from "./pipeline.js";
import * as runbook from "./runbook.js";
import * as schedules from "./schedules.js";
import { SelectedClock } from "./selected.js";
import * as table from "./table.js";
import * as theme from "./theme.js";
import * as ticks from "./ticks.js";
import * as timeline from "./timeline.js";
import * as token from "./token.js";
import { severityOf, isStopped, headline, holdText } from "./headline.js";
import { timeOfDay, localTime, dateTime, plural, duration } from "./format.js";

const POLL_EVERY_MS = 5_000;
const CLOCK_NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const MAX_ANNOUNCED = 3;

const list = new ClockList(new URLSearchParams(location.search));
let rejection = ""; // the service's error, if it rejected the last request
let drawError = ""; // the error while the last answer was drawn
let drawing = null;
let link = { attempt: 0, nextMs: 0 }; // null while the stream is connected
let selected = null; // the SelectedClock, or null
let opening = null; // the name of the clock that will be selected as soon as its state was read
let missing = null; // the name in the URL, if there is no such clock, or this token may not see it
let stopped = new Map(); // by clock: whether it was stopped when the changes were last announced

async function poll(request = null) {
  const one = selected;
  const requestedAtMs = performance.now();
  const requests = [request || list.isDue ? list.request(request) : null, one?.request() ?? null];
  const [pages, state] = await Promise.allSettled(requests);
  setTimeout(poll, POLL_EVERY_MS);
  const failures = [pages.reason, isMissing(state.reason) ? null : state.reason].filter(Boolean);
  if (failures.length === 0) rejection = drawError = "";
  else rejection = failures.find((error) => error instanceof RequestFailed)?.message ?? rejection;
  if (one === selected && isMissing(state.reason)) select(null);
  guarded(() => {
    if (pages.value) accept(pages.value);
    if (state.value) one.accept(state.value, requestedAtMs);
    if (pages.value || state.value) drawAll();
    else drawTimes();
  });
  await chooseClock();
  readMore();
}

function accept(pages) {
  try {
    list.accept(pages);
  } finally {
    connection.onClocks(list.everyMs);
  }
  latest().forEach(pace.measure);
}

// Read what belongs to the selected clock alone, after the answer with its state, so that both have nearly the same time.
function readMore() {
  const one = selected;
  if (one === null) return;
  one.partitions.read().then((changed) => changed && one === selected && guarded(drawPartitions));
  if (one.ticksMissing) one.readTicks();
  one.pipeline.read().then((changed) => changed && one === selected && guarded(drawPanel));
  one.holds.read(one.state).then((changed) => changed && one === selected && guarded(drawHolds));
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

// The clocks of a page, the first one unless another is given. The selected clock has its newest state.
const latest = (page = list.top) => (page?.clocks ?? []).map((clock) => (clock.clock === selected?.name ? selected.state : clock));

// Select the clock in the URL, or else the worst clock. Without a clock in the URL, the selected clock is replaced only if it is
// not stopped and another clock is.
async function chooseClock() {
  const wanted = location.hash.slice(1);
  const name = exists(wanted) ? wanted : mostSevere();
  if (name === opening) return;
  opening = name === selected?.name ? null : name;
  if (opening === null) return;
  const one = new SelectedClock(name, listener);
  const requestedAtMs = performance.now();
  let state;
  try {
    state = await one.request();
  } catch (error) {
    console.debug("clock:", error.message);
    if (opening !== name) return;
    opening = null; // the next poll tries again
    if (name !== wanted || !isMissing(error)) return;
    missing = wanted;
    await chooseClock();
    return;
  }
  if (opening !== name) return; // the user has selected another clock in the meantime
  opening = null;
  guarded(() => {
    one.accept(state, requestedAtMs);
    select(one);
    drawAll();
  });
}

// A clock can exist although it is on none of the pages that were read.
function exists(name) {
  if (!CLOCK_NAME.test(name) || list.top === null) return false;
  return list.has(name) || (list.top.next !== null && name !== missing);
}

// True if there is no such clock, or if this token may not see it.
const isMissing = (error) => error instanceof RequestFailed && [403, 404].includes(error.status);

function mostSevere() {
  const [worst] = latest();
  if (!worst || !selected) return worst?.clock ?? null;
  const isWorse = severityOf(worst.status) === 0 && severityOf(selected.state.status) > 0;
  return isWorse ? worst.clock : selected.name;
}

function select(one) {
  selected?.end();
  selected = one;
  one?.follow();
  ticks.draw([]);
}

const listener = {
  state: () => guarded(drawAll),
  // Draw once if many ticks arrive at once after an outage.
  ticks: () => {
    drawing ??= requestAnimationFrame(() => {
      drawing = null;
      if (!selected) return;
      ticks.draw(selected.ticks);
      announceChanges();
      drawTimes();
    });
  },
  link: (state) => {
    link = state;
    drawLink();
  },
};

// Announce to screen readers which clocks have stopped or are running again. The first page has the worst clocks, so a clock that was
// not on it before was running then, if another clock on it was running.
function announceChanges() {
  const before = stopped;
  const clocks = latest();
  if (selected && !clocks.includes(selected.state)) clocks.push(selected.state);
  stopped = new Map(clocks.map((clock) => [clock.clock, isStopped(clock)]));
  const unlisted = list.top.next !== null && [...before.values()].includes(false) ? false : undefined;
  const changed = clocks.filter((clock) => ![undefined, isStopped(clock)].includes(before.get(clock.clock) ?? unlisted));
  if (changed.length > MAX_ANNOUNCED) announce(topLine(outage())[1]);
  else if (changed.length) announce(changed.map(changeText).join(". "));
}

const changeText = (clock) => (isStopped(clock) ? `${clock.clock} stopped. ${holdText(clock.hold, 3)}` : `${clock.clock} is running again`);

function announce(text) {
  byId("Announce").textContent = text;
}

function drawAll() {
  announceChanges();
  drawTimes();
  drawMap();
  drawHolds();
  if (selected && !performance.getEntriesByName("clocks-shown").length) performance.mark("clocks-shown");
}

// Called once a second and after each change. Writes only the texts that changed.
function drawTimes() {
  drawTop();
  drawPanel();
}

function drawPanel() {
  setVisible(byId("Clock"), selected !== null);
  if (!selected) return;
  const { state, partitions } = selected;
  clockPanel.draw(state, partitions, pace.paceOf(state), outage());
  facts.draw(state);
  pipeline.draw(selected.pipeline, state);
  schedules.draw(state);
}

// Returns null while the state of the clocks is known. Otherwise returns since when it is unknown, why, and the headline.
function outage() {
  const noAnswer = connection.outage();
  if (noAnswer) return { ...noAnswer, headline: "The service does not answer" };
  const sinceMs = connection.clocksReceivedMs() ?? connection.now();
  if (token.isAsking()) return { sinceMs, why: "it requires a token", ever: list.top !== null, headline: "The service requires a token" };
  if (rejection) return { sinceMs, why: rejection, ever: list.top !== null, headline: "The service rejected the request" };
  return drawError ? { sinceMs, why: drawError, ever: list.top !== null, headline: "The service's answer can't be displayed" } : null;
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
  overview.draw(list, latest(list.page), selected?.name, Boolean(unknown));
  drawLink();
}

function topLine(unknown) {
  if (unknown) return ["lost", unknown.headline];
  return list.top === null ? ["idle", "Connecting to the service …"] : headline(latest(), list.rest());
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
  if (!selected?.partitions.size) return;
  const { state, partitions } = selected;
  const hold = clockPanel.holders(state);
  partitionMap.drawLegend(state);
  partitionMap.draw(partitions, state, hold);
  table.draw(partitions, hold);
}

function drawHolds() {
  if (selected) timeline.draw(selected.holds, selected.state);
}

function onHover(event) {
  const words = selected && partitionMap.describeAt(selected.partitions, event.offsetX, event.offsetY, clockPanel.holders(selected.state));
  setText(byId("Hover"), words ?? "Point at a cell to see its partition.");
}

// Draw the page of the list that the user has asked for.
async function readPage(request) {
  const { status, search } = list;
  const query = String(new URLSearchParams({ ...(status && { status }), ...(search && { search }) }));
  history.replaceState(null, "", `${location.pathname}${query && `?${query}`}${location.hash}`);
  drawTop();
  try {
    if (!(await request)) return;
    overview.showTop();
    announce(overview.rangeText(list));
  } catch (error) {
    if (error instanceof RequestFailed) rejection = error.message;
  }
  guarded(drawTimes);
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
  overview.start(list, readPage);
  addEventListener("hashchange", async () => {
    missing = null;
    await chooseClock();
    readMore();
  });
  new ResizeObserver(drawMap).observe(byId("Map").parentElement);
  new ResizeObserver(() => selected && pipeline.drawLines(selected.pipeline.stages)).observe(byId("Stages"));
  byId("Map").addEventListener("pointermove", onHover);
  setInterval(() => guarded(drawTimes), 1000);
  poll(first);
}

start();
