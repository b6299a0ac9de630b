"""The observer, from Kafka to the store: an ordinary group, quiet and empty partitions, backlogs, transactions."""

from dataclasses import replace

import pytest

from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import ClockSpec, Source
from clocksvc.memory.committed_offsets import MemoryTransaction
from clocksvc.testing.manual_time import ManualTime
from tests.unit.committed.observed import CLOCK, GROUP, MINUTE, ORDERS, P0, P1, SPEC, Scene, with_poll


def test_a_record_moves_a_partition_within_a_poll() -> None:
    scene = Scene()
    scene.work(P0, -3, -2)
    scene.run(10)
    assert scene.minute(P0) == -2
    scene.work(P0, 1.01)
    scene.run(6)
    assert scene.minute(P0) == 1.01


def test_a_record_that_is_not_committed_moves_nothing() -> None:
    scene = Scene()
    scene.work(P0, -3)
    scene.kafka.append(P0, scene.at(-1))
    scene.run(30)
    assert scene.minute(P0) == -3
    assert scene.waits(P0) == "not_processed"


def test_quiet_and_empty_partitions_follow_the_wall_clock() -> None:
    """A drained partition passes a boundary `drain_delay` and one poll later, without a heartbeat."""
    scene = Scene()
    scene.work(P0, -5)
    scene.run(70)
    assert (scene.minute(P0), scene.minute(P1)) == (0, 0)
    scene.run(10)
    assert (scene.minute(P0), scene.minute(P1)) == (1, 1)


@pytest.mark.parametrize("poll_s", [1, 2, 3, 5, 10, 60])
def test_quiet_partitions_move_with_each_poll_interval(poll_s: int) -> None:
    scene = Scene(specs=(with_poll(SPEC, poll_s),))
    scene.work(P0, -5)
    scene.run(300)
    for _ in range(5):
        scene.run(60)
        now = (scene.time.now_ms() - scene.start_ms) / MINUTE
        assert (scene.minute(P1) or 0) >= int(now - (15 + poll_s + 1) / 60)
        assert scene.minute(P0) == scene.minute(P1)


def test_nothing_committed() -> None:
    scene = Scene()
    scene.kafka.append(P0, scene.at(-5))
    scene.run(90)
    assert scene.minute(P0) is None
    assert scene.waits(P0) == "nothing_committed"
    assert scene.observation().waiting == {"nothing_committed": 1}
    assert scene.observation().named == {"nothing_committed": (P0,)}


def test_a_day_of_minutes_behind_is_caught_up_within_seconds() -> None:
    scene = Scene()
    scene.kafka.append(P0, *(scene.at(minute) for minute in range(-1_440, 0)))
    scene.kafka.commit(GROUP, P0, 1)
    scene.run(5)
    assert scene.minute(P0) == -1_440
    scene.kafka.commit(GROUP, P0, 1_440)
    scene.run(6)
    assert scene.minute(P0) in (-1, 0)


def test_a_marker_at_the_end_is_no_record() -> None:
    """A consumer that commits by message has committed 2, and the end is 3."""
    scene = Scene()
    transaction = MemoryTransaction()
    scene.kafka.append(P0, scene.at(-3), scene.at(-3), transaction=transaction)
    scene.kafka.finish(transaction, scene.at(10))
    scene.kafka.commit(GROUP, P0, 2)
    scene.run(80)
    assert scene.minute(P0) == 1


def test_a_marker_has_no_time() -> None:
    """The marker below the committed offset has the wall clock of the coordinator."""
    scene = Scene()
    transaction = MemoryTransaction()
    scene.kafka.append(P0, scene.at(-3), transaction=transaction)
    scene.kafka.finish(transaction, scene.at(0))
    scene.kafka.commit(GROUP, P0, 2)
    scene.kafka.append(P0, scene.at(-2))
    scene.run(30)
    assert scene.minute(P0) == -3


def test_aborted_records_have_no_time_and_need_no_processing() -> None:
    scene = Scene()
    scene.kafka.append(P0, scene.at(-4))
    transaction = MemoryTransaction()
    scene.kafka.append(P0, scene.at(-1), scene.at(-1), transaction=transaction)
    scene.kafka.finish(transaction, scene.at(0), commit=False)
    scene.kafka.commit(GROUP, P0, 3)
    scene.kafka.append(P0, scene.at(-2))
    scene.run(30)
    assert scene.minute(P0) == -4
    scene.kafka.commit(GROUP, P0, 5)
    transaction = MemoryTransaction()
    scene.kafka.append(P0, scene.at(1), transaction=transaction)
    scene.kafka.finish(transaction, scene.at(1), commit=False)
    scene.run(50)
    assert scene.minute(P0) == 1


