"""The store, reports: a maximum for each partition, rejections for each alone, and when the leader is notified."""

import threading
from dataclasses import replace

import pytest

from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp, rejection_reason
from clocksvc.clock.roster import Roster, TopicMetadata
from clocksvc.errors import StoreMismatch
from clocksvc.interfaces.counters import MAX_COUNT
from clocksvc.interfaces.leases import Leases
from clocksvc.interfaces.progress import FORMAT, MAX_LATE_RECORDS, SILENT_MS, ForeignReports, Report, StoreIdentity
from clocksvc.interfaces.store import Store
from tests.interfaces.store_examples import (
    BASE,
    BOUNDS,
    GROUP,
    IDENTITY,
    MINUTE,
    ORDERS_0,
    ORDERS_1,
    PAYMENTS_0,
    ROSTER,
    SINGLE,
    STARTED,
    TOKEN,
    answer,
    lead,
    line,
    progress,
    raw,
    send,
    tick,
)
from tests.interfaces.store_implementations import StoreImplementation
from tests.waiting import eventually

ACCEPTED, UNCHANGED, UNKNOWN = Outcome.ACCEPTED, Outcome.UNCHANGED, Outcome.UNKNOWN
TOO_FAR_AHEAD, NO_TIMESTAMP = Outcome.TOO_FAR_AHEAD, Outcome.NO_TIMESTAMP
FOREIGN_GROUP, FOREIGN_TOPIC = Outcome.FOREIGN_GROUP, Outcome.FOREIGN_TOPIC


def test_each_partition_keeps_its_maximum(store: Store, leases: Leases) -> None:
    """A higher timestamp is accepted; an equal or a lower one changes nothing; partitions don't touch one another."""
    lead(store, leases)

    assert send(store, (ORDERS_0, BASE), (ORDERS_1, BASE + 5)) == (ACCEPTED, ACCEPTED)
    assert send(store, (ORDERS_0, BASE), (ORDERS_1, BASE + 4)) == (UNCHANGED, UNCHANGED)
    assert send(store, (ORDERS_0, BASE + 1)) == (ACCEPTED,)
    assert [raw(store, p) for p in (ORDERS_0, ORDERS_1, PAYMENTS_0)] == [BASE + 1, BASE + 5, None]


def test_the_slowest_partition_is_in_the_answer_if_max_drift_needs_it(store: Store, leases: Leases) -> None:
    """After the report, and of all partitions that must report. None while one of them is unknown, and until a leader
    has begun a round."""
    lead(store, leases, bounds=replace(BOUNDS, max_drift_ms=10 * MINUTE))

    first = answer(store, (ORDERS_0, BASE), (ORDERS_1, BASE + 7))
    store.write_roster(TOKEN, replace(ROSTER, excluded=frozenset({PAYMENTS_0})), 2)

    assert first.lowest_ms is answer(store).lowest_ms is None
    assert first.parameters == store.snapshot().parameters == replace(BOUNDS, max_drift_ms=10 * MINUTE)
    progress(leases)
    assert answer(store).lowest_ms == BASE
    assert answer(store, (ORDERS_0, BASE + 5)).lowest_ms == BASE + 5
    assert answer(store, (ORDERS_0, BASE + 9), (PAYMENTS_0, BASE)).lowest_ms == BASE + 7

    store.claim(TOKEN, IDENTITY, BOUNDS, STARTED)
    progress(leases)

    assert answer(store).parameters == store.snapshot().parameters == BOUNDS
    assert answer(store).lowest_ms is None


