"""`Schedules`, which reads and writes the schedules of a clock."""

from collections.abc import Iterable, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

from clocksvc.client.schedule_values import (
    Fields,
    Item,
    MissedRun,
    OnResult,
    OnWait,
    ScheduleDriver,
    ScheduleResult,
    StoredSchedule,
    WrittenSchedule,
)
from clocksvc.clock.spec import check_clock_name
from clocksvc.errors import ClocksvcError, InvalidValue, SchedulesRejected

TIMEOUT_S = 30.0
_NAMED = 3


class Schedules:
    """The schedules of one clock. Thread-safe, and a context manager, which closes connections.

    There are two ways:

    - `Schedules("http://localhost:8080", "checkins", token=…)` sends requests to the service, whose scheduler checks,
      compares and writes. While no scheduler is ready, requests are repeated with back-offs until `timeout` is over.
    - `Schedules(kafka="localhost:9092", clock="checkins")` writes the topic CLOCK-schedules. It needs the extra
      `consumer`, and no service. Each schedule must have `created_at`, the time when its id was first written: a later
      write with another time would change what is due. Conditions (`if_match`, `if_absent`) are not possible. `get` and
      `list` read all of a partition, or of the topic, from its beginning.

    A schedule is a mapping of the fields of docs/schedule.schema.json, such as
    `{"interval": "60s", "task": "uptime.check", "payload": {…}}`. Times can be datetimes with a time zone.

    A method that writes returns when all in-sync replicas have the record. It is safe to repeat a call.

    Args:
        url: the address of the service: `http(s)://host:port`.
        clock: the name of the clock.
        token: an API token with the scope `schedule`, if the service requires one.
        kafka: addresses of brokers, separated by commas, or settings of librdkafka.
        timeout: the seconds after which a call fails if there is no answer; None for 30.
        on_wait: with a url, called once in a call that will wait for 2 s or more, with the error for which it waits and
            the seconds until it gives up.

    Raises:
        InvalidValue: an argument is not valid. All methods raise it, too.
    """

    def __init__(
        self,
        url: str | None = None,
        clock: str | None = None,
        *,
        token: str | None = None,
        kafka: str | Mapping[str, Any] | None = None,
        timeout: float | None = None,
        on_wait: OnWait | None = None,
    ) -> None:
        check_clock_name("clock", clock)  # type: ignore[arg-type]
        timeout = TIMEOUT_S if timeout is None else timeout
        if not (isinstance(timeout, int | float) and timeout > 0):
            raise InvalidValue("timeout", timeout, "wanted seconds, more than 0")
        if (url is None) == (kafka is None):
            raise InvalidValue("url", url, "wanted either url or kafka")
        if kafka is not None and token is not None:
            raise InvalidValue("token", "***", "wanted None, because a token is used only with a url")
        self._driver = _open(url, clock or "", token, kafka, timeout, on_wait)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def get(self, schedule_id: str) -> StoredSchedule | None:
        """Return a schedule; None if there is none.

        Raises:
            ServiceUnavailable, TableUnavailable, SchedulesUnavailable: the service or Kafka does not answer.
            UnknownClock: the service has no such clock, or the clock has no schedules.
            RequestRejected: the service rejects the request, for example because of the token.
        """
        return self._driver.get(schedule_id)

    def put(
        self, schedule_id: str, schedule: Fields, *, if_match: str | None = None, if_absent: bool = False
    ) -> WrittenSchedule:
        """Create or replace a schedule.

        With a condition, the request is not repeated after a lost connection, because the first one may have been
        successful.

        Args:
            if_match: write only if the present schedule has this ETag.
            if_absent: write only if there is no schedule with this id.

        Raises:
            PreconditionFailed: the condition is not met. Nothing was written.
            Others: see `get`. After a subclass of Unavailable, the schedule may have been written.
        """
        if schedule is None:
            raise InvalidValue("schedule", schedule, "wanted a mapping; delete() deletes a schedule")
        written = self._driver.write(schedule_id, schedule, if_match, if_absent)
        if written is None:
            raise AssertionError("a schedule that was written has an offset")
        return written

    def delete(self, schedule_id: str, *, if_match: str | None = None) -> WrittenSchedule | None:
        """Delete a schedule. What is due at a later tick is not sent any more.

        Args:
            if_match: delete only if the present schedule has this ETag.

        Returns:
            The record of the deletion; None if there is no such schedule. With `kafka`, always a record.

        Raises:
            See `put`.
        """
        return self._driver.write(schedule_id, None, if_match, False)

    def put_many(self, items: Iterable[Item], on_result: OnResult | None = None) -> int:
        """Write many schedules, in order, many in one request. Memory does not grow with their number.

        Args:
            items: pairs of an id and a schedule. None instead of a schedule deletes it; a line of `export` is a
                schedule, too.
            on_result: called with each outcome, in the order of the input, also for failures.

        Returns:
            How many were written.

        Raises:
            SchedulesRejected: some were not written, and there is no `on_result`. All others were written.
            Others: see `get`. What was written before the error stays. It is safe to repeat all.
        """
        count = 0
        failed: dict[int, ClocksvcError] = {}

        def note(result: ScheduleResult) -> None:
            nonlocal count
            count += result.error is None
            if on_result is not None:
                on_result(result)
            elif result.error is not None:
                failed[result.position] = result.error

        self._driver.write_many(items, note)
        if failed:
            first = "; ".join(f"position {position}: {error}" for position, error in [*failed.items()][:_NAMED])
            more = f"; and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
            raise SchedulesRejected(f"{len(failed)} of {count + len(failed)} were not written: {first}{more}", failed)
        return count

    def list(self, prefix: str = "", *, after: str | None = None) -> Iterator[StoredSchedule]:
        """Yield the schedules whose ids begin with a prefix, in the order of their ids.

        From the service, they are read in pages, so a schedule that changes meanwhile can have its new fields, or those
        before the change. Memory does not grow with their number; with `kafka`, it does.

        Args:
            after: yield only ids after this one.

        Raises:
            See `get`. `next` raises these errors.
        """
        return self._driver.scan(prefix, after)

    def export(self, prefix: str = "", *, after: str | None = None) -> Iterator[bytes]:
        """Yield schedules as lines of NDJSON without a newline, each with its `id`. Otherwise the same as `list`.

        `put_many` accepts these lines: `put_many((json.loads(line)["id"], line) for line in lines)`. Numbers of
        payloads keep all of their digits.
        """
        return self._driver.export(prefix, after)

    def missed(self) -> Iterator[MissedRun]:
        """Yield missed runs, newest first. Not possible with `kafka`. Raises as `list`."""
        return self._driver.missed()

    def close(self) -> None:
        """Close connections. With `kafka`, wait until all records are delivered, for up to `timeout` seconds."""
        self._driver.close()


def _open(
    url: str | None,
    clock: str,
    token: str | None,
    kafka: str | Mapping[str, Any] | None,
    timeout_s: float,
    on_wait: OnWait | None,
) -> ScheduleDriver:
    if kafka is not None:
        # Imported here, because clients of the service need neither confluent-kafka nor msgspec.
        from clocksvc.client.kafka_schedules import KafkaSchedules

        return KafkaSchedules(kafka, clock, timeout_s)
    from clocksvc.client.http_schedules import HttpSchedules

    return HttpSchedules(url or "", clock, token, timeout_s, on_wait)
