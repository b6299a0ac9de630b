// A consumer in Java that reports to the clock `checkins` over HTTP, after its commit.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.kafka.clients.consumer.CommitFailedException;
import org.apache.kafka.clients.consumer.ConsumerRebalanceListener;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.errors.RebalanceInProgressException;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

public final class CheckinsConsumer {
    static final String TOPIC = "ingest-checkins";
    static final String GROUP = "checkins-consumer";
    static final String REPORTS = "http://localhost:8080/v1/clocks/checkins/reports";
    static final Map<String, Object> SETTINGS = Map.of(
            "bootstrap.servers", "localhost:9092",
            "group.id", GROUP,
            "enable.auto.commit", false,
            "auto.offset.reset", "earliest");

    /** Your work. It is durable when this returns, and idempotent, because Kafka can deliver a record again. */
    static void handle(ConsumerRecord<byte[], byte[]> record) {
        System.out.println("handled " + record.partition() + ":" + record.offset());
    }

    public static void main(String[] arguments) {
        Thread main = Thread.currentThread();
        try (Reporter reporter = new Reporter();
                var consumer = new KafkaConsumer<>(SETTINGS, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            Runtime.getRuntime().addShutdownHook(new Thread(() -> {
                consumer.wakeup(); // the only method that another thread may call
                try {
                    main.join();
                } catch (InterruptedException interrupted) {
                    Thread.currentThread().interrupt();
                }
            }));
            consumer.subscribe(List.of(TOPIC), reporter);
            while (true) {
                ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(500));
                if (records.isEmpty()) {
                    continue;
                }
                for (ConsumerRecord<byte[], byte[]> record : records) {
                    if (record.headers().lastHeader("clocksvc-heartbeat") == null) {
                        handle(record);
                    }
                }
                try {
                    consumer.commitSync();
                } catch (CommitFailedException | RebalanceInProgressException failed) {
                    // Not reported: Kafka delivers these records again, or the next commit covers them.
                    System.err.println("not committed: " + failed.getMessage());
                    continue;
                }
                records.forEach(reporter::observe);
            }
        } catch (WakeupException stopped) {
            System.out.println("stopped");
        }
    }
}

/** Reports the highest committed timestamp of each partition in a thread, so that the consumer never waits for it. */
final class Reporter implements ConsumerRebalanceListener, AutoCloseable {
    private static final Set<String> FORGET = Set.of("too_far_ahead", "no_timestamp", "not_milliseconds");
    private static final Duration TIMEOUT = Duration.ofSeconds(2);

    private final HttpClient http = HttpClient.newBuilder().connectTimeout(TIMEOUT).build();
    private final ObjectMapper json = new ObjectMapper();
    private final ScheduledExecutorService thread = Executors.newSingleThreadScheduledExecutor();
    private final Map<TopicPartition, Long> newest = new HashMap<>(); // guarded by this object's lock, as all below
    private final Set<String> createTimeTopics = new TreeSet<>();
    private long intervalMs; // 0 until the first answer
    private long outOfOrdernessMs;

    Reporter() {
        thread.scheduleWithFixedDelay(() -> report(assigned()), 10, 10, TimeUnit.SECONDS);
    }

    /** Call this for each record after the commit of its offset. Does not wait. */
    synchronized void observe(ConsumerRecord<?, ?> record) {
        TopicPartition partition = new TopicPartition(record.topic(), record.partition());
        Long before = newest.get(partition);
        if (record.timestampType() == TimestampType.CREATE_TIME) {
            createTimeTopics.add(record.topic());
        }
        if (before == null || record.timestamp() > before) {
            newest.put(partition, record.timestamp());
            if (before == null || boundary(record.timestamp()) > boundary(before)) {
                thread.execute(() -> report(List.of(partition)));
            }
        }
    }

    @Override
    public void onPartitionsAssigned(Collection<TopicPartition> partitions) {}

    /** Reports a last time, because another process may get these partitions. Waits for up to 2 s. */
    @Override
    public void onPartitionsRevoked(Collection<TopicPartition> partitions) {
        try {
            thread.submit(() -> report(partitions)).get(TIMEOUT.toMillis(), TimeUnit.MILLISECONDS);
        } catch (ExecutionException | TimeoutException failed) {
            System.err.println("the last report failed: " + failed);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        }
        onPartitionsLost(partitions);
    }

    @Override
    public synchronized void onPartitionsLost(Collection<TopicPartition> partitions) {
        newest.keySet().removeAll(partitions);
    }

    @Override
    public void close() {
        thread.shutdownNow();
    }

    private synchronized Collection<TopicPartition> assigned() {
        return List.copyOf(newest.keySet());
    }

    private synchronized long boundary(long timestampMs) {
        return intervalMs == 0 ? 0 : Math.floorDiv(timestampMs - outOfOrdernessMs, intervalMs);
    }

    private void report(Collection<TopicPartition> partitions) {
        try {
            String body = body(partitions);
            if (body == null) {
                return;
            }
            HttpRequest request = HttpRequest.newBuilder(URI.create(CheckinsConsumer.REPORTS))
                    .header("Content-Type", "application/json") // and Authorization: Bearer …, if there are tokens
                    .timeout(TIMEOUT)
                    .POST(HttpRequest.BodyPublishers.ofString(body))
                    .build();
            HttpResponse<String> response = http.send(request, HttpResponse.BodyHandlers.ofString());
            if (response.statusCode() != 200) {
                throw new IllegalStateException("status " + response.statusCode() + ": " + response.body());
            }
            answered(json.readTree(body), json.readTree(response.body()));
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
        } catch (Exception failed) { // an exception would end the thread's schedule
            System.err.println("report failed, it is repeated within 10 s: " + failed);
        }
    }

    private synchronized String body(Collection<TopicPartition> partitions) throws Exception {
        List<Map<String, Object>> reports = new ArrayList<>();
        for (TopicPartition one : partitions) {
            Long timestampMs = newest.get(one); // null if it was revoked meanwhile
            if (timestampMs != null) {
                reports.add(Map.of("topic", one.topic(), "partition", one.partition(), "timestamp_ms", timestampMs));
            }
        }
        return reports.isEmpty() ? null : json.writeValueAsString(Map.of(
                "group", CheckinsConsumer.GROUP, "reports", reports, "create_time_topics", createTimeTopics));
    }

    private synchronized void answered(JsonNode sent, JsonNode answer) {
        JsonNode bounds = answer.path("bounds");
        if (bounds.isObject()) {
            intervalMs = bounds.path("interval_seconds").asLong() * 1000;
            outOfOrdernessMs = Math.round(bounds.path("max_out_of_orderness_seconds").asDouble() * 1000);
        }
        for (JsonNode one : answer.path("reports")) {
            String outcome = one.path("outcome").asText();
            if (outcome.equals("accepted") || outcome.equals("unchanged")) {
                continue;
            }
            TopicPartition partition = new TopicPartition(one.path("topic").asText(), one.path("partition").asInt());
            System.err.println("report of " + partition + ": " + outcome);
            if (outcome.equals("unknown")) {
                thread.schedule(() -> report(List.of(partition)), 1, TimeUnit.SECONDS);
            } else if (FORGET.contains(outcome)) {
                for (JsonNode report : sent.path("reports")) { // not a newer timestamp than the rejected one
                    if (report.path("topic").asText().equals(partition.topic())
                            && report.path("partition").asInt() == partition.partition()) {
                        newest.remove(partition, report.path("timestamp_ms").asLong());
                    }
                }
            }
        }
    }
}
