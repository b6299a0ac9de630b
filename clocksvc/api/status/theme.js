// Dark or light: the system's setting unless the user chose one.

import { byId } from "./dom.js";

const STORAGE_KEY = "clocksvc-theme";

// `changed` is called when the colours may have changed.
export function start(changed) {
  const choice = byId("Theme");
  choice.value = localStorage.getItem(STORAGE_KEY) ?? "auto";
  apply(choice.value);
  choice.addEventListener("change", () => {
    localStorage.setItem(STORAGE_KEY, choice.value);
    apply(choice.value);
    changed();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}

function apply(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
}
