// Dark or light: as the system has it, unless somebody chose.

import { byId } from "./dom.js";

const PLACE = "clocksvc-theme";

// Calls `changed` when the colours may have changed.
export function start(changed) {
  const choice = byId("Theme");
  choice.value = localStorage.getItem(PLACE) ?? "auto";
  apply(choice.value);
  choice.addEventListener("change", () => {
    localStorage.setItem(PLACE, choice.value);
    apply(choice.value);
    changed();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
}

function apply(name) {
  if (name === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = name;
}
