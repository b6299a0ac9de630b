"""The observer and topics that were deleted and created again: old offsets count for nothing."""

import pytest

from clocksvc.committed.commits import DOUBTED_FOR_S
from tests.unit.committed.observed import GROUP, ORDERS, P0, SPEC, Scene


def recreate(scene: Scene, records: int = 10, committed: int = 7) -> None:
    """The topic is created again, and gets records. A member that still runs commits an offset of the former one."""
    scene.kafka.create(ORDERS, scene.partitions)
    scene.kafka.append(P0, *(scene.at(-1) for _ in range(records)))
    scene.kafka.commit(GROUP, P0, committed)


def test_a_commit_of_the_former_topic_proves_nothing() -> None:
    scene = Scene()
    scene.work(P0, -5, -4)
    scene.run(10)
    recreate(scene)
    scene.lead(SPEC, generation=2)
    for committed in (7, 8, 9, 10):
        scene.kafka.commit(GROUP, P0, committed)
        scene.run(10)
        assert scene.minute(P0) is None
        assert scene.waits(P0) == "recreated"
        assert P0 in scene.observation().doubted


def test_a_member_that_starts_again_counts() -> None:
    scene = Scene()
    scene.work(P0, -5, -4)
    scene.run(10)
    recreate(scene)
    scene.lead(SPEC, generation=2)
    scene.run(10)
    scene.kafka.commit(GROUP, P0, 3)
    scene.run(60)
    assert scene.waits(P0) == "not_processed"
    scene.kafka.commit(GROUP, P0, 10)
    scene.run(10)
    assert scene.minute(P0) == 1
    assert P0 not in scene.observation().doubted


@pytest.mark.parametrize("observed_before", [True, False])
def test_a_topic_that_was_recreated_while_no_observer_ran(observed_before: bool) -> None:
    """The ids of the last observation tell; without one, those of the roster."""
    scene = Scene()
    scene.work(P0, -5, -4)
    if observed_before:
        scene.run(10)
        scene.lead(SPEC, generation=2)
    recreate(scene)
    scene.restart()
    scene.run(10)
    assert scene.waits(P0) == "recreated"
    scene.restart()
    scene.lead(SPEC, generation=3)
    scene.kafka.commit(GROUP, P0, 8)
    scene.run(80)
    assert scene.minute(P0) is None
    assert P0 in scene.observation().doubted, "the doubt is kept over restarts"


def test_the_observation_tells_although_the_roster_has_the_new_id() -> None:
    scene = Scene()
    scene.work(P0, -5, -4)
    scene.run(10)
    recreate(scene)
    scene.lead(SPEC, generation=2)
    scene.restart()
    scene.run(80)
    assert scene.minute(P0) is None
    assert scene.waits(P0) == "recreated"


def test_an_offset_in_doubt_counts_again_when_it_moves_later() -> None:
    scene = Scene()
    scene.work(P0, -5, -4)
    scene.run(10)
    recreate(scene, records=20, committed=11)
    scene.lead(SPEC, generation=2)
    scene.run(DOUBTED_FOR_S + 10)
    assert scene.minute(P0) is None
    scene.kafka.commit(GROUP, P0, 20)
    scene.run(10)
    assert scene.minute(P0) == 5


def test_progress_of_the_former_topic_is_not_reported_for_the_new_one() -> None:
    """The roster has the new id already, and the observer does not know of it: its report names the old id."""
    scene = Scene()
    scene.work(P0, -5, -4)
    scene.run(10)
    old = scene.kafka.topic_ids([ORDERS])[ORDERS][0]
    new = scene.kafka.create(ORDERS, scene.partitions)
    scene.lead(SPEC, generation=2)
    scene.kafka.create(ORDERS, scene.partitions, topic_id=old)  # a broker whose metadata are behind
    scene.work(P0, -5, -4, -3)
    scene.run(60)
    assert scene.minute(P0) is None
    scene.kafka.create(ORDERS, scene.partitions, topic_id=new)
    scene.kafka.commit(GROUP, P0, None)
    scene.run(60)
    assert scene.minute(P0) == 1, "the new topic has no records"


def test_leaders_of_a_recreated_topic_are_new_ones() -> None:
    """Its epochs begin again."""
    scene = Scene()
    scene.work(P0, -5, -4)
    scene.kafka.partition(P0).epoch = 9
    scene.run(10)
    scene.kafka.create(ORDERS, scene.partitions)
    scene.lead(SPEC, generation=2)
    scene.run(80)
    assert scene.minute(P0) == 1


def test_a_deleted_topic() -> None:
    scene = Scene()
    scene.work(P0, -5, -4)
    scene.run(10)
    scene.kafka.delete(ORDERS)
    scene.run(10)
    assert scene.waits(P0) == "no_answer"
    assert scene.observation().problem == "Kafka does not describe orders"


def test_a_topic_whose_id_is_not_known() -> None:
    """Its partitions answer, but may belong to another topic by now."""
    scene = Scene()
    scene.work(P0, -5, -4)
    scene.run(20)
    scene.kafka.topic_ids = lambda topics: {}  # type: ignore[method-assign]
    scene.run(60)
    assert scene.minute(P0) == 0
    assert scene.waits(P0) == "no_answer"
