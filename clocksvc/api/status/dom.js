// Helpers for the document. This module must not depend on clocks.

export const byId = (id) => document.getElementById(id);

// Make an element with properties and children; strings become text, never markup.
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// Write a text only if it changed. This avoids a new layout, and screen readers don't read the text again.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

const LONG_NAME = 20;
const UNBROKEN = 8;

// Write the name of a partition, such as orders:3. Only a long name may be broken, and never near its colon.
export function setName(element, name) {
  if (element.textContent === name) return;
  const end = name.slice(-Math.max(UNBROKEN, name.length - name.lastIndexOf(":") + 1));
  element.replaceChildren(name.slice(0, name.length - end.length), make("span", { className: "unbroken", textContent: end }));
  element.classList.toggle("long", name.length > LONG_NAME);
}

export function setTone(element, name) {
  if (element.dataset.tone !== name) element.dataset.tone = name;
}

export function setVisible(element, yes) {
  if (element.hidden === yes) element.hidden = !yes;
}

// Make `parent` have one child for each key, in this order. Existing children are reused; children without a key in `keys`
// are removed.
export function updateChildren(parent, keys, create, update) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  keys.forEach((key, at) => {
    const child = known.get(key) ?? create(key);
    known.delete(key);
    child.dataset.key = key;
    if (parent.children[at] !== child) parent.insertBefore(child, parent.children[at] ?? null);
    update(child, key);
  });
  known.forEach((child) => child.remove());
}

// A row of a table of partitions: the name with a note, and two more cells.
export function partitionRow() {
  const title = make("th", { scope: "row" }, make("span", { className: "name" }), make("span", { className: "note" }));
  return make("tr", {}, title, make("td"), make("td"));
}

// `note` is shown after the words for a partition that holds the clock; it may be empty.
export function setPartition(row, name, holds, note) {
  const [title] = row.children;
  row.classList.toggle("holds", holds);
  setName(title.firstChild, name);
  setText(title.lastChild, [holds ? "◀ Holds the clock." : "", note].filter(Boolean).join(" "));
}
