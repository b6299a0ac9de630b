"""The demo's topic: made at the beginning, and taken away again where the Kafka is somebody's own."""

from contextlib import suppress
from typing import Any

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from clocksvc.dev.demo.place import PARTITIONS, Place
from clocksvc.dev.errors import DevServerError
from clocksvc.kafka.client import (
    ClientLog,
    client_settings,
)

_ANSWER_S = 5.0
_FAREWELL_S = 1.0


def create_topic(place: Place) -> None:
    """Make the demo's topic, timestamps by the broker. Raises DevServerError: no Kafka answers, or it refuses."""
    topic = NewTopic(place.topic, PARTITIONS, -1, config={"message.timestamp.type": "LogAppendTime"})
    admin = _admin(place)
    try:
        asked = admin.create_topics([topic], request_timeout=_ANSWER_S)
        asked[place.topic].result(_ANSWER_S + 1)
    except (KafkaException, TimeoutError) as error:
        raise DevServerError(
            f"topic {place.topic} could not be made on the Kafka at {place.bootstrap}: {_reason(error)}. "
            "Wanted: a Kafka that answers there without TLS or password (--kafka HOST:PORT, or KAFKA_BOOTSTRAP); "
            "without either, a Kafka is started here."
        ) from error


def remove(place: Place) -> None:
    """Take topics and groups away, as far as Kafka answers at once."""
    admin = _admin(place)
    asked = [
        *admin.delete_topics([place.topic, place.tick_log, place.positions], request_timeout=_FAREWELL_S).values(),
        *admin.delete_consumer_groups([place.group, place.senders], request_timeout=_FAREWELL_S).values(),
    ]
    for future in asked:
        with suppress(KafkaException, TimeoutError):
            future.result(_FAREWELL_S)


def _admin(place: Place) -> Any:
    return AdminClient(client_settings({"bootstrap.servers": place.bootstrap}), logger=ClientLog())


def _reason(error: Exception) -> str:
    return str(error.args[0].str()) if isinstance(error, KafkaException) and error.args else "no answer in time"
