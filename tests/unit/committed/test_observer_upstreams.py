"""The observer of a clock after other clocks: everything that they have emitted, and what they excluded."""

from dataclasses import replace

from clocksvc.clock.partition import Partition
from clocksvc.clock.spec import ClockSpec, Source, UpstreamSpec
from clocksvc.clock.tick import Tick
from clocksvc.committed.upstream_ticks import UpstreamTicks
from clocksvc.interfaces.observations import UpstreamObservation
from clocksvc.interfaces.upstreams import UpstreamKey, UpstreamReading
from clocksvc.memory.committed_offsets import MemoryTransaction
from tests.unit.committed.observed import CLOCK, GROUP, MINUTE, ORDERS, P0, P1, Scene

AFTER = ClockSpec(CLOCK, (ORDERS,), GROUP, source=Source.COMMITTED, after=(UpstreamSpec("raw"),))
RAW, OTHER = UpstreamKey("raw"), UpstreamKey("other", "https://other")
BOTH = replace(AFTER, after=(UpstreamSpec("raw"), UpstreamSpec("other", "https://other")))
X, Y = Partition("raw", 1), Partition("raw", 2)


def upstream_tick(scene: Scene, minute: int, *excluded: Partition, key: UpstreamKey = RAW) -> None:
    """An upstream clock emits a tick."""
    ticks = scene.upstreams.ticks.setdefault(key, [])
    previous_ms = ticks[-1].at_ms if ticks else None
    ticks.append(Tick(key.clock, scene.at(minute), previous_ms, MINUTE, scene.time.now_ms(), excluded))


def settled(spec: ClockSpec = AFTER) -> Scene:
    """A scene whose observer knows all leaders."""
    scene = Scene(specs=(spec,))
    scene.run(30)
    return scene


def test_nothing_passes_without_a_tick() -> None:
    scene = settled()
    scene.work(P0, -4)
    scene.run(120)
    assert (scene.minute(P0), scene.minute(P1)) == (None, None)
    assert scene.observation().upstream_ms is None
    assert scene.observation().upstreams == (UpstreamObservation("raw", "", None, "running"),)


def test_a_partition_passes_when_its_end_after_the_tick_is_reached() -> None:
    """Records that came after the tick count, too. Their timestamps don't matter."""
    scene = settled()
    scene.work(P0, -400)
    scene.kafka.append(P0, 0)
    upstream_tick(scene, 0)
    scene.run(10)
    assert (scene.minute(P0), scene.minute(P1)) == (None, 0)
    scene.kafka.append(P0, -1)
    scene.kafka.commit(GROUP, P0, 2)
    scene.run(6)
    assert scene.minute(P0) == 0
    assert scene.observation().upstream_ms == scene.at(0)


def test_a_record_proves_nothing_there() -> None:
    scene = settled()
    upstream_tick(scene, -5)
    scene.work(P0, 0.5)
    scene.kafka.append(P0, scene.at(0.5))
    scene.run(20)
    assert scene.minute(P0) is None
    assert scene.observer.stats.record_reads < 5, "only whether a record follows the committed offset"


def test_the_end_is_read_after_the_tick() -> None:
    """In one poll: a record that is appended between the tick and the question about the end is waited for."""
    scene = settled()
    scene.work(P0, -4)
    read = scene.upstreams.read
    appended: list[int] = []

    def read_then_append(after_ms: dict[UpstreamKey, int | None]) -> object:
        found = read(after_ms)
        if scene.upstreams.ticks and not appended:
            appended.append(scene.kafka.append(P0, scene.at(0)))
        return found

    scene.upstreams.read = read_then_append  # type: ignore[method-assign, assignment]
    upstream_tick(scene, 0)
    scene.run(30)
    assert scene.minute(P0) is None
    scene.kafka.commit(GROUP, P0, 2)
    scene.run(6)
    assert scene.minute(P0) == 0