def test_an_open_transaction_is_waited_for() -> None:
    scene = Scene()
    scene.work(P0, -4)
    transaction = MemoryTransaction()
    scene.kafka.append(P0, scene.at(-1), transaction=transaction)
    scene.run(120)
    assert scene.minute(P0) == -4
    assert scene.waits(P0) == "open_transaction"
    scene.kafka.finish(transaction, scene.at(2), commit=False)
    scene.run(6)
    assert scene.minute(P0) == 1, "all ends until now are reached"


def test_compacted_records_need_no_processing() -> None:
    scene = Scene()
    scene.kafka.append(P0, scene.at(-4), scene.at(-3), scene.at(-2))
    scene.kafka.commit(GROUP, P0, 1)
    scene.run(15)
    assert scene.minute(P0) == -4
    scene.kafka.compact(P0, 1, 2)
    scene.run(80)
    assert scene.minute(P0) == 1


def test_deleted_records_need_no_processing() -> None:
    scene = Scene()
    scene.kafka.append(P0, scene.at(-4), scene.at(-3), scene.at(-2))
    scene.kafka.commit(GROUP, P0, 1)
    scene.kafka.delete_before(P0, 3)
    scene.run(80)
    assert scene.minute(P0) == 1


def test_a_wrong_timestamp_proves_nothing() -> None:
    scene = Scene()
    scene.work(P0, -4, 1_440)
    scene.kafka.append(P0, scene.at(-3))
    scene.run(30)
    assert scene.minute(P0) is None
    assert scene.waits(P0) == "too_far_ahead"
    scene.work(P0, 0.5)
    scene.run(6)
    assert scene.minute(P0) == 0.5


def test_records_with_disorder() -> None:
    """A partition has passed T with a record of T plus max_out_of_orderness."""
    scene = Scene(out_of_orderness_ms=10_000)
    scene.work(P0, -4)
    scene.run(80)
    assert scene.minute(P0) == pytest.approx(10 / 60), "boundary 0, plus the out-of-orderness"
    scene.run(10)
    assert scene.minute(P0) == pytest.approx(1 + 10 / 60)


def test_a_topic_that_has_create_time_now_is_reported_with_its_first_record() -> None:
    """The leader then uses the out-of-orderness of CreateTime at once, as with a Reporter. Before, it reads the topics'
    types every 30 s only, and a record that moves a partition could be ahead of others by the disorder."""
    scene = Scene()
    scene.work(P0, -3, create_time=False)
    scene.run(10)
    assert scene.minute(P0) == -3
    assert scene.create_time_seen_ms() == 0
    scene.work(P0, 1.01)
    scene.run(6)
    assert scene.minute(P0) == 1.01
    seen_ms = scene.create_time_seen_ms()
    assert seen_ms > 0
    scene.work(P0, 1.5, create_time=False)
    scene.run(20)
    assert scene.create_time_seen_ms() == seen_ms


def test_the_observation_has_the_number_of_partitions_with_commits() -> None:
    """0 on an empty topic: the group's name can be wrong. Not known if the group can't be read."""
    scene = Scene()
    scene.run(6)
    assert scene.observation().committed_partitions == 0
    scene.work(P0, -4)
    scene.run(6)
    assert scene.observation().committed_partitions == 1
    scene.kafka.refused[GROUP] = "authorization failed: Describe on group billing"
    scene.run(6)
    assert scene.observation().committed_partitions is None


def test_an_offset_goes_back_jumps_and_expires() -> None:
    scene = Scene()
    scene.work(P0, -4, -3, -2, -1)
    scene.run(6)
    assert scene.minute(P0) == -1
    scene.kafka.commit(GROUP, P0, 1)
    scene.run(80)
    assert scene.minute(P0) == -1
    assert scene.waits(P0) == "not_processed"
    scene.kafka.commit(GROUP, P0, None)
    scene.run(10)
    assert scene.waits(P0) == "nothing_committed"
    scene.kafka.commit(GROUP, P0, 4)
    scene.run(80)
    assert scene.minute(P0) == 2
    assert scene.observation().skipped_records == 3


@pytest.mark.parametrize(
    "problem", ["group billing is a share group", "authorization failed: Describe on group billing"]
)
def test_a_group_whose_offsets_are_not_known(problem: str) -> None:
    scene = Scene()
    scene.work(P0, -4)
    scene.kafka.refused[GROUP] = problem
    scene.run(80)
    assert scene.minute(P0) is None
    assert scene.observation().problem == problem
    assert scene.waits(P0) == "no_answer"
    del scene.kafka.refused[GROUP]
    scene.run(10)
    assert scene.minute(P0) == 1
    assert scene.observation().problem == ""


