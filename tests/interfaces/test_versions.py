"""A rolling update: what version 1 wrote, sent and runs inside consumers, against the code of today.

`recorded/` holds it as data: nothing here asks the product how version 1 did things.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ResponseError

from clocksvc.clock.holds import Reason
from clocksvc.clock.log_record import Message, decode_record
from clocksvc.clock.partition import Outcome, Partition, PartitionTimestamp
from clocksvc.clock.roster import TopicMetadata
from clocksvc.clock.tick import Tick
from clocksvc.clock.time_format import to_rfc3339
from clocksvc.errors import StoreMismatch
from clocksvc.interfaces.report_encoding import answer_from_wire
from clocksvc.interfaces.store import (
    ClockParameters,
    Report,
    StoreIdentity,
)
from tests.faulty.clock import FaultyClock
from tests.interfaces.store_keepers import RedisKeeper
from tests.interfaces.store_values import (
    BASE,
    CLOCK,
    GROUP,
    LEASE_MS,
    MINUTE,
    ORDERS_0,
    ORDERS_1,
    PAYMENTS_0,
    SINGLE,
    TOKEN,
    lead,
    line,
    raw,
    tick,
)
from tests.unit.leader.clocks import (
    clock_with_ticks,
    hold_of,
    minutes,
    pass_time,
    times,
)

RECORDED = Path(__file__).parent / "recorded"
CALL: dict[str, Any] = json.loads((RECORDED / "report_call_v1.json").read_text())
SCRIPT = (RECORDED / "report_v1.lua").read_text()
YEAR_3000_MS = 32_503_680_000_000


class Version1:
    """A consumer that carries version 1's script: sends it as version 1 does, and reads its answer the same way."""

    def __init__(self, keeper: RedisKeeper) -> None:
        self._redis: Any = keeper.raw
        self._keys = [f"{keeper.prefix}:{{{CLOCK}}}:{name}" for name in CALL["keys"]]

    def call(self, argv: Sequence[str]) -> list[str]:
        """Run the script; its whole answer."""
        answer: list[str] = self._redis.eval(SCRIPT, len(self._keys), *self._keys, *argv)
        return [str(item) for item in answer]

    def report(self, *readings: tuple[str, int], group: str = GROUP, format_: int = 1) -> list[str]:
        """The outcomes of readings: member and raw timestamp."""
        argv = [str(format_), group, "0", str(len(readings))]
        for member, timestamp_ms in readings:
            argv += (member, str(timestamp_ms))
        return self.call(argv)[0].split()


def write(clock: FaultyClock, body: dict[str, Any]) -> None:
    """A service of another version writes a clock's last record."""
    clock.log.write_foreign(Message(clock.spec.name.encode(), json.dumps(body).encode(), "tick"))


def test_the_recorded_script_is_what_was_recorded() -> None:
    """Nobody mended it since."""
    assert hashlib.sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest() == CALL["sha1"]


@pytest.mark.servers
def test_version_1_reports_to_this_service(on_redis: RedisKeeper) -> None:
    """Its call as recorded: the readings count, the refusal and the late records too, and it learns the bounds."""
    store = on_redis.store
    lead(store)

    answer = Version1(on_redis).call(CALL["argv"])

    assert answer == ["accepted accepted", GROUP, '["orders", "payments"]', "60000", "10000", "60000", ""]
    assert [raw(store, ORDERS_0), raw(store, ORDERS_1), raw(store, PAYMENTS_0)] == [1795348860250, 1795348860250, None]
    assert line(store, PAYMENTS_0).rejected is Outcome.NO_TIMESTAMP
    assert store.counters().reports == {"accepted": 2, "no_timestamp": 1}
    assert store.counters().late_records == 2


@pytest.mark.servers
def test_version_1s_numbers_are_judged_as_ever(on_redis: RedisKeeper) -> None:
    """Accepted, unchanged, unknown, too far ahead and another group: each outcome, and what it leaves in the store."""
    store, consumer = on_redis.store, Version1(on_redis)
    assert consumer.report(("orders:0", BASE)) == []
    lead(store)
    assert consumer.report(("orders:0", BASE), ("orders:9", BASE)) == ["accepted", "unknown"]
    assert consumer.report(("orders:0", BASE - 1), ("orders:1", YEAR_3000_MS)) == ["unchanged", "too_far_ahead"]
    assert consumer.report(("payments:0", BASE), group="canary") == ["foreign_group"]

    assert (raw(store, ORDERS_0), raw(store, ORDERS_1)) == (BASE, None)
    assert line(store, ORDERS_1).rejected is Outcome.TOO_FAR_AHEAD
    assert line(store, PAYMENTS_0).rejected is Outcome.FOREIGN_GROUP
    assert store.read_progress(TOKEN, LEASE_MS).unknown_seen_ms > 0
    wanted = {"accepted": 1, "unknown": 1, "unchanged": 1, "too_far_ahead": 1, "foreign_group": 1}
    assert store.counters().reports == wanted


@pytest.mark.servers
def test_version_1_wakes_this_leader(on_redis: RedisKeeper) -> None:
    """Once, when the minimum crosses a boundary after the last tick; and it sees that tick in its next answer."""
    store, consumer = on_redis.store, Version1(on_redis)
    lead(store, SINGLE, bounds=ClockParameters(GROUP, ("orders",), MINUTE, 0, MINUTE))
    store.publish(TOKEN, [tick(0, None)])
    consumer.report(("orders:0", BASE + MINUTE - 1))
    assert not store.wait_for_notification(0)

    consumer.report(("orders:0", BASE + MINUTE))

    assert store.wait_for_notification(0)
    assert store.read_progress(TOKEN, LEASE_MS).boundary_crossed_at_ms is not None
    assert consumer.call(["1", GROUP, "0", "0"])[-1] == str(BASE)