def test_an_open_transaction_is_part_of_the_end() -> None:
    """The stage before has written and committed; the marker in this partition is still on its way."""
    scene = settled()
    scene.work(P0, -4)
    transaction = MemoryTransaction()
    scene.kafka.append(P0, scene.at(-1), transaction=transaction)
    upstream_tick(scene, 0)
    scene.run(30)
    assert scene.minute(P0) is None
    assert scene.waits(P0) == "open_transaction"
    scene.kafka.finish(transaction, scene.at(0.5))
    scene.run(6)
    assert scene.minute(P0) is None
    assert scene.waits(P0) == "not_processed"
    scene.kafka.commit(GROUP, P0, 2)
    scene.run(6)
    assert scene.minute(P0) == 0


def test_all_upstream_clocks_count() -> None:
    scene = settled(BOTH)
    scene.work(P0, -4)
    upstream_tick(scene, 0)
    scene.run(10)
    assert scene.minute(P0) is None
    upstream_tick(scene, -2, key=OTHER)
    scene.run(10)
    assert scene.minute(P0) == -2
    assert [state.clock for state in scene.observation().upstreams] == ["raw", "other"]


def test_an_upstream_clock_that_cannot_be_read() -> None:
    scene = settled(BOTH)
    upstream_tick(scene, 0)
    upstream_tick(scene, 0, key=OTHER)
    scene.run(6)
    scene.upstreams.states[OTHER] = UpstreamObservation("other", "https://other", None, problem="no answer")
    upstream_tick(scene, 1)
    upstream_tick(scene, 1, key=OTHER)
    scene.run(10)
    assert scene.minute(P0) == 0
    assert scene.observation().upstreams[1].problem == "no answer"
    assert scene.observation().upstreams[1].last_tick_ms == scene.at(0), "a hold must not blame it for earlier times"
    del scene.upstreams.states[OTHER]
    scene.run(6)
    assert scene.minute(P0) == 1


def test_a_longer_interval_than_upstream() -> None:
    scene = settled(replace(AFTER, interval_ms=5 * MINUTE, max_past_ms=3_600_000))
    for minute in range(-7, -1):
        upstream_tick(scene, minute)
    scene.run(6)
    assert scene.minute(P0) == -5


def test_out_of_orderness_is_no_part_of_it() -> None:
    """If it were, and became shorter, a later boundary would pass whose end was never read."""
    scene = Scene(specs=(AFTER,), out_of_orderness_ms=10_000)
    scene.run(30)
    upstream_tick(scene, 0)
    scene.run(10)
    assert scene.minute(P0) == 0


def test_a_stage_that_is_behind_passes_minute_by_minute() -> None:
    scene = settled()
    scene.work(P0, -60)
    for minute in range(-30, 0):
        scene.kafka.append(P0, 0)
        upstream_tick(scene, minute)
        scene.run(5)
    scene.kafka.commit(GROUP, P0, 1)
    passed = []
    for offset in range(1, 32):
        scene.kafka.commit(GROUP, P0, offset)
        scene.run(6)
        passed.append(scene.minute(P0))
    assert passed[-1] == -1
    assert len(set(passed)) > 6
    assert all(minute is None or minute <= offset - 31 for offset, minute in enumerate(passed, 1))


# -- exclusions -----------------------------------------------------------------------------------------------------


def test_exclusions_of_all_ticks_since_the_last_own_tick() -> None:
    scene = settled()
    upstream_tick(scene, -3, X)
    upstream_tick(scene, -2, Y)
    upstream_tick(scene, -1)
    scene.run(6)
    assert scene.observation().excluded == (), "the first tick that is read is the newest one, which excludes nothing"
    scene.tick(-1)
    upstream_tick(scene, 0, X)
    scene.run(6)
    upstream_tick(scene, 1, Y)
    upstream_tick(scene, 2)
    scene.run(12)
    assert scene.observation().excluded == (X, Y)
    scene.tick(0)
    scene.run(16)
    assert scene.observation().excluded == (Y,)
    scene.tick(1)
    scene.run(16)
    assert scene.observation().excluded == ()


