"""Sends the check-in of a till with its takings: `python checkin.py TILL AMOUNT [TIME]`, such as `till-1 12.40`."""

import json
import os
import sys
from datetime import UTC, datetime

from confluent_kafka import Producer


def main(till, amount, time=None):
    """Write one record. Its timestamp is the time of the check-in: `time` in RFC 3339, else now."""
    at = datetime.now(UTC) if time is None else datetime.fromisoformat(time)
    value = json.dumps({"till": till, "cents": round(float(amount) * 100)})
    producer = Producer({"bootstrap.servers": os.environ.get("KAFKA_BOOTSTRAP", "localhost:9092")})
    producer.produce("shop-checkins", value, key=till, timestamp=round(at.timestamp() * 1000))
    if producer.flush(30):
        sys.exit("Kafka accepted no record within 30 s")


if __name__ == "__main__":
    main(*sys.argv[1:])
