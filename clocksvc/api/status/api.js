// Questions to the API. Addresses are relative, so that the page works behind a path prefix.

import * as contact from "./contact.js";
import * as token from "./token.js";

const TIMEOUT_MS = 10_000;

// The API answered with a problem.
export class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `the service answered ${status}`);
    this.status = status;
  }
}

// The JSON at an address. Throws Refused, or what fetch throws where nobody answers.
export async function get(path) {
  const response = await open(path, () => AbortSignal.timeout(TIMEOUT_MS));
  return response.json();
}

// A good response, after as many tokens as it takes; `signal` gives the signal of each attempt.
export async function open(path, signal, headers = {}) {
  for (;;) {
    const sent = token.headers();
    const response = await answer(path, { signal: signal(), cache: "no-store", headers: { ...headers, ...sent } });
    if (response.ok) return response;
    const problem = await response.json().catch(() => ({}));
    if (response.status !== 401) throw new Refused(response.status, problem);
    // Another question may have brought a better one meanwhile.
    if (sent.Authorization === token.headers().Authorization) await token.ask(sent.Authorization ? problem.detail : null);
  }
}

async function answer(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name !== "AbortError") contact.silent(error.name === "TimeoutError" ? "no answer in time" : "no connection");
    throw error;
  }
  // A proxy answers for a service that is gone, but has none of its problem details.
  const ours = (response.headers.get("Content-Type") ?? "").includes("json");
  if (response.status >= 500 && !ours) contact.silent(`a proxy answers ${response.status}`);
  else contact.heard();
  return response;
}
