// The pipeline of the selected clock: its stages in order, what each one waits for, and the stage to blame.

import { get } from "./api.js";
import { byId, make, setText, setTone, setVisible, updateChildren } from "./dom.js";
import { asSentence, duration, nameFirst, partitionName, plural, stageName, timeOfDay } from "./format.js";
import { toneOfStatus, wordOf } from "./headline.js";
import { waitsForText, reasonText } from "./words.js";

const ALONE_EVERY_MS = 60_000; // a clock without other stages may get some
const MAX_NAMED = 2;
const SVG = document.getElementById("PipelineLines").namespaceURI;
const WEB = /^https?:/; // the address of another installation is not trusted

// The stages of a clock's pipeline, as the service sent them last.
export class Pipeline {
  constructor(clock) {
    this.clock = clock;
    this.stages = [];
    this.more = 0;
    this.nextMs = 0;
  }

  // Returns true if the stages were read. Only a clock with other stages is read each time.
  async read() {
    if (document.hidden || performance.now() < this.nextMs) return false;
    try {
      const { stages, more } = await get(`v1/clocks/${this.clock}/pipeline`);
      Object.assign(this, { stages, more, nextMs: stages.length > 1 ? 0 : performance.now() + ALONE_EVERY_MS });
      return true;
    } catch (error) {
      console.debug("pipeline:", error.message);
      return false;
    }
  }
}

// Draw the panel. It is hidden for a clock without other stages. `clock` is the state of the selected clock, which may be newer.
export function draw({ stages, more }, clock) {
  setVisible(byId("Pipeline"), stages.length > 1);
  if (stages.length < 2) return;
  const byNumber = new Map();
  for (const stage of stages) byNumber.set(String(stage.number), [...(byNumber.get(String(stage.number)) ?? []), stage]);
  updateChildren(byId("Stages"), [...byNumber.keys()], () => make("li", {}, make("ul")), (column, number) => {
    const found = new Map(byNumber.get(number).map((stage) => [stageName(stage), stage]));
    updateChildren(column.firstChild, [...found.keys()], create, (item, name) => update(item, found.get(name), clock));
  });
  const blamed = stages.filter((one) => one.to_blame).map(stageName);
  const late = blamed.length ? `${nameFirst(blamed, 3)} ${blamed.length === 1 ? "delays" : "delay"} the pipeline.` : "No stage is late.";
  setText(byId("PipelineWords"), `${late}${more ? ` ${plural(more, "more stage")} not shown.` : ""}`);
  drawLines(stages);
}

// Draw a line from each stage to the stages after it. Called again if the size of the page changes.
export function drawLines(stages) {
  if (stages.length < 2) return;
  const frame = byId("PipelineLines").getBoundingClientRect();
  const boxes = new Map([...document.querySelectorAll("#Stages .stage")].map((box) => [box.parentElement.dataset.key, box.getBoundingClientRect()]));
  const lines = new Map();
  for (const stage of stages) {
    for (const before of stage.after) {
      const [from, to] = [boxes.get(stageName(before)), boxes.get(stageName(stage))];
      const waits = stage.waits_for !== null && stageName(stage.waits_for) === stageName(before);
      if (from && to) lines.set(`${stageName(before)} ${stageName(stage)}`, [path(from, to, frame), waits]);
    }
  }
  updateChildren(byId("PipelineLines"), [...lines.keys()], () => document.createElementNS(SVG, "path"), (line, key) => {
    const [shape, waits] = lines.get(key);
    line.setAttribute("d", shape);
    line.setAttribute("class", waits ? "waits" : "");
  });
}

function path(from, to, frame) {
  const sideways = to.left > from.right;
  const at = (box, end) =>
    sideways
      ? [(end ? box.right : box.left) - frame.left, (box.top + box.bottom) / 2 - frame.top]
      : [(box.left + box.right) / 2 - frame.left, (end ? box.bottom : box.top) - frame.top];
  const [[x1, y1], [x2, y2]] = [at(from, true), at(to, false)];
  const [x, y] = [(x1 + x2) / 2, (y1 + y2) / 2];
  const bend = sideways ? `${x} ${y1} ${x} ${y2}` : `${x1} ${y} ${x2} ${y}`;
  return `M${x1} ${y1}C${bend} ${x2} ${y2}`;
}

function create() {
  const part = (className) => make("span", { className });
  return make("li", {}, make("a", { className: "stage" }, part("name"), part("service"), part("word"), part("time"), part("behind"), part("why"), part("blame")));
}

function update(item, stage, clock) {
  const [link] = item.children;
  const [name, service, word, time, behind, why, blame] = link.children;
  const selected = !stage.url && stage.clock === clock.clock;
  const { status, timestamp_seconds: at } = selected ? clock : stage;
  setTone(link, stage.problem ? "lost" : toneOfStatus(status));
  link.classList.toggle("blamed", stage.to_blame);
  if (selected) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");
  const address = addressOf(stage);
  if (address === null) link.removeAttribute("href");
  else if (link.getAttribute("href") !== address) link.href = address;
  setText(name, stage.clock);
  setText(service, stage.url);
  setText(word, status === null ? "? not known" : wordOf({ status }));
  setText(time, at === null ? (status === null ? "" : "no tick yet") : timeOfDay(at * 1000));
  setText(behind, stage.stage_behind_seconds === null ? "" : behindText(stage));
  setText(why, whyText(stage));
  setText(blame, stage.to_blame ? "◀ delays the pipeline" : "");
}

// The page of a stage. Null if there is none.
function addressOf({ clock, url, status, problem }) {
  if (!url) return status === null && problem ? null : `#${encodeURIComponent(clock)}`;
  return WEB.test(url) ? `${url.replace(/\/+$/, "")}/#${encodeURIComponent(clock)}` : null;
}

function behindText({ stage_behind_seconds: behind, after }) {
  const before = after.length === 1 ? after[0].clock : "the stages before";
  return behind === 0 ? `level with ${before}` : `${duration(behind)} behind ${before}`;
}

function whyText({ problem, waits_for: waitsFor, hold, waiting }) {
  if (problem) return asSentence(`not readable: ${problem}`);
  if (waitsFor) return `Waits for ${waitsFor.clock}.`;
  if (hold) return `${[reasonText(hold.reason), nameFirst(hold.partitions.map(partitionName), MAX_NAMED)].filter(Boolean).join(": ")}. ${waitingText(waiting)}`.trim();
  return waitingText(waiting);
}

function waitingText(waiting) {
  const found = Object.entries(waiting).sort(([, a], [, b]) => b - a);
  return found.slice(0, MAX_NAMED).map(([waitsFor, partitions]) => `${plural(partitions, "partition")}: ${waitsForText(waitsFor)}.`).join(" ");
}
