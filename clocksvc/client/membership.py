"""The consumer group of which a Kafka client is a member. It must be the group of its Reporter.

A Reporter of another group would report records to a clock whose own consumers have not processed them.
"""

from typing import Any

from clocksvc.errors import InvalidValue

_LIBRDKAFKA_PREFIX = b"CGMDv2:"
_GENERATION_BYTES = 4


def group_of(consumer: Any) -> str | None:
    """Return the group of a consumer of confluent-kafka, aiokafka or Arroyo; None if it can't be told.

    Does not block, and never raises.
    """
    try:
        consumer = getattr(consumer, "_KafkaConsumer__consumer", consumer)  # Arroyo's wraps one of confluent-kafka
        if hasattr(consumer, "consumer_group_metadata"):
            # confluent-kafka has no getter. librdkafka's bytes: prefix, generation, group, NUL, member, NUL, instance.
            metadata: bytes = consumer.consumer_group_metadata()
            known = metadata.startswith(_LIBRDKAFKA_PREFIX)
            found = metadata[len(_LIBRDKAFKA_PREFIX) + _GENERATION_BYTES :].split(b"\0")[0].decode() if known else None
        else:
            found = consumer._group_id  # aiokafka
    except Exception:  # other clients, closed consumers
        return None
    return found if isinstance(found, str) and found else None


def check_reporter_group(reporter: object, group: str | None) -> None:
    """Check that a reporter has the group of its consumer. Unknown groups are not checked.

    Raises:
        InvalidValue: it has another one.
    """
    reported = getattr(reporter, "group", None)
    if isinstance(reported, str) and group is not None and reported != group:
        wanted = f"wanted a Reporter with group={group!r}, the group of this consumer"
        raise InvalidValue("reporter", f"Reporter(…, group={reported!r})", wanted)
