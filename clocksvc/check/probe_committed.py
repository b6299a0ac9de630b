"""Observes the groups of clocks that follow committed offsets for some seconds, and reads remote upstream clocks."""

import threading
from collections.abc import Iterator, Mapping, Sequence

from clocksvc.check import rules_committed
from clocksvc.check.finding import Finding
from clocksvc.check.rules_committed import CommitSample, Stalls
from clocksvc.client.http import ServiceClient
from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import ClockSpec, Source
from clocksvc.errors import ClocksvcError, MetadataUnavailable
from clocksvc.interfaces.committed_offsets import CommittedOffsets, GroupOffsets
from clocksvc.interfaces.time import Time
from clocksvc.kafka.inspector import KafkaInspector
from clocksvc.service.observer_bootstrap import open_committed_offsets
from clocksvc.settings import Settings

WINDOW_S = 6.0
"""How long groups are observed. Most clients commit every 5 s."""
_EVERY_S = 0.5
_QUIET_S = 1.0
"""A group whose partitions got no record during this time, and that has none to process, is not observed any longer."""
HTTP_TIMEOUT_S = 3.0


def probe_committed(settings: Settings, time: Time, stalls: dict[str, Stalls]) -> Iterator[Finding]:
    """Yield the findings on groups and upstream clocks. None without clocks that follow committed offsets.

    Args:
        stalls: gets how long records can be invisible in the topics of each clock, by the clock's name.
    """
    specs = [spec for spec in settings.clock_specs().values() if spec.source is Source.COMMITTED]
    if not specs:
        return
    yield from rules_committed.evaluate_processing(specs)
    yield from _upstreams(settings, specs)
    try:
        stalls |= _stalls(settings, specs, time)
    except MetadataUnavailable:
        return  # the probe of Kafka reports it
    yield from rules_committed.evaluate_sessions(specs, stalls)
    offsets = open_committed_offsets(settings)
    try:
        samples = observe(offsets, specs, time)
    finally:
        offsets.close()
    for spec in specs:
        if samples[spec.name].partitions:
            yield from rules_committed.evaluate_commits(spec, samples[spec.name])


def observe(offsets: CommittedOffsets, specs: Sequence[ClockSpec], time: Time) -> dict[str, CommitSample]:
    """Return the sample of each clock's group, by the clock's name. Blocks for `WINDOW_S` and a few requests."""
    topics = offsets.topic_ids({topic for spec in specs for topic in spec.topics})
    samples = {
        spec.name: CommitSample(
            [Partition(topic, number) for topic in spec.topics if topic in topics for number in range(topics[topic][1])]
        )
        for spec in specs
    }
    begun = time.monotonic()
    _ask(offsets, specs, samples)
    for sample in samples.values():
        sample.first, sample.first_ends = sample.last, sample.last_ends
    while True:
        threading.Event().wait(_EVERY_S)
        elapsed_s = time.monotonic() - begun
        before = {spec.name: samples[spec.name].last for spec in specs}
        _ask(offsets, specs, samples)
        for spec in specs:
            samples[spec.name].window_s = elapsed_s
            samples[spec.name].note_commits(before[spec.name])
        if elapsed_s >= WINDOW_S or (elapsed_s >= _QUIET_S and all(map(_is_quiet, samples.values()))):
            return samples


def _ask(offsets: CommittedOffsets, specs: Sequence[ClockSpec], samples: Mapping[str, CommitSample]) -> None:
    groups: dict[str, set[Partition]] = {}
    for spec in specs:
        groups.setdefault(spec.group, set()).update(samples[spec.name].partitions)
    committed = offsets.committed(groups)
    ends = offsets.ends(set().union(*groups.values()))
    for spec in specs:
        sample = samples[spec.name]
        answer = committed.get(spec.group)
        if answer is not None:  # another clock can have the same group
            own = {one: answer.offsets[one] for one in sample.partitions if one in answer.offsets}
            answer = GroupOffsets(own, answer.problem)
        sample.last = answer
        sample.last_ends = {partition: ends[partition] for partition in sample.partitions if partition in ends}


def _is_quiet(sample: CommitSample) -> bool:
    """True if the group had nothing to commit, or can't be observed."""
    if sample.last is None or sample.last.problem:
        return True
    highs = {partition: ends.high for partition, ends in sample.last_ends.items()}
    unchanged = highs == {partition: ends.high for partition, ends in sample.first_ends.items()}
    return unchanged and all(sample.last.offsets.get(one, high) >= high for one, high in highs.items())


def _stalls(settings: Settings, specs: Sequence[ClockSpec], time: Time) -> dict[str, Stalls]:
    with KafkaInspector(settings.kafka_settings(), time) as inspector:
        topics = inspector.topics([topic for spec in specs for topic in spec.topics]).found
        broker = inspector.broker_settings()
    session_ms = int(broker.get("broker.session.timeout.ms", rules_committed.SESSION_TIMEOUT_MS))
    lag_ms = int(broker.get("replica.lag.time.max.ms", rules_committed.REPLICA_LAG_MS))
    return {
        spec.name: Stalls(
            any(topics[topic].replication > 1 for topic in spec.topics if topic in topics), session_ms, lag_ms
        )
        for spec in specs
    }


def _upstreams(settings: Settings, specs: Sequence[ClockSpec]) -> Iterator[Finding]:
    tokens = settings.upstream_tokens()
    for spec in specs:
        yield from rules_committed.evaluate_writers(spec)
        for upstream in spec.after:
            if upstream.url:
                client = ServiceClient(upstream.url, tokens.get(upstream))
                try:
                    answer = client.get(f"/v1/clocks/{upstream.clock}", timeout_s=HTTP_TIMEOUT_S).body
                    yield rules_committed.evaluate_upstream(spec, upstream, answer)
                except ClocksvcError as error:
                    yield rules_committed.evaluate_upstream(spec, upstream, str(error))
                except (LookupError, TypeError, ValueError):
                    yield rules_committed.evaluate_upstream(spec, upstream, "the server there is not clocksvc")
