"""Sends requests to Kafka's admin API. Every wait has a deadline, and errors are translated to clocksvc's errors."""

import re
import threading
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import Any, NamedTuple, Self, TypeVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from clocksvc.errors import Unavailable
from clocksvc.kafka.client import (
    NO_ACLS,
    NO_ANSWER,
    PAUSE_S,
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


class Cluster(NamedTuple):
    """A cluster's id, and the ids of its brokers: at least one."""

    id: str
    brokers: tuple[int, ...]


class Admin:
    """An AdminClient that several threads may use.

    Close this object, or use it as a context manager, unless all of its requests have been answered. Reason: librdkafka
    aborts the process if a client with an open request is garbage-collected on the client's own thread. This happens if
    a traceback or a future has the last reference to the client. `close` drops the client at once, in the caller's
    thread.

    Args:
        settings: librdkafka settings from the configuration.
        unavailable: the class of error that every failure raises.
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
        """Drop the client. Call this once. No other method works afterwards."""
        del self._client

    def ask(
        self,
        request: Callable[[AdminClient], Mapping[K, "Future[T]"]],
        deadline: SlicedDeadline,
        meanwhile: Callable[[], None] = lambda: None,
    ) -> dict[K, "Future[T]"]:
        """Send requests, and block until each has succeeded or failed.

        Each request must have a `request_timeout` that ends before the deadline. Then no request stays open.

        Args:
            meanwhile: called after the requests have been sent. It must not raise, or block beyond the deadline.

        Returns:
            The finished futures. Use `error_code` and `result` to evaluate them.

        Raises:
            An error of class `unavailable` if a request is not finished at the deadline.
        """
        with self._lock, translate_errors(self._unavailable, "librdkafka rejects a request"):
            self._client.poll(0)
            self._log.last = ""
            futures = dict(request(self._client))
        meanwhile()
        open_futures = set(futures.values())
        for slice_s in deadline:
            open_futures = wait(open_futures, slice_s).not_done
            if not open_futures:
                break
        self._client.poll(0)  # delivers the log lines: only they report a rejected certificate or password
        if open_futures:
            raise self._no_answer()
        return futures

    def result(self, future: "Future[T]", failure: str, acls: Mapping[str, str] = NO_ACLS) -> T:
        """Return the result of a finished future.

        Args:
            failure: the first part of the error's text, such as `Kafka does not describe the cluster`.
            acls: the permissions that the request needs; see `explain_missing_acl`.

        Raises:
            An error of class `unavailable` if the request failed.
        """
        try:
            return future.result(0)
        except KafkaException as raised:
            if error_of(raised).code() in NO_ANSWER:
                raise self._no_answer() from raised
            raise self._unavailable(f"{failure}: {describe_error(raised, acls)}") from raised

    def cluster(self, topic: str | None, deadline: SlicedDeadline) -> Cluster:
        """Read the cluster's id and brokers, and block until there is an answer.

        The request that librdkafka has for this, describe_cluster, is not used: it aborts the process if a broker that
        has just started does not know any broker yet.

        Args:
            topic: the name of a topic, so that the answer does not contain all topics. It need not exist.

        Raises:
            An error of class `unavailable` if there is no answer at the deadline, or no broker in the answer.
        """
        raised: KafkaException | None = None
        for slice_s in deadline:
            try:
                listed = self._client.list_topics(topic, timeout=slice_s)
            except KafkaException as error:
                raised = error
                if error_of(error).code() not in NO_ANSWER:
                    break
                self.pause(min(PAUSE_S, slice_s))
            else:
                if not listed.brokers:
                    raise self._unavailable(f"Kafka at {self._servers} does not list its brokers yet")
                return Cluster(str(listed.cluster_id), tuple(listed.brokers))
        if raised is None or error_of(raised).code() in NO_ANSWER:
            raise self._no_answer() from raised
        raise self._unavailable(f"Kafka does not describe the cluster: {describe_error(raised)}") from raised

    def group_state(self, group: str, timeout_s: float) -> str | None:
        """Return Kafka's name of a group's state; None if no broker lists the group. Blocks for `timeout_s` at most.

        Finds groups of all kinds. A group that exists but is no consumer group has the state `Dead`.

        Raises:
            An error of class `unavailable` if a broker does not answer.
        """
        # The method is deprecated, but the one that replaces it finds consumer groups only.
        with translate_errors(self._unavailable, f"Kafka does not list group {group!r}"), warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            found = self._client.list_groups(group, timeout=timeout_s)
        return next((str(one.state) for one in found), None)

    def refresh_metadata(self, topic: str, timeout_s: float) -> bool:
        """Ask for the partitions and leaders of a topic, for the next requests of this client.

        Returns False if there is no answer in time.
        """
        try:
            self._client.list_topics(topic, timeout=timeout_s)
        except KafkaException:
            return False
        return True

    def pause(self, seconds: float) -> None:
        """Wait before the next attempt."""
        self._client.poll(seconds)

    def _no_answer(self) -> Unavailable:
        reason = f": {self._log.last}" if self._log.last else ""
        return self._unavailable(f"Kafka does not answer at {self._servers}{reason}")


def config_values(entries: Mapping[str, Any]) -> dict[str, str]:
    """Return the values in an answer to DescribeConfigs, by name.

    Settings that the broker hides or does not list are absent.
    """
    return {name: str(entry.value) for name, entry in entries.items() if entry.value is not None}


def settings_problems(settings: Mapping[str, str]) -> list[str]:
    """Return the problems of settings, by creating a client, because only librdkafka knows all of its settings.

    Does not connect. Without problems, the list is empty. A problem is an unknown setting, a value that is not valid,
    or a file that can't be read.
    """
    left = dict(settings)
    problems: list[str] = []
    while True:
        try:
            AdminClient(client_settings(left), logger=ClientLog())
        except KafkaException as raised:
            text = describe_error(raised)
        else:
            return problems
        problems.append(without_password(text))
        # librdkafka stops at the first problem. The others are found without the setting that it names.
        named = next((name for name in re.findall(r'"([^"]+)"', text) if name in left), None)
        if named is None:
            return problems
        del left[named]
