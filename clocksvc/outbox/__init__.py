"""An outbox for schedules: a change is written in the product's own transaction, and a relay writes it to Kafka.

    from clocksvc.outbox import Outbox

    outbox = Outbox("checkins")

    with engine.begin() as connection:
        connection.execute(…)
        outbox.put(connection, "monitor-17", {"interval": "5m", "task": "uptime.check"})
        outbox.delete(connection, "monitor-18")

Either the whole transaction is committed, or none of it. `clocksvc outbox` writes committed changes to the topic of the
clock's schedules. `metadata` has the two tables that the product's database needs. See docs/outbox.md.
"""

from clocksvc.outbox.tables import metadata
from clocksvc.outbox.writer import Outbox

__all__ = ["Outbox", "metadata"]
