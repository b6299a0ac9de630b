// The few things that are done to the document. Must not know what a clock is.

export const byId = (id) => document.getElementById(id);

// An element with properties and children; strings become text, never markup.
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// Writes only what changed: an untouched node costs no layout, and no screen reader reads it again.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function tone(element, name) {
  if (element.dataset.tone !== name) element.dataset.tone = name;
}

export function show(element, yes) {
  if (element.hidden === yes) element.hidden = !yes;
}

// Makes a parent's children those of these keys, in order, and leaves the ones that are there already.
export function keyed(parent, keys, create, update) {
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
