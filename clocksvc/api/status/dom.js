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
