// The bearer token: asked for where the API answers 401, kept for this tab alone, sent in a header and never in an address.

import { byId, say, show } from "./dom.js";

const PLACE = "clocksvc-token";
let asking = null;

export const headers = () => {
  const token = sessionStorage.getItem(PLACE);
  return token === null ? {} : { Authorization: `Bearer ${token}` };
};

// Asks for a token, once however many requests want one; `refused` says what was wrong with the last. Resolves when there
// is one.
export function ask(refused) {
  asking ??= dialogue(refused).finally(() => {
    asking = null;
  });
  return asking;
}

// Whether somebody is being asked.
export const isAsking = () => asking !== null;

export function start() {
  const forget = byId("Forget");
  show(forget, sessionStorage.getItem(PLACE) !== null);
  forget.addEventListener("click", () => {
    sessionStorage.removeItem(PLACE);
    location.reload();
  });
}

function dialogue(refused) {
  const box = byId("TokenBox");
  const form = byId("TokenForm");
  const text = byId("TokenText");
  say(byId("TokenWhy"), refused ? `That one was refused: ${refused}.` : "This service tells of its clocks to those alone who have a token.");
  text.value = "";
  box.showModal();
  return new Promise((resolve) => {
    // Escape would leave a page that shows nothing.
    box.oncancel = (event) => event.preventDefault();
    form.onsubmit = (event) => {
      event.preventDefault();
      const given = text.value.trim();
      if (!/^[\x21-\x7e]+$/.test(given)) {
        say(byId("TokenWhy"), "A token is one word of letters, digits and signs: no header can carry this one.");
        return;
      }
      sessionStorage.setItem(PLACE, given);
      text.value = "";
      show(byId("Forget"), true);
      box.close();
      resolve();
    };
  });
}