def test_progress_in_a_former_topic_is_unknown(store: Store, leases: Leases) -> None:
    """A report that names another topic id than the roster stores nothing, and notifies the leader, which reads the
    topics again. Other topics of the report count, and so does one whose id the report does not name."""
    lead(store, leases)
    ids = {"orders": "id-former", "payments": "id-p"}
    timestamps = tuple(PartitionTimestamp(partition, BASE) for partition in (ORDERS_0, PAYMENTS_0))
    leases.wait_for_notification(0)

    outcomes = store.report(Report(GROUP, timestamps, topic_ids=ids)).outcomes

    assert outcomes == (UNKNOWN, ACCEPTED)
    assert (raw(store, ORDERS_0), line(store, ORDERS_0).rejected, raw(store, PAYMENTS_0)) == (None, None, BASE)
    assert leases.wait_for_notification(0)
    assert progress(leases).unknown_seen_ms > 0
    assert store.report(Report(GROUP, timestamps, topic_ids={"payments": "id-p"})).outcomes == (ACCEPTED, UNCHANGED)

    store.write_roster(TOKEN, Roster({**ROSTER.topics, "orders": TopicMetadata("id-former", 2)}), 2)
    later = tuple(PartitionTimestamp(partition, BASE + 2 * MINUTE) for partition in (ORDERS_0, PAYMENTS_0))

    assert store.report(Report(GROUP, later, topic_ids=ids)).outcomes == (ACCEPTED, ACCEPTED)


def test_timestamp_zero_is_rejected(store: Store, leases: Leases) -> None:
    """Zero is a number that was not set. The partition stays unknown, so the clock holds instead of ticking in 1970."""
    lead(store, leases, SINGLE)

    assert send(store, (ORDERS_0, 0)) == (Outcome.NOT_MILLISECONDS,)
    assert raw(store, ORDERS_0) is None
    assert progress(leases).lowest_ms is None


def test_one_partition_several_times_in_one_report(store: Store, leases: Leases) -> None:
    """Each reading is judged after those before it, and the maximum stays."""
    lead(store, leases)

    outcomes = send(store, (ORDERS_0, BASE), (ORDERS_0, BASE + 2), (ORDERS_0, BASE + 2), (ORDERS_0, BASE + 1))

    assert outcomes == (ACCEPTED, ACCEPTED, UNCHANGED, UNCHANGED)
    assert raw(store, ORDERS_0) == BASE + 2


def test_many_partitions_in_one_report(store: Store, leases: Leases) -> None:
    """Thousands of readings in one report are answered in order, each for itself."""
    lead(store, leases, Roster({"orders": TopicMetadata("id-o", 2_500)}))
    send(store, *((Partition("orders", n), BASE) for n in range(0, 2_500, 2)))

    outcomes = send(store, *((Partition("orders", n), BASE) for n in range(2_501)))

    assert outcomes == (*(UNCHANGED if n % 2 == 0 else ACCEPTED for n in range(2_500)), UNKNOWN)
    assert store.counters().reports == {"accepted": 2_500, "unchanged": 1_250, "unknown": 1}


def test_partition_off_the_roster_is_unknown(store: Store, leases: Leases) -> None:
    """It is not kept; the leader learns when it was seen and is notified, so that it reads the metadata."""
    lead(store, leases)
    before_ms = store.now_ms()
    stranger = Partition("orders", 2)

    assert send(store, (stranger, BASE), (ORDERS_0, BASE)) == (UNKNOWN, ACCEPTED)
    assert stranger not in [line.partition for line in store.partitions(None, 100)]
    assert leases.wait_for_notification(0)
    assert before_ms <= progress(leases).unknown_seen_ms <= store.now_ms()


def test_nothing_unknown_was_seen(store: Store, leases: Leases) -> None:
    """Until a report names a stranger, the time of the last one is 0."""
    lead(store, leases)
    send(store, (ORDERS_0, BASE))

    assert progress(leases).unknown_seen_ms == 0