def test_a_long_exclusion_needs_no_more_memory_than_a_short_one() -> None:
    """A clock that waits for days keeps what its upstream clock has excluded each second."""
    ticks = UpstreamTicks(AFTER)
    for minute in range(1, 50):
        tick = Tick("raw", minute * MINUTE, (minute - 1) * MINUTE, MINUTE, 0, (X,))
        ticks.note({RAW: UpstreamReading((tick,), UpstreamObservation("raw", "", tick.at_ms))}, 0)
    assert len(ticks._excluded) == 1
    assert ticks.excluded == (X,)
    for last, excluded in ((48, (X,)), (49, ())):
        ticks.note({}, last * MINUTE)
        assert ticks.excluded == excluded


def test_exclusions_are_read_again_after_a_restart() -> None:
    scene = settled()
    upstream_tick(scene, -1)
    scene.run(6)
    scene.tick(-1)
    upstream_tick(scene, 0, X)
    upstream_tick(scene, 1)
    scene.run(12)
    scene.flush()
    scene.lead_all()
    first = Tick(CLOCK, scene.at(-1), None, MINUTE, scene.time.now_ms())
    scene.store.publish("token", [first])
    scene.restart()
    scene.run(12)
    assert scene.upstreams.reads[-2:] == [{RAW: scene.at(1)}] * 2
    assert scene.observation().excluded == (X,)


def test_exclusions_of_ticks_that_are_no_longer_kept() -> None:
    """The progress that depends on them was reported after an observation that has them."""
    scene = settled()
    upstream_tick(scene, -1)
    scene.run(6)
    scene.tick(-1)
    upstream_tick(scene, 0, X)
    scene.run(12)
    upstream_tick(scene, 1)
    upstream_tick(scene, 2, Y)
    del scene.upstreams.ticks[RAW][:2]
    scene.restart()
    scene.run(12)
    assert scene.observation().excluded == (X, Y)
    scene.tick(0)
    scene.run(16)
    assert scene.observation().excluded == (Y,)


def test_a_long_way_behind_is_read_in_pages() -> None:
    """Nothing counts that was not read."""
    scene = settled()
    scene.tick(-100)
    scene.run(12)
    scene.upstreams.limit = 10
    for minute in range(-110, 0):
        upstream_tick(scene, minute, *([X] if minute == -60 else []))
    scene.run(6)
    assert scene.observation().upstream_ms in (scene.at(-90), scene.at(-80))
    scene.run(60)
    assert scene.observation().upstream_ms == scene.at(-1)
    assert scene.observation().excluded == (X,)


def test_a_clock_that_begins_again_reads_again() -> None:
    """`clocksvc init` with an earlier time, after a wrong beginning."""
    scene = settled()
    upstream_tick(scene, -2, X)
    upstream_tick(scene, -1)
    scene.tick(-1)
    scene.run(16)
    assert scene.observation().excluded == ()
    scene.flush()
    scene.lead_all()
    scene.store.publish("token", [Tick(CLOCK, scene.at(-3), None, MINUTE, scene.time.now_ms())])
    scene.run(30)
    assert scene.observation().excluded == (X,)


def test_several_clocks_after_one() -> None:
    """They share its reads, although they are at different ticks."""
    second, third = replace(AFTER, name="second"), replace(AFTER, name="third")
    scene = Scene(specs=(AFTER, second, third))
    for minute in range(-10, 0):
        upstream_tick(scene, minute, *([X] if minute == -5 else []))
    scene.tick(-7)
    scene.tick(-2, "second")
    scene.run(30)
    assert scene.observation().excluded == (X,)
    assert scene.observation("second").excluded == ()
    assert scene.observation("third").excluded == (), "it begins with the newest tick"
    assert (scene.minute(P0), scene.minute(P0, "second")) == (-1, -1)


def test_a_new_clock_beside_another_one() -> None:
    """Polled together. The other one has the newest tick already, the new one needs what this tick excluded."""
    second = replace(AFTER, name="second")
    scene = Scene(specs=(AFTER, second))
    upstream_tick(scene, -2)
    upstream_tick(scene, -1, X)
    scene.tick(-1)
    scene.run(30)
    assert scene.observation().excluded == ()
    assert scene.observation("second").excluded == (X,)
    assert (scene.minute(P0), scene.minute(P0, "second")) == (-1, -1)
