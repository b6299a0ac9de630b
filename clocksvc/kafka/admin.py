"""Requests to Kafka's admin API: one client that waits in bounded time and raises clocksvc's errors."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Any, Self, TypeVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from clocksvc.errors import SettingsError, Unavailable
from clocksvc.kafka.client import (
    NO_ACLS,
    NO_ANSWER,
    ClientLog,
    SlicedDeadline,
    client_settings,
    describe_error,
    error_of,
    translate_errors,
)
from clocksvc.redaction import without_password

K = TypeVar("K")
T = TypeVar("T")


class Admin:
    """An AdminClient. Safe to use from several threads.

    Close it, or use it as a context manager, unless all of its requests have been answered: librdkafka aborts the
    process if a client with an open request is garbage-collected on the client's own thread. That happens if a
    traceback or a future keeps the last reference. `close` drops the client at once, in the caller's thread.

    Args:
        settings: librdkafka settings from the configuration.
        unavailable: the error that every failure raises.
    """

    def __init__(self, settings: Mapping[str, str], unavailable: type[Unavailable]) -> None:
        self._servers = settings.get("bootstrap.servers", "")
        self._unavailable = unavailable
        self._lock = threading.Lock()
        self._log = ClientLog()
        with translate_errors(unavailable, "librdkafka rejects the Kafka settings"):
            self._client = AdminClient(client_settings(settings), logger=self._log)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Drop the client. Call it once; no other method works afterwards."""
        del self._client

    def ask(
        self, request: Callable[[AdminClient], Mapping[K, "Future[T]"]], deadline: SlicedDeadline
    ) -> dict[K, "Future[T]"]:
        """Send requests, and block until each has succeeded or failed.

        Give the requests a `request_timeout` shorter than the deadline, so that none stays open.

        Returns:
            The finished futures. See `error_code` and `result`.

        Raises:
            The class `unavailable`: a request is not finished at the deadline.
        """
        with self._lock, translate_errors(self._unavailable, "librdkafka rejects a request"):
            self._client.poll(0)
            self._log.last = ""
            futures = dict(request(self._client))
        open_futures = set(futures.values())
        for slice_s in deadline:
            open_futures = wait(open_futures, slice_s).not_done
            if not open_futures:
                break
        self._client.poll(0)  # delivers log lines, which explain a rejected certificate or password
        if open_futures:
            raise self._no_answer()
        return futures

    def result(self, future: "Future[T]", failure: str, acls: Mapping[str, str] = NO_ACLS) -> T:
        """The result of a finished future.

        Args:
            failure: what failed, for the error's text.
            acls: the permissions that the request needs; see `explain_missing_acl`.

        Raises:
            The class `unavailable`: the request failed.
        """
        try:
            return future.result(0)
        except KafkaException as raised:
            if error_of(raised).code() in NO_ANSWER:
                raise self._no_answer() from raised
            raise self._unavailable(f"{failure}: {describe_error(raised, acls)}") from raised

    def pause(self, seconds: float) -> None:
        """Wait before another attempt."""
        self._client.poll(seconds)

    def _no_answer(self) -> Unavailable:
        reason = f": {self._log.last}" if self._log.last else ""
        return self._unavailable(f"Kafka does not answer at {self._servers}{reason}")


def config_values(entries: Mapping[str, Any]) -> dict[str, str]:
    """The values in an answer to DescribeConfigs. Settings that the broker does not list or hides are absent."""
    return {name: str(entry.value) for name, entry in entries.items() if entry.value is not None}


def check_settings(settings: Mapping[str, str]) -> None:
    """Check settings by creating a client: only librdkafka knows all of its settings. Connects to no broker.

    Raises:
        SettingsError: a setting is unknown, a value is not valid, or a file can't be read.
    """
    try:
        AdminClient(client_settings(settings), logger=ClientLog())
    except KafkaException as raised:
        raise SettingsError([f"kafka: {without_password(describe_error(raised))}"]) from raised
