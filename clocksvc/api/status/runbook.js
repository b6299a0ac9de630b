// Shows the runbook's section for the reason of a hold, or with a title. It reads the copy that the service serves, because a closed network can't
// reach another copy.

import { byId, make, setText } from "./dom.js";

let text = null;

export function start() {
  for (const link of [byId("RunbookLink"), byId("SchedulesRunbook")]) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      open(link.dataset).catch((error) => {
        setText(link, `The runbook can't be read (${error.message}). See docs/runbook.md of the project`);
      });
    });
  }
}

async function open({ reason, section }) {
  text ??= await read();
  const parts = sections(text);
  const found = parts.filter(({ title, body }) => title === section || (reason && body.includes(`Reason \`${reason}\``)));
  setText(byId("RunbookTitle"), found.length ? `Runbook: ${reason ?? section}` : "Runbook");
  byId("RunbookText").replaceChildren(...(found.length ? found : parts).flatMap(render));
  byId("RunbookBox").showModal();
}

async function read() {
  const response = await fetch(byId("RunbookLink").href);
  if (!response.ok) throw new Error(`the service answered ${response.status}`);
  return response.text();
}

// Returns the text before the first level-2 heading, then one part for each level-2 heading.
function sections(markdown) {
  const [before, ...parts] = markdown.split(/^## /m);
  const split = (part) => [part.slice(0, part.indexOf("\n")), part.slice(part.indexOf("\n") + 1)];
  return [before.replace(/^# /, ""), ...parts].map(split).map(([title, body]) => ({ title: title.trim(), body }));
}

// Renders headings, code, lists and paragraphs as text. Other markup is shown as it is written.
function render({ title, body }) {
  // The text is split at code fences, so every second part is code.
  const parts = body.split(/^```[^\n]*\n([\s\S]*?)^```$/m);
  const blocks = parts.flatMap((part, at) => (at % 2 ? [make("pre", { textContent: part })] : part.split(/\n{2,}/).map(prose)));
  return [make("h3", { textContent: title.replaceAll("`", "") }), ...blocks.filter(Boolean)];
}

function prose(block) {
  const lines = block.trim();
  if (lines === "") return null;
  if (lines.startsWith("#")) return make("h4", { textContent: lines.replace(/^#+ /, "").replaceAll("`", "") });
  if (lines.startsWith("|")) return make("pre", { textContent: lines });
  return /^([-*]|\d+\.) /.test(lines) ? list(lines) : inline(make("p"), lines);
}

function list(lines) {
  const items = lines.split(/\n(?=(?:[-*]|\d+\.) )/);
  return make("ul", {}, ...items.map((item) => inline(make("li"), item.replace(/^([-*]|\d+\.) /, ""))));
}

function inline(parent, words) {
  const plain = words.replaceAll("\n", " ").replace(/\[([^\]]+)\]\([^)]+\)/g, "$1");
  plain.split(/(`[^`]+`|\*\*[^*]+\*\*)/).forEach((part) => {
    if (part.startsWith("`")) parent.append(make("code", { textContent: part.slice(1, -1) }));
    else if (part.startsWith("**")) parent.append(make("strong", { textContent: part.slice(2, -2) }));
    else parent.append(part);
  });
  return parent;
}