@pytest.mark.servers
@pytest.mark.parametrize(("service", "consumer"), [(1, 0), (1, 2), (2, 1), (0, 1)])
def test_neighbouring_versions_work_together(on_redis: RedisKeeper, service: int, consumer: int) -> None:
    """A consumer of one version, a service of the one before or after it."""
    lead(on_redis.store, SINGLE, identity=StoreIdentity("cluster-1", service))

    assert Version1(on_redis).report(("orders:0", BASE), format_=consumer) == ["accepted"]
    assert raw(on_redis.store, ORDERS_0) == BASE


@pytest.mark.servers
@pytest.mark.parametrize(("service", "consumer"), [(1, 3), (3, 1), (1, -1)])
def test_distant_versions_are_refused_by_name(on_redis: RedisKeeper, service: int, consumer: int) -> None:
    """Two versions apart: the error names both, and nothing is written."""
    lead(on_redis.store, SINGLE, identity=StoreIdentity("cluster-1", service))

    with pytest.raises(ResponseError, match=f"STOREMISMATCH.*format {service}.*format {consumer}"):
        Version1(on_redis).report(("orders:0", BASE), format_=consumer)

    assert raw(on_redis.store, ORDERS_0) is None


@pytest.mark.servers
def test_this_reporter_writes_the_next_versions_store(on_redis: RedisKeeper) -> None:
    """The service was updated first: a consumer of today reports to format 2, and is refused by format 3."""
    lead(on_redis.store, SINGLE, identity=StoreIdentity("cluster-1", 2))
    report = Report(GROUP, (PartitionTimestamp(ORDERS_0, BASE),))
    assert on_redis.store.report(report).outcomes == (Outcome.ACCEPTED,)
    on_redis.wipe()
    lead(on_redis.store, SINGLE, identity=StoreIdentity("cluster-1", 3))

    with pytest.raises(StoreMismatch, match=r"format 3.*format 1"):
        on_redis.store.report(report)


def test_version_1s_records_are_read() -> None:
    """What stands in a tick log for years: the tick, the exclusion, the pause, the topics."""
    ticked = decode_record("tick", (RECORDED / "tick_record_v1.json").read_bytes())
    control = decode_record("control", (RECORDED / "control_record_v1.json").read_bytes())

    assert ticked.state == control.state
    assert control.tick is None
    assert ticked.tick == Tick.from_wire(json.loads((RECORDED / "tick_v1.json").read_text()))
    assert ticked.tick is not None
    assert to_rfc3339(ticked.tick.at_ms) == "2026-11-22T12:01:00Z"
    assert ticked.tick.excluded == (Partition("orders", 3),)
    state = ticked.state
    assert state.last_tick_ms == ticked.tick.at_ms
    assert [(one.partition, one.by, one.reason) for one in state.exclusions] == [
        (Partition("orders", 3), "ada", "a disk died")
    ]
    assert state.pause is not None
    assert (state.pause.by, state.pause.reason) == ("bob", "planned work")
    assert state.topics == {"orders": TopicMetadata("u4tCl0pKRZ6a", 4)}


def test_version_1s_words_over_http_are_understood() -> None:
    """A consumer of another language, and a service of version 1, said this; a field more is passed over."""
    wire = json.loads((RECORDED / "report_answer_v1.json").read_text())

    answer = answer_from_wire(wire | {"colour": "green", "bounds": wire["bounds"] | {"mood": "calm"}})

    assert answer.outcomes == (Outcome.ACCEPTED, Outcome.UNKNOWN)
    assert answer.parameters == ClockParameters("checkins-consumer", ("orders", "payments"), 60_000, 10_000, 60_000)
    assert answer.last_tick_ms == 1795348860000
    assert (
        Tick.from_wire(json.loads((RECORDED / "tick_v1.json").read_text()) | {"colour": "green"}).interval_ms == MINUTE
    )


def test_a_newer_services_last_record_holds_this_leader() -> None:
    """Back to an older version after a newer one wrote the log: a hold that names both formats, and no tick; a field
    that this version does not know holds nothing."""
    clock = clock_with_ticks()
    last = json.loads(clock.log.committed()[-1].value or b"")
    clock.leader.leave()
    write(clock, last | {"colour": "green", "state": last["state"] | {"mood": "calm"}})
    clock.settle()
    clock.report(0, "2026-11-22T12:04:00Z")
    assert times(clock) == minutes(1, 2, 3, 4)

    clock.leader.leave()
    newer = json.loads(clock.log.committed()[-1].value or b"") | {"format": 2}
    write(clock, newer)
    pass_time(clock, 1, clock.leader)
    clock.report(0, "2026-11-22T12:05:00Z")

    assert times(clock) == minutes(1, 2, 3, 4)
    assert hold_of(clock)[0] is Reason.TICKLOG_UNAVAILABLE
    hold = json.loads(clock.store.snapshot().leader_status or "")["hold"]
    assert "format 2" in hold["detail"]
    assert "up to format 1: run a newer version" in hold["detail"]
