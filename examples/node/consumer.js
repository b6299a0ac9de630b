// consumer.js
const { Kafka } = require("kafkajs");

const TOPIC = "ingest-checkins";
const GROUP = "checkins-consumer";
const REPORTS = "http://localhost:8080/v1/clocks/checkins/reports";
const REJECTED = ["too_far_ahead", "no_timestamp", "not_milliseconds"];

const newest = new Map(); // partition -> the highest timestamp of its committed records, ms
let bounds = null; // the clock's parameters, from the first answer

async function report(partitions) {
  const reports = partitions
    .filter((partition) => newest.has(partition))
    .map((partition) => ({ topic: TOPIC, partition, timestamp_ms: newest.get(partition) }));
  if (reports.length === 0) return;
  try {
    const response = await fetch(REPORTS, {
      method: "POST",
      headers: { "Content-Type": "application/json" }, // and Authorization: Bearer …, if the service has tokens
      body: JSON.stringify({ group: GROUP, reports }),
      signal: AbortSignal.timeout(5_000),
    });
    if (!response.ok) throw new Error(`status ${response.status}: ${await response.text()}`);
    const answer = await response.json();
    bounds = answer.bounds ?? bounds;
    for (const { partition, outcome } of answer.reports) {
      if (outcome === "accepted" || outcome === "unchanged") continue;
      console.error(`report of ${TOPIC}:${partition}: ${outcome}`);
      if (REJECTED.includes(outcome)) newest.delete(partition);
      if (outcome === "unknown") setTimeout(() => report([partition]), 1_000).unref();
    }
  } catch (error) {
    console.error("report failed, it is repeated within 10 s:", error.message);
  }
}

function boundary(timestampMs) {
  const interval = bounds.interval_seconds * 1_000;
  return Math.floor((timestampMs - bounds.max_out_of_orderness_seconds * 1_000) / interval);
}

async function handle(message) {
  console.log("handled", message.value?.toString()); // your work, durable when it returns
}

async function main() {
  const consumer = new Kafka({ brokers: ["localhost:9092"] }).consumer({ groupId: GROUP });
  const repeat = setInterval(() => report([...newest.keys()]), 10_000);
  for (const ends of ["SIGINT", "SIGTERM"]) {
    process.once(ends, async () => {
      clearInterval(repeat);
      await consumer.disconnect();
      await report([...newest.keys()]);
    });
  }
  consumer.on(consumer.events.REBALANCING, () => {
    report([...newest.keys()]); // a last time, because another process may get these partitions
    newest.clear();
  });
  await consumer.connect();
  await consumer.subscribe({ topics: [TOPIC], fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch, heartbeat }) => {
      let highest = newest.get(batch.partition) ?? -1;
      const before = highest;
      for (const message of batch.messages) {
        if (!("clocksvc-heartbeat" in (message.headers ?? {}))) await handle(message);
        highest = Math.max(highest, Number(message.timestamp));
        await heartbeat();
      }
      const offset = (BigInt(batch.lastOffset()) + 1n).toString();
      await consumer.commitOffsets([{ topic: TOPIC, partition: batch.partition, offset }]); // raises in a rebalance
      newest.set(batch.partition, highest);
      if (bounds === null || before < 0 || boundary(highest) > boundary(before)) await report([batch.partition]);
    },
  });
}

main();
