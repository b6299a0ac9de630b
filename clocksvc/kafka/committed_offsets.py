"""Asks Kafka for committed offsets, ends of partitions and single records. Implements CommittedOffsets.

Each method sends its requests at the same time, in batches, and blocks for `REQUEST_TIMEOUT_S` at most, `read` for
`READ_TIMEOUT_S` more. A broker that is away fails only its own partitions and groups.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple, TypeVar

from confluent_kafka import (
    OFFSET_INVALID,
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from clocksvc.clock.partition import Partition
from clocksvc.errors import MetadataUnavailable
from clocksvc.interfaces.committed_offsets import GroupOffsets, PartitionEnds, ReadRequest, ReadResult
from clocksvc.interfaces.time import SystemTime, Time
from clocksvc.kafka.admin import Admin
from clocksvc.kafka.client import NO_ANSWER, SlicedDeadline, describe_error, error_code, error_of
from clocksvc.kafka.group_kinds import GroupKinds
from clocksvc.kafka.record_reads import Bounds, RecordReads
from clocksvc.kafka.topics import KafkaTopics

K = TypeVar("K")

REQUEST_TIMEOUT_S = 2.0
READ_TIMEOUT_S = 3.0
_MARGIN_S = 0.5
"""librdkafka ends each request after its timeout. Within this additional time, all requests have ended."""
_HURRIED_TIMEOUT_S = 0.5
_HURRIED_READ_TIMEOUT_S = 1.0
_HURRY_S = 30.0
"""How long requests have the shorter timeout after one that only a part of the brokers answered."""
_REFRESH_EVERY_S = 2.0
_REFRESH_TIMEOUT_S = 0.5
_REFRESHED_AT_ONCE = 5
_ANY_TOPIC = "clocksvc"
"""So that brokers do not describe all topics. It need not exist."""
_EARLIEST: Any = OffsetSpec.earliest()  # type: ignore[no-untyped-call]
_LATEST: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
_GROUP_REFUSED = frozenset({KafkaError.GROUP_AUTHORIZATION_FAILED, KafkaError.INVALID_GROUP_ID})


class _Question(NamedTuple):
    """A question about an offset of each partition."""

    specs: Mapping[Partition, Any]
    isolation: IsolationLevel = IsolationLevel.READ_UNCOMMITTED

    def of(self, partitions: Iterable[Partition]) -> "_Question":
        """Return the question about some of its partitions."""
        return self._replace(specs={partition: self.specs[partition] for partition in partitions})


class KafkaCommittedOffsets:
    """Implements CommittedOffsets for one Kafka cluster. The clients connect at the first call.

    Joins no group, commits nothing, and creates no topic.

    Args:
        settings: librdkafka settings from the configuration.
        time: the clock for deadlines.
    """

    def __init__(self, settings: Mapping[str, str], time: Time | None = None) -> None:
        self._settings = settings
        self._time = time or SystemTime()
        self._admin: Admin | None = None
        self._topics = KafkaTopics(settings, self._time)
        self._kinds = GroupKinds(self._time)
        self._records = RecordReads(settings, self._time)
        self._refreshed: dict[str, float] = {}
        self._hurry_until = 0.0
        self._problems: dict[tuple[str, str], str] = {}

    def topic_ids(self, topics: Collection[str]) -> Mapping[str, tuple[str, int]]:
        self._succeeded("describe", topics)
        try:
            described = self._topics.describe(topics)
        except MetadataUnavailable as error:
            self._problems |= {("describe", topic): str(error) for topic in topics}
            return {}
        self._problems |= {("describe", topic): reason for topic, reason in described.failures.items()}
        return {name: (topic.id, topic.partitions) for name, topic in described.topics.items() if topic.id}

    def ends(self, partitions: Collection[Partition]) -> Mapping[Partition, PartitionEnds]:
        earliest = _Question(dict.fromkeys(partitions, _EARLIEST))
        latest = _Question(dict.fromkeys(partitions, _LATEST))
        lows, highs = self._list_offsets("ends", earliest, latest)
        return {
            partition: PartitionEnds(min(lows[partition].offset, end.offset), end.offset, end.leader_epoch)
            for partition, end in highs.items()
            if partition in lows and end.leader_epoch is not None
        }

    def committed(self, groups: Mapping[str, Collection[Partition]]) -> Mapping[str, GroupOffsets]:
        wanted = {
            group: ConsumerGroupTopicPartitions(group, [TopicPartition(*partition) for partition in partitions])
            for group, partitions in groups.items()
            if partitions
        }
        futures = self._ask(
            lambda client: {
                group: future
                for one in wanted.values()
                for group, future in client.list_consumer_group_offsets(
                    [one], request_timeout=self._timeout_s()
                ).items()
            }
        )
        found = {group: GroupOffsets({}) for group in groups if group not in wanted}
        for group, future in futures.items():
            raised = future.exception(0)
            if raised is None:
                found[group] = GroupOffsets(self._offsets_of(future.result(0).topic_partitions))
            elif isinstance(raised, KafkaException) and error_of(raised).code() == KafkaError.GROUP_ID_NOT_FOUND:
                found[group] = GroupOffsets({})
            elif isinstance(raised, KafkaException) and error_of(raised).code() in _GROUP_REFUSED:
                acls = {"Group": f"Describe on group {group}"}
                found[group] = GroupOffsets({}, f"Kafka does not list its offsets: {describe_error(raised, acls)}")
        if len(found) < len(groups):
            # librdkafka can ask a coordinator that has failed again and again. A new client finds the present one.
            self._forget_admin()
        without = [group for group, offsets in found.items() if group in wanted and offsets == GroupOffsets({})]
        if without and self._admin is not None:
            found |= {group: GroupOffsets({}, why) for group, why in self._kinds.unsuitable(self._admin, without)}
        return found

    def offsets_at(self, timestamps: Mapping[Partition, int]) -> Mapping[Partition, int]:
        specs = {partition: OffsetSpec.for_timestamp(ms) for partition, ms in timestamps.items()}
        (found,) = self._list_offsets("times", _Question(specs))
        return {partition: result.offset for partition, result in found.items() if result.offset >= 0}

    def read(self, requests: Collection[ReadRequest]) -> Mapping[ReadRequest, ReadResult]:
        partitions = {request.partition for request in requests}
        # The consumer reports no end of a partition to a read that begins above the last stable offset.
        lows, stables = self._list_offsets(
            "read",
            _Question(dict.fromkeys(partitions, _EARLIEST)),
            _Question(dict.fromkeys(partitions, _LATEST), IsolationLevel.READ_COMMITTED),
        )
        found: dict[ReadRequest, ReadResult] = {}
        bounds: list[Bounds] = []
        for request in dict.fromkeys(requests):
            if request.partition not in lows or request.partition not in stables:
                continue
            begin = max(request.start, lows[request.partition].offset)
            end = min(request.end, stables[request.partition].offset)
            if begin < end:
                bounds.append(Bounds(request, begin, end))
            else:
                found[request] = ReadResult(None, None, max(request.start, end))
        if bounds:
            timeout_s = READ_TIMEOUT_S if self._timeout_s() == REQUEST_TIMEOUT_S else _HURRIED_READ_TIMEOUT_S
            results, failures = self._records.read(bounds, SlicedDeadline(self._time, timeout_s))
            found |= results
            self._problems |= {("read", topic): why for topic, why in failures.items()}
        return found

    def problem(self, topic: str) -> str:
        kinds = ("describe", "ends", "groups", "times", "read")
        return next((text for kind in kinds if (text := self._problems.get((kind, topic), ""))), "")

    def close(self) -> None:
        self._topics.close()
        self._records.close()
        self._forget_admin()

    def _offsets_of(self, answered: Iterable[Any]) -> dict[Partition, int]:
        offsets: dict[Partition, int] = {}
        for one in answered:
            self._problems.pop(("groups", one.topic), None)
            if one.error is not None:
                acls = {"Topic": f"Describe on topic {one.topic}"}
                self._problems["groups", one.topic] = describe_error(KafkaException(one.error), acls)
            elif one.offset >= 0:
                offsets[Partition(one.topic, one.partition)] = one.offset
        return offsets

    def _list_offsets(self, purpose: str, *questions: _Question) -> list[dict[Partition, Any]]:
        """Return the answers to each question, by partition, and note why partitions have none."""
        self._succeeded(purpose, {partition.topic for question in questions for partition in question.specs})
        begun = self._time.monotonic()
        found, failures = self._list_offsets_once(questions)
        refreshed = bool(failures) and self._refresh({partition.topic for _, partition in failures})
        if refreshed and self._time.monotonic() - begun < REQUEST_TIMEOUT_S / 2:
            left = [
                question.of(one for at, one in failures if at == number) for number, question in enumerate(questions)
            ]
            more, failures = self._list_offsets_once(left)
            found = [{**first, **second} for first, second in zip(found, more, strict=True)]
        self._problems |= {(purpose, partition.topic): why for (_, partition), why in failures.items()}
        return found

    def _list_offsets_once(
        self, questions: Sequence[_Question]
    ) -> tuple[list[dict[Partition, Any]], dict[tuple[int, Partition], str]]:
        """Return the answers to each question, and by question and partition why there is none."""

        def request(client: AdminClient) -> dict[tuple[int, Partition], "Future[Any]"]:
            return {
                (number, Partition(one.topic, one.partition)): future
                for number, question in enumerate(questions)
                if question.specs
                for one, future in client.list_offsets(
                    {TopicPartition(*partition): spec for partition, spec in question.specs.items()},
                    isolation_level=question.isolation,
                    request_timeout=self._timeout_s(),
                ).items()
            }

        found: list[dict[Partition, Any]] = [{} for _ in questions]
        failures: dict[tuple[int, Partition], str] = {}
        for (number, partition), future in self._ask(request).items():
            if _is_answered(future) and future.exception(0) is None:
                found[number][partition] = future.result(0)
            else:
                raised = future.exception(0)
                failed = raised if isinstance(raised, KafkaException) else None
                why = describe_error(failed, {"Topic": f"Describe on topic {partition.topic}"})
                failures[number, partition] = f"Kafka does not list the offsets of partition {partition.number}: {why}"
        return found, failures

    def _refresh(self, topics: Collection[str]) -> bool:
        """Ask for the leaders of some topics. Without this, librdkafka keeps a topic's metadata for minutes.

        Returns False if they were asked for a short time ago.
        """
        now = self._time.monotonic()
        due = [
            topic for topic in sorted(topics) if now - self._refreshed.get(topic, -_REFRESH_EVERY_S) >= _REFRESH_EVERY_S
        ]
        if not due or self._admin is None:
            return False
        self._refreshed = {topic: at for topic, at in self._refreshed.items() if now - at < _REFRESH_EVERY_S}
        self._refreshed |= dict.fromkeys(due, now)
        if len(due) > _REFRESHED_AT_ONCE:
            self._forget_admin()  # a new client asks for all topics in one request
        else:
            for topic in due:
                if not self._admin.refresh_metadata(topic, _REFRESH_TIMEOUT_S):
                    break
        return True

    def _succeeded(self, purpose: str, topics: Iterable[str]) -> None:
        for topic in topics:
            self._problems.pop((purpose, topic), None)

    def _ask(self, request: Callable[[AdminClient], Mapping[K, "Future[Any]"]]) -> dict[K, "Future[Any]"]:
        """Send requests, and return the finished futures; none if Kafka does not answer at all."""
        try:
            if self._admin is None:
                self._admin = Admin(self._settings, MetadataUnavailable)
                # Until a client is connected, librdkafka can keep a request for offsets until its timeout.
                self._admin.cluster(_ANY_TOPIC, SlicedDeadline(self._time, REQUEST_TIMEOUT_S))
            futures = self._admin.ask(request, SlicedDeadline(self._time, REQUEST_TIMEOUT_S + _MARGIN_S))
        except MetadataUnavailable:
            self._forget_admin()
            return {}
        answered = sum(map(_is_answered, futures.values()))
        if 0 < answered < len(futures) and self._time.monotonic() >= self._hurry_until:
            self._hurry_until = self._time.monotonic() + _HURRY_S
        return futures

    def _timeout_s(self) -> float:
        """Return the timeout of a request.

        If some brokers answer and others do not, all partitions would wait for the latter, in each request.
        """
        return _HURRIED_TIMEOUT_S if self._time.monotonic() < self._hurry_until else REQUEST_TIMEOUT_S

    def _forget_admin(self) -> None:
        if self._admin is not None:
            self._admin.close()
            self._admin = None


def _is_answered(future: "Future[Any]") -> bool:
    """True if a broker answered the request of a finished future, also with an error."""
    if future.exception(0) is not None:
        return error_code(future) not in NO_ANSWER
    # If a broker does not answer a request for offsets in time, librdkafka returns no error, but an invalid offset.
    return getattr(future.result(0), "offset", None) != OFFSET_INVALID
