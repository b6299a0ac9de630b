// Follows a clock's ticks: server-sent events, read with fetch because EventSource can't send a token. Reconnects with a
// growing delay, and resumes after the last tick that it received.

import { open } from "./api.js";
import * as connection from "./connection.js";

const MAX_DELAY_MS = 15_000;
const IDLE_TIMEOUT_MS = 40_000; // the service sends a comment every 15 s

// Follow the ticks after the tick `cursor` (in seconds); if it is null, begin with the next tick. Calls `on.state`,
// `on.tick` and `on.reset` with the data of an event. Calls `on.link` with null when connected, and with {attempt, nextMs}
// when disconnected; `nextMs` is the time of the next attempt. Returns a function that ends the stream.
export function follow(clock, cursor, on) {
  const ended = new AbortController();
  run(clock, cursor, on, ended.signal);
  return () => ended.abort();
}

async function run(clock, begin, on, ended) {
  let cursor = begin;
  let attempt = 0;
  let retryMs = 1000;
  while (!ended.aborted) {
    try {
      const headers = cursor === null ? {} : { "Last-Event-ID": cursor };
      for await (const event of events(clock, headers, ended)) {
        connection.onAnswer();
        if (event.retry) retryMs = event.retry;
        if (!event.name) continue;
        on.link(null);
        attempt = 0;
        cursor = event.id ?? cursor;
        on[event.name]?.(event.data);
        if (ended.aborted) return;
      }
    } catch (error) {
      if (ended.aborted) return;
      console.debug("stream of ticks:", error.message);
    }
    const waitMs = Math.min(MAX_DELAY_MS, retryMs * 2 ** attempt) * (0.8 + 0.4 * Math.random());
    attempt += 1;
    on.link({ attempt, nextMs: connection.now() + waitMs });
    await pause(waitMs, ended);
  }
}

async function* events(clock, headers, ended) {
  const attempt = new AbortController();
  const abort = () => attempt.abort();
  ended.addEventListener("abort", abort);
  let watch = setTimeout(abort, IDLE_TIMEOUT_MS);
  try {
    const response = await open(`v1/clocks/${clock}/ticks/stream`, () => attempt.signal, headers);
    const decoder = new TextDecoder();
    let rest = "";
    for (const reader = response.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(watch);
      watch = setTimeout(abort, IDLE_TIMEOUT_MS);
      const blocks = (rest + decoder.decode(value, { stream: true })).replaceAll("\r\n", "\n").split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) yield parse(block);
    }
  } finally {
    clearTimeout(watch);
    ended.removeEventListener("abort", abort);
    attempt.abort();
  }
}

function parse(block) {
  const event = { data: "" };
  for (const line of block.split("\n")) {
    const colon = line.indexOf(":");
    const value = line.slice(colon + 1).replace(/^ /, "");
    const field = line.slice(0, colon);
    if (field === "event") event.name = value;
    else if (field === "id") event.id = value;
    else if (field === "data") event.data += value;
    else if (field === "retry") event.retry = Number(value);
  }
  if (event.name) event.data = JSON.parse(event.data);
  return event;
}

function pause(ms, ended) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    ended.addEventListener("abort", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
