// A clock's ticks as they come: server-sent events read with fetch, because a token travels in a header. Comes back by
// itself, later each time, and goes on behind the last tick that it saw.

import { open } from "./api.js";
import * as contact from "./contact.js";

const LONGEST_WAIT_MS = 15_000;
const SILENCE_MS = 40_000; // a comment comes every 15 s

// Begins behind the tick `cursor` (in seconds), or with what comes. Calls `on.state`, `on.tick` and `on.reset` with an event's data, and `on.link` with null while it is read, else with
// {attempt, nextMs}: when it is tried again. Returns what ends it.
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
        contact.heard();
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
    const waitMs = Math.min(LONGEST_WAIT_MS, retryMs * 2 ** attempt) * (0.8 + 0.4 * Math.random());
    attempt += 1;
    on.link({ attempt, nextMs: contact.now() + waitMs });
    await pause(waitMs, ended);
  }
}

async function* events(clock, headers, ended) {
  const attempt = new AbortController();
  const abort = () => attempt.abort();
  ended.addEventListener("abort", abort);
  let watch = setTimeout(abort, SILENCE_MS);
  try {
    const response = await open(`v1/clocks/${clock}/ticks/stream`, () => attempt.signal, headers);
    const decoder = new TextDecoder();
    let rest = "";
    for (const reader = response.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(watch);
      watch = setTimeout(abort, SILENCE_MS);
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
