// The bearer token: requested when the API answers 401, kept for this tab only, sent in a header and never in a URL.

import { byId, setText, setVisible } from "./dom.js";

const STORAGE_KEY = "clocksvc-token";
let asking = null;

export const headers = () => {
  const token = sessionStorage.getItem(STORAGE_KEY);
  return token === null ? {} : { Authorization: `Bearer ${token}` };
};

// Ask the user for a token, once for all waiting requests. `rejection` is the reason why the last token was rejected, or
// null. Resolves when the user has entered a token.
export function ask(rejection) {
  asking ??= askUser(rejection).finally(() => {
    asking = null;
  });
  return asking;
}

// True while the user is asked for a token.
export const isAsking = () => asking !== null;

export function start() {
  const forget = byId("Forget");
  setVisible(forget, sessionStorage.getItem(STORAGE_KEY) !== null);
  forget.addEventListener("click", () => {
    sessionStorage.removeItem(STORAGE_KEY);
    location.reload();
  });
}

function askUser(rejection) {
  const box = byId("TokenBox");
  const form = byId("TokenForm");
  const text = byId("TokenText");
  setText(byId("TokenWhy"), rejection ? `The token was rejected: ${rejection}.` : "This service requires a token.");
  text.value = "";
  box.showModal();
  return new Promise((resolve) => {
    // Closing the dialog with Escape would leave an empty page.
    box.oncancel = (event) => event.preventDefault();
    form.onsubmit = (event) => {
      event.preventDefault();
      const given = text.value.trim();
      if (!/^[\x21-\x7e]+$/.test(given)) {
        setText(byId("TokenWhy"), "A token has only printable ASCII characters and no spaces.");
        return;
      }
      sessionStorage.setItem(STORAGE_KEY, given);
      text.value = "";
      setVisible(byId("Forget"), true);
      box.close();
      resolve();
    };
  });
}