def test_a_broker_is_away() -> None:
    """Partitions of other brokers go on."""
    scene = Scene()
    scene.work(P0, -4)
    scene.kafka.partition(P0).reachable = False
    scene.run(80)
    assert (scene.minute(P0), scene.minute(P1)) == (None, 1)
    assert (scene.waits(P0), scene.waits(P1)) == ("no_answer", "")
    scene.kafka.partition(P0).reachable = True
    scene.run(20)
    assert scene.minute(P0) == 1


def test_a_coordinator_is_away() -> None:
    """Clocks of other groups go on."""
    other = ClockSpec("other", (ORDERS,), "other", max_out_of_orderness_ms=0, source=Source.COMMITTED)
    scene = Scene(specs=(SPEC, other))
    scene.work(P0, -4)
    scene.kafka.commit("other", P0, 1)
    scene.kafka.unreachable_groups.add(GROUP)
    scene.run(80)
    assert (scene.minute(P0), scene.minute(P0, "other")) == (None, 1)


def test_a_topic_without_permission() -> None:
    scene = Scene()
    scene.work(P0, -4)
    scene.kafka.problems[ORDERS] = "authorization failed: the Kafka user lacks Describe on topic orders"
    scene.run(10)
    assert scene.observation().problem == "authorization failed: the Kafka user lacks Describe on topic orders"


def test_partitions_are_added() -> None:
    scene = Scene()
    scene.run(10)
    scene.kafka.add_partitions(ORDERS, 1)
    scene.run(10)
    new = Partition(ORDERS, 2)
    assert new not in scene.clocks()
    scene.lead(SPEC, generation=2)
    scene.run(60)
    assert scene.minute(new) == 1


def test_a_new_leader_of_a_partition_makes_drained_boundaries_later() -> None:
    scene = Scene()
    scene.work(P0, -4)
    scene.run(68)
    assert scene.minute(P0) == 0
    scene.kafka.partition(P0).epoch += 1
    scene.run(8)
    assert (scene.minute(P0), scene.minute(P1)) == (0, 1)
    assert scene.waits(P0) == "leader_unconfirmed"
    scene.run(10)
    assert scene.minute(P0) == 1


def test_a_restart_just_after_a_boundary_does_not_delay_it_by_an_interval() -> None:
    """A quiet partition of a clock of one day has its midnight seconds after a restart, not a day later."""
    day = ClockSpec(
        CLOCK, (ORDERS,), GROUP, interval_ms=1_440 * MINUTE, max_out_of_orderness_ms=0, source=Source.COMMITTED
    )
    scene = Scene(specs=(day,))
    scene.time.set("2026-11-22T23:59:50Z")
    scene.work(P0, -4)
    scene.run(15)
    assert scene.minute(P0) == -4
    scene.restart()
    scene.run(25)
    assert scene.minute(P0) == 720


def test_a_long_drain_delay_does_not_delay_a_clock_after_each_restart() -> None:
    scene = Scene(specs=(replace(SPEC, drain_delay_ms=3_600_000),))
    scene.work(P0, -90)
    scene.run(60)
    scene.restart()
    scene.run(75)
    assert scene.minute(P0) == -58


def test_a_high_watermark_that_is_behind_is_covered_by_the_drain_delay() -> None:
    scene = Scene()
    scene.work(P0, -4)
    scene.run(58)
    scene.kafka.append(P0, scene.at(0.99))
    scene.kafka.partition(P0).unreplicated = 1
    scene.run(8.8)
    scene.kafka.partition(P0).unreplicated = 0
    scene.run(60)
    assert scene.minute(P0) == 0
    assert scene.waits(P0) == "not_processed"


@pytest.mark.parametrize("store_is_ahead", [True, False])
def test_the_earlier_one_of_two_clocks_counts(store_is_ahead: bool) -> None:
    """The observer's and the store's: a clock that is 30 s ahead makes nothing early."""
    ahead, right = ManualTime("2026-11-22T12:00:30Z"), ManualTime()
    scene = Scene(time=right if store_is_ahead else ahead, store_time=ahead if store_is_ahead else right)
    scene.work(P0, -4)
    for _ in range(65):
        (ahead if scene.time is right else right).advance(1)
        scene.run(1)
    assert scene.clocks()[P0].raw_ms == ManualTime().now_ms()