EDGES_MS = (0, 1, 10**11 - 1, 10**11, BASE // 1000, BASE, BASE * 1000, 10**14 - 1, 10**14, BASE * 10**6, 2**63 - 1)


@pytest.mark.parametrize("known", [False, True])
def test_a_number_in_another_unit_is_rejected(store: Store, leases: Leases, known: bool) -> None:
    """Every store decides as the one rule in `clock/partition.py`, on a fresh partition and on one with a timestamp."""
    partitions = [Partition("orders", number) for number in range(2 * len(EDGES_MS))]
    numbers = [sign * edge for edge in EDGES_MS for sign in (1, -1)]
    lead(store, leases, Roster({"orders": TopicMetadata("id-o", len(partitions))}))
    if known:
        send(store, *((partition, BASE) for partition in partitions))

    outcomes = send(store, *zip(partitions, numbers, strict=True))

    expected = [rejection_reason(number, store.now_ms(), BOUNDS.max_future_ms) for number in numbers]
    valid = [UNCHANGED if known and number <= BASE else ACCEPTED for number in numbers]
    assert list(outcomes) == [one or good for one, good in zip(expected, valid, strict=True)]
    assert [line(store, one).rejected for one in partitions] == expected
    assert expected.count(Outcome.NOT_MILLISECONDS) == 9  # the edge 0 is there twice, because -0 is 0


def test_late_records_stay_at_the_maximum(implementation: StoreImplementation) -> None:
    """A report has at most 10^9 of them, and their counter never fails: later reports are answered."""
    store = implementation.store
    lead(store, implementation.leases)
    store.report(Report(GROUP, (), late_records=2**53 - 1))
    assert store.counters().late_records == MAX_LATE_RECORDS

    implementation.set_late_records(MAX_COUNT - 1)
    for late_records in (7, 2**53 - 1, -7):
        store.report(Report(GROUP, (PartitionTimestamp(ORDERS_0, BASE),), late_records=late_records))

    assert store.counters().late_records == MAX_COUNT
    assert raw(store, ORDERS_0) == BASE


@pytest.mark.parametrize("bad", ["negative", "ahead"])
def test_refused_number_is_forgotten(store: Store, bad: str, leases: Leases) -> None:
    """A bad timestamp is rejected for its partition alone, shown, and gone with the next good one."""
    lead(store, leases)
    bad_ms, outcome = (-1, NO_TIMESTAMP) if bad == "negative" else (store.now_ms() + MINUTE + 20_000, TOO_FAR_AHEAD)
    send(store, (ORDERS_0, BASE))

    assert send(store, (ORDERS_0, bad_ms), (ORDERS_1, BASE)) == (outcome, ACCEPTED)
    shown = line(store, ORDERS_0)
    assert (shown.raw_ms, shown.rejected) == (BASE, outcome)
    assert send(store, (ORDERS_0, BASE + 1)) == (ACCEPTED,)
    assert (raw(store, ORDERS_0), line(store, ORDERS_0).rejected) == (BASE + 1, None)


def test_refused_first_report_leaves_the_partition_unknown(store: Store, leases: Leases) -> None:
    """Nothing is kept of it but the reason; an unchanged report clears the reason as an accepted one does."""
    lead(store, leases, SINGLE)

    send(store, (ORDERS_0, -1))
    assert (raw(store, ORDERS_0), line(store, ORDERS_0).rejected) == (None, NO_TIMESTAMP)
    assert line(store, ORDERS_0).reported_ms is None
    assert progress(leases).lowest_ms is None
    send(store, (ORDERS_0, BASE))
    send(store, (ORDERS_0, -1))
    assert send(store, (ORDERS_0, BASE)) == (UNCHANGED,)
    assert line(store, ORDERS_0).rejected is None


def test_good_and_bad_of_one_partition_in_one_report(store: Store, leases: Leases) -> None:
    """What is shown is what became of the newest one."""
    lead(store, leases)

    send(store, (ORDERS_0, -1), (ORDERS_0, BASE), (ORDERS_1, BASE), (ORDERS_1, -1))

    assert (line(store, ORDERS_0).rejected, line(store, ORDERS_1).rejected) == (None, NO_TIMESTAMP)


def test_a_little_ahead_is_accepted(store: Store, leases: Leases) -> None:
    """Up to `max_future` ahead of the store's own clock counts."""
    lead(store, leases)

    assert send(store, (ORDERS_0, store.now_ms() + MINUTE - 20_000)) == (ACCEPTED,)


def test_another_groups_report_is_refused_whole(store: Store, leases: Leases) -> None:
    """Only its outcomes are counted. It does not notify the leader, and is not shown beside the own group's reports."""
    lead(store, leases)
    send(store, (ORDERS_0, BASE))
    leases.wait_for_notification(0)
    readings = (PartitionTimestamp(ORDERS_0, BASE + MINUTE), PartitionTimestamp(Partition("orders", 9), BASE))
    report = Report("canary", readings, ((PartitionTimestamp(ORDERS_1, -1), NO_TIMESTAMP),), late_records=7)

    assert store.report(report).outcomes == (FOREIGN_GROUP, FOREIGN_GROUP)
    assert raw(store, ORDERS_0) == BASE
    assert (line(store, ORDERS_0).rejected, line(store, ORDERS_1).rejected) == (None, None)
    assert store.counters().reports == {"accepted": 1, "foreign_group": 2}
    assert store.counters().late_records == 0
    assert not leases.wait_for_notification(0)
    assert progress(leases).unknown_seen_ms == 0


def test_another_topics_reports_count_for_nothing(store: Store, leases: Leases) -> None:
    """Also on a partition number that the clock has. The topic is kept for the hold; the leader is not notified."""
    lead(store, leases)
    assert store.foreign_reports() == ForeignReports()
    before_ms = store.now_ms()
    stray = Partition("invoices", 0)

    assert send(store, (stray, BASE), (ORDERS_0, BASE)) == (FOREIGN_TOPIC, ACCEPTED)
    found = store.foreign_reports()
    assert (found.topic, found.group) == ("invoices", None)
    assert before_ms <= found.topic_ms <= store.now_ms()
    assert stray not in [line.partition for line in store.partitions(None, 100)]
    assert store.counters().reports == {"foreign_topic": 1, "accepted": 1}
    assert not leases.wait_for_notification(0)
    assert progress(leases).unknown_seen_ms == 0


def test_a_topic_that_the_reporter_itself_rejected_is_kept(store: Store, leases: Leases) -> None:
    """A reporter that gets messages of another topic reports nothing but the rejection."""
    lead(store, leases)
    stray = PartitionTimestamp(Partition("in:voices", 1), BASE)
    store.report(Report(GROUP, (), ((stray, FOREIGN_TOPIC), (PartitionTimestamp(ORDERS_0, BASE), FOREIGN_TOPIC))))

    assert store.foreign_reports().topic == "in:voices"
    assert line(store, ORDERS_0).rejected is FOREIGN_TOPIC
    assert store.counters().reports == {"foreign_topic": 2}


@pytest.mark.parametrize(("name", "kept"), [("canary", "canary"), ("\x1b[31mü", "?[31m??"), ("x" * 300, "x" * 255)])
def test_the_other_group_is_kept(store: Store, name: str, kept: str, leases: Leases) -> None:
    """With the time of its last report. The name is safe to print."""
    lead(store, leases)
    before_ms = store.now_ms()
    send(store, (ORDERS_0, BASE), (Partition("invoices", 0), BASE), group=name)
    found = store.foreign_reports()

    assert (found.group, found.topic) == (kept, None)
    assert before_ms <= found.group_ms <= store.now_ms()


def test_the_other_group_is_kept_if_its_reporter_rejects_all(store: Store, leases: Leases) -> None:
    """A consumer of another topic in another group: the reporter sends no timestamps, only its own rejections."""
    lead(store, leases)
    rejected = (PartitionTimestamp(Partition("invoices", 0), BASE), Outcome.FOREIGN_TOPIC)
    store.report(Report("canary", (), (rejected,)))

    assert store.foreign_reports().group == "canary"
    assert store.counters().reports == {}


def test_a_report_without_timestamps_is_not_of_another_group(store: Store, leases: Leases) -> None:
    """A reporter sends it to learn the clock's parameters."""
    lead(store, leases)
    answer(store, group="canary")

    assert store.foreign_reports() == ForeignReports()


def test_another_groups_reports_are_shown_where_the_own_group_is_silent(implementation: StoreImplementation) -> None:
    """A partition that was never reported, or not for 30 s. Otherwise the hold's reason changes with each report."""
    store = implementation.store
    lead(store, implementation.leases)
    send(store, (ORDERS_0, BASE), (ORDERS_1, BASE))
    everything = ((ORDERS_0, BASE), (ORDERS_1, BASE), (PAYMENTS_0, BASE))

    def shown() -> list[Outcome | None]:
        send(store, *everything, group="canary")
        return [line(store, partition).rejected for partition, _ in everything]

    assert shown() == [None, None, FOREIGN_GROUP]
    implementation.set_reported(ORDERS_0, store.now_ms() - SILENT_MS + 5_000)
    implementation.set_reported(ORDERS_1, store.now_ms() - SILENT_MS - 1)
    assert shown() == [None, FOREIGN_GROUP, FOREIGN_GROUP]
    send(store, (ORDERS_1, BASE))
    assert shown() == [None, None, FOREIGN_GROUP]


def test_without_bounds_all_is_unknown(store: Store, leases: Leases) -> None:
    """While no leader has written bounds, a report is answered and leaves nothing behind."""
    given = answer(store, (ORDERS_0, BASE), (ORDERS_1, -1))

    assert (given.outcomes, given.parameters, given.last_tick_ms) == ((UNKNOWN, UNKNOWN), None, None)
    assert store.counters().reports == {}
    assert not leases.wait_for_notification(0)


def test_answer_carries_bounds_and_global_clock(store: Store, leases: Leases) -> None:
    """With its first answer a reporter learns all that it needs; also from an empty report, and when rejected."""
    lead(store, leases, SINGLE)
    assert (answer(store).parameters, answer(store).last_tick_ms) == (BOUNDS, None)
    store.publish(TOKEN, [tick(0, None)])

    assert (answer(store).outcomes, answer(store).last_tick_ms) == ((), BASE)
    assert answer(store, (ORDERS_0, BASE), group="canary").parameters == BOUNDS


def test_excluded_partition_is_kept_up_to_date(store: Store, leases: Leases) -> None:
    """It is answered like any other, so that it counts at once when it comes back; the minimum leaves it out."""
    lead(store, leases, Roster(ROSTER.topics, frozenset({ORDERS_1, PAYMENTS_0})))

    assert send(store, (ORDERS_0, BASE + 7), (ORDERS_1, BASE)) == (ACCEPTED, ACCEPTED)
    assert send(store, (ORDERS_1, BASE), (ORDERS_1, BASE + 1)) == (UNCHANGED, ACCEPTED)
    assert raw(store, ORDERS_1) == BASE + 1
    assert progress(leases).lowest_ms == BASE + 7


def test_reporters_own_refusals_and_late_records_are_counted(store: Store, leases: Leases) -> None:
    """Refusals that a reporter decided are counted and shown, for partitions that exist; late records add up."""
    lead(store, leases)
    refusals = (
        (PartitionTimestamp(ORDERS_0, -1), NO_TIMESTAMP),
        (PartitionTimestamp(Partition("orders", 9), -1), NO_TIMESTAMP),
    )

    store.report(Report(GROUP, (), refusals, late_records=3))
    store.report(Report(GROUP, (), late_records=2))

    assert line(store, ORDERS_0).rejected is NO_TIMESTAMP
    assert (store.counters().reports, store.counters().late_records) == ({"no_timestamp": 2}, 5)
    assert len(store.partitions(None, 100)) == 3


def test_reported_time_is_the_stores(store: Store, leases: Leases) -> None:
    """Each accepted or unchanged report moves the time at which its partition was last reported."""
    lead(store, leases)
    before_ms = store.now_ms()
    send(store, (ORDERS_0, BASE))
    send(store, (ORDERS_0, BASE))
    reported_ms = line(store, ORDERS_0).reported_ms

    assert reported_ms is not None
    assert before_ms <= reported_ms <= store.now_ms()


@pytest.mark.parametrize("written", [FORMAT - 1, FORMAT, FORMAT + 1])
def test_neighbouring_formats_are_understood(store: Store, written: int, leases: Leases) -> None:
    """A reporter of version N works with a store of N-1 to N+1."""
    lead(store, leases, SINGLE, identity=StoreIdentity("cluster-1", written))

    assert send(store, (ORDERS_0, BASE)) == (ACCEPTED,)


@pytest.mark.parametrize("written", [FORMAT - 2, FORMAT + 2])
def test_distant_format_is_refused(store: Store, written: int, leases: Leases) -> None:
    """A format further away names both, and nothing is written."""
    lead(store, leases, SINGLE, identity=StoreIdentity("cluster-1", written))

    with pytest.raises(StoreMismatch, match=f"{written}.*{FORMAT}"):
        send(store, (ORDERS_0, BASE))
    assert raw(store, ORDERS_0) is None


def test_first_boundary_notifies_the_leader_once_all_are_known(store: Store, leases: Leases) -> None:
    """Before the first tick: not while a partition is unknown, then as soon as none is."""
    lead(store, leases)
    send(store, (ORDERS_0, BASE), (ORDERS_1, BASE))
    assert not leases.wait_for_notification(0)
    assert progress(leases).boundary_crossed_at_ms is None
    before_ms = store.now_ms()
    send(store, (PAYMENTS_0, BASE))

    assert leases.wait_for_notification(0)
    boundary_crossed_at_ms = progress(leases).boundary_crossed_at_ms
    assert boundary_crossed_at_ms is not None
    assert before_ms <= boundary_crossed_at_ms <= store.now_ms()


def test_out_of_orderness_is_subtracted_before_a_boundary_is_crossed(store: Store, leases: Leases) -> None:
    """The minimum crosses boundary T with the timestamp T plus `max_out_of_orderness`, and not 1 ms before."""
    lead(store, leases, SINGLE)
    store.publish(TOKEN, [tick(0, None)])

    send(store, (ORDERS_0, BASE + MINUTE + 9_999))
    assert not leases.wait_for_notification(0)
    send(store, (ORDERS_0, BASE + MINUTE + 10_000))
    assert leases.wait_for_notification(0)


def test_crossing_is_noted_once_until_it_is_published(store: Store, leases: Leases) -> None:
    """Further reports neither move the time of the crossing nor notify again; the tick's publication ends it."""
    lead(store, leases, SINGLE)
    store.publish(TOKEN, [tick(0, None)])
    send(store, (ORDERS_0, BASE + MINUTE + 10_000))
    assert leases.wait_for_notification(0)
    boundary_crossed_at_ms = progress(leases).boundary_crossed_at_ms
    send(store, (ORDERS_0, BASE + MINUTE + 20_000))

    assert not leases.wait_for_notification(0)
    assert progress(leases).boundary_crossed_at_ms == boundary_crossed_at_ms
    store.publish(TOKEN, [tick(1, 0)])
    assert progress(leases).boundary_crossed_at_ms is None
    assert not leases.wait_for_notification(0)


def test_a_boundary_after_a_published_one_notifies_again(store: Store, leases: Leases) -> None:
    """A report between minimum and publication must not be slept over."""
    lead(store, leases, SINGLE)
    send(store, (ORDERS_0, BASE + 3 * MINUTE))
    leases.wait_for_notification(0)

    store.publish(TOKEN, [tick(0, None)])

    assert leases.wait_for_notification(0)
    assert progress(leases).boundary_crossed_at_ms is not None


def test_two_reporters_interleaved_keep_the_maximum(store: Store, leases: Leases) -> None:
    """In any order of two threads' reports, the highest timestamp is kept and each outcome is counted."""
    lead(store, leases)

    def report(offset: int) -> None:
        for step in range(100):
            send(store, (ORDERS_0, BASE + 2 * step + offset), (ORDERS_1, BASE + 2 * (99 - step) + offset))

    threads = [threading.Thread(target=report, args=(offset,)) for offset in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (raw(store, ORDERS_0), raw(store, ORDERS_1)) == (BASE + 199, BASE + 199)
    assert sum(store.counters().reports.values()) == 400


def test_records_with_create_time_notify_the_leader_once(store: Store, leases: Leases) -> None:
    """The time of the last such report is stored with the report, so the round that counts the report has it."""
    lead(store, leases, SINGLE)
    assert progress(leases).create_time_seen_ms == 0
    before_ms = store.now_ms()
    store.report(Report(GROUP, (PartitionTimestamp(ORDERS_0, 0),), create_time_topics=("orders",)))
    assert leases.wait_for_notification(0)
    first_ms = progress(leases).create_time_seen_ms

    assert before_ms <= first_ms <= store.now_ms()
    eventually(lambda: store.now_ms() > first_ms, what="a millisecond to pass")
    store.report(Report(GROUP, (), create_time_topics=("orders",)))
    assert not leases.wait_for_notification(0)
    assert progress(leases).create_time_seen_ms > first_ms


def test_another_groups_create_time_is_ignored(store: Store, leases: Leases) -> None:
    """As its timestamps are."""
    lead(store, leases, SINGLE)
    store.report(Report("canary", (), create_time_topics=("orders",)))

    assert not leases.wait_for_notification(0)
    assert progress(leases).create_time_seen_ms == 0
