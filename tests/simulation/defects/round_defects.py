"""Defects of a leader's round: what it reads, and in which order it acts."""

import json
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

from clocksvc.clock.log_record import decode_message
from clocksvc.interfaces.topics import ClusterMetadata
from clocksvc.leader import evaluation, round
from clocksvc.leader.context import LeaderDependencies
from clocksvc.leader.term import Term
from tests.simulation.defects.defect import Promise, altered, defect, together
from tests.simulation.defects.seams import with_parts, with_progress, with_ticklog

Patched = AbstractContextManager[object]


@defect(
    "ticks are shown before the tick log has them",
    Promise.NEVER_EARLY,
    "early",
    "unconfirmed",
    "lost",
    directed="unit/leader/test_recovery.py::test_nothing_is_published_before_it_is_committed",
)
def publish_before_commit() -> Patched:
    def alter(parts: LeaderDependencies) -> LeaderDependencies:
        tokens: list[str] = []

        def acquire(token: str, *rest: Any) -> bool:
            tokens[:] = [token]
            return parts.leases.acquire(token, *rest)

        def append(messages: Any, *rest: Any) -> int:
            for message in messages:
                if message.type == "tick":
                    record = decode_message(message)
                    assert record.tick is not None
                    parts.stores[record.clock].publish(tokens[-1], [record.tick])
            return parts.ticklog.append(messages, *rest)

        return replace(
            parts, leases=altered(parts.leases, acquire=acquire), ticklog=altered(parts.ticklog, append=append)
        )

    return with_parts(alter)


@defect(
    "the minimum of an older roster counts",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/leader/test_roster.py::test_a_roster_that_was_rolled_back_is_written_again",
)
def no_generation_and_count_check() -> Patched:
    return with_progress(lambda progress, own: replace(progress, generation=own.generation, count=own.count))


@defect(
    "a store that was rolled back is not noticed by its last tick",
    Promise.ALIVE,
    "lost",
    "dead",
    directed="unit/leader/test_recovery.py::test_a_store_from_an_old_snapshot_gets_what_it_misses",
)
def last_tick_of_the_store_not_compared() -> Patched:
    return with_progress(
        lambda progress, own: progress if own.end_ms is None else replace(progress, last_tick_ms=own.end_ms)
    )


@defect(
    "metadata is read before the minimum is taken",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/leader/test_leading.py::test_metadata_is_read_after_the_minimum",
)
def metadata_before_the_minimum() -> Patched:
    def alter(parts: LeaderDependencies) -> LeaderDependencies:
        topics = sorted({topic for spec in parts.specs.values() for topic in spec.topics})
        before: list[ClusterMetadata] = []

        def read_round(*args: Any) -> Any:
            before[:] = [parts.topics.describe(topics)]
            return parts.leases.read_round(*args)

        return replace(
            parts,
            leases=altered(parts.leases, read_round=read_round),
            topics=altered(parts.topics, describe=lambda names: before[-1]),
        )

    return with_parts(alter)


@defect(
    "metadata is read every 30 s and not once more before a commit",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/leader/test_leading.py::test_metadata_is_read_after_the_minimum",
)
def no_second_metadata_reading() -> Patched:
    def alter(parts: LeaderDependencies) -> LeaderDependencies:
        known: dict[tuple[str, ...], tuple[float, ClusterMetadata]] = {}

        def describe(names: Any) -> ClusterMetadata:
            key, now = tuple(sorted(names)), parts.time.monotonic()
            if key not in known or now - known[key][0] >= 30.0:
                known[key] = (now, parts.topics.describe(names))
            return known[key][1]

        return replace(parts, topics=altered(parts.topics, describe=describe))

    return with_parts(alter)


@defect("the leader does a round only when it is notified", Promise.ALIVE, "silent", "dead", "delayed")
def sleeps_until_notified() -> Patched:
    return together(patch.object(round, "IDLE_S", 86_400.0), patch.object(evaluation, "IDLE_S", 86_400.0))


@defect(
    "the out-of-orderness is read once",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/leader/test_timestamp_type_change.py::test_a_create_time_record_switches_at_once",
)
def timestamp_types_read_once() -> Patched:
    return together(
        patch.object(round, "PARAMETERS_EVERY_S", float("inf")),
        with_progress(lambda progress, own: replace(progress, create_time_seen_ms=0)),
    )


@defect(
    "an append goes to wherever the log ends now",
    Promise.NEVER_LOST,
    "unchained",
    directed="unit/leader/test_lost_tail.py::test_a_running_leader_never_writes_after_a_gap",
)
def end_not_compared() -> Patched:
    def alter(parts: LeaderDependencies, ticklog: Any) -> Any:
        def append(messages: Any, end: int, keep_alive: Any) -> int:
            found: int = ticklog.append(messages, ticklog.stable_bounds(keep_alive).end, keep_alive)
            return found

        return altered(ticklog, append=append)

    return with_ticklog(alter)


@defect(
    "a topic without an id is taken for the same topic for ever",
    Promise.NEVER_EARLY,
    "early",
    directed="unit/leader/test_topic_without_id.py::test_a_topic_without_an_id_is_a_hold",
)
def topics_without_ids_accepted() -> Patched:
    def alter(parts: LeaderDependencies) -> LeaderDependencies:
        known: dict[str, str] = {}

        def describe(names: Any) -> ClusterMetadata:
            found = parts.topics.describe(names)
            topics = {name: one._replace(id=one.id or known.get(name, "none")) for name, one in found.topics.items()}
            known.update({name: one.id for name, one in topics.items()})
            return replace(found, topics=topics)

        return replace(parts, topics=altered(parts.topics, describe=describe))

    return with_parts(alter)


@defect(
    "a rejected record delays all clocks of its log",
    Promise.ALIVE,
    "delayed",
    "dead",
    "silent",
    directed="unit/leader/test_shared_log.py::test_two_rejected_clocks_don_t_keep_each_other",
)
def rejected_record_delays_others() -> Patched:
    commit = Term.commit

    def all_or_none(term: Term, ticklog: Any, records: Any, keep_alive: Any) -> None:
        for clock in term.clocks.values():
            clock.trouble.rejected = False
            clock.trouble.retry_at = float("-inf")
        commit(term, ticklog, records, keep_alive)

    return together(
        patch.object(Term, "commit", all_or_none),
        patch("clocksvc.leader.term.Trouble.fail", lambda trouble, hold, now, rejected=False: None),
    )


@defect(
    "a snapshot lacks clocks that are not in the configuration",
    Promise.NEVER_LOST,
    "snapshot",
    directed="unit/leader/test_snapshots.py::test_a_clock_that_left_the_configuration_is_kept",
)
def removed_clocks_left_out() -> Patched:
    def alter(parts: LeaderDependencies, ticklog: Any) -> Any:
        def append(messages: Any, end: int, keep_alive: Any) -> int:
            kept = [one for one in messages if one.type != "snapshot" or (one.key or b"").decode() in parts.specs]
            if len(kept) < len(messages):
                last = json.loads(kept[-1].value)
                last["count"] = len(kept) - 2
                kept[-1] = kept[-1]._replace(value=json.dumps(last).encode())
            found: int = ticklog.append(kept, end, keep_alive)
            return found

        return altered(ticklog, append=append)

    return with_ticklog(alter)
