// Requests to the API. URLs are relative, so that the page works behind a path prefix.

import * as connection from "./connection.js";
import * as token from "./token.js";

const TIMEOUT_MS = 10_000;

// The API answered with a problem.
export class RequestFailed extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `the service answered ${status}`);
    this.status = status;
  }
}

// Returns the JSON at a path. Throws RequestFailed for a problem, or fetch's error if there is no answer.
export async function get(path) {
  const response = await open(path, () => AbortSignal.timeout(TIMEOUT_MS));
  return response.json();
}

// Returns a successful response. Asks the user for a token until the service accepts it. `signal()` returns the abort
// signal of each attempt.
export async function open(path, signal, headers = {}) {
  for (;;) {
    const sent = token.headers();
    const response = await request(path, { signal: signal(), cache: "no-store", headers: { ...headers, ...sent } });
    if (response.ok) return response;
    const problem = await response.json().catch(() => ({}));
    if (response.status !== 401) throw new RequestFailed(response.status, problem);
    // Another request may have set a new token in the meantime.
    if (sent.Authorization === token.headers().Authorization) await token.ask(sent.Authorization ? problem.detail : null);
  }
}

async function request(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name !== "AbortError") connection.onNoAnswer(error.name === "TimeoutError" ? "no answer in time" : "no connection");
    throw error;
  }
  // If the service is down, a proxy may answer instead, but without problem details.
  const isProblem = (response.headers.get("Content-Type") ?? "").includes("json");
  if (response.status >= 500 && !isProblem) connection.onNoAnswer(`a proxy answers ${response.status}`);
  else connection.onAnswer(response.headers.get("Date"));
  return response;
}
