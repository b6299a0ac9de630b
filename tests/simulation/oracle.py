"""The judge: reads the tick log's bytes and the world's truth, and shares no code with the leader.

Every complaint says in words what went wrong.
"""

import itertools
import json
from typing import Any

from clocksvc.clock.partition import Partition
from tests.simulation.world import INTERVAL_MS, OUT_OF_ORDERNESS_MS, World


class Violation(AssertionError):
    """A promise was broken."""


class Oracle:
    """Watches one world; `check` is called after every step of the simulation.

    `writer` is the process that fenced last: whatever is committed from then on is its work.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self.writer: str | None = None
        self._seen = 0
        self._end = -1
        self._shown: dict[str, int] = {}
        self.ticks: list[int] = []
        self.partitions_ticked = 0

    def check(self) -> None:
        """Judge what the log and the stream show now."""
        self.check_log()
        self._check_stream()

    def record_processed(self, partition: Partition, timestamp_ms: int) -> None:
        """A record was handled for the first time: no tick above its timestamp may have been given."""
        if partition not in self._world.lied and self.ticks and timestamp_ms < self.ticks[-1]:
            raise Violation(
                f"early: a record of {partition} with timestamp {timestamp_ms} was processed for the first time after "
                f"tick {self.ticks[-1]}"
            )

    def feed_shows(self, feed: str, last_ms: int | None) -> None:
        """A replica shows its clock."""
        if last_ms is None:
            if feed in self._shown:
                raise Violation(f"back: {feed} showed {self._shown[feed]} and now nothing")
            return
        if last_ms < self._shown.get(feed, 0):
            raise Violation(f"back: {feed} showed {self._shown[feed]} and now {last_ms}")
        self.check_log()
        if last_ms not in self.ticks:
            raise Violation(f"early: {feed} shows {last_ms}, which is not committed")
        self._shown[feed] = last_ms

    def check_log(self) -> None:
        """Judge what was committed since the last look."""
        log = self._world.log
        if log.last_stable_offset == self._end:
            return
        committed = log.committed()
        for message in committed[self._seen :]:
            self._judge(json.loads(message.value or b""))
        self._seen, self._end = len(committed), log.last_stable_offset

    def _judge(self, wire: dict[str, Any]) -> None:
        at_ms = wire["timestamp_seconds"] * 1000
        last = self.ticks[-1] if self.ticks else None
        previous = wire["previous"]
        if (previous is None) != (last is None):
            raise Violation(f"chain: tick {at_ms} names {previous} after {last}")
        if last is not None and at_ms != last + INTERVAL_MS:
            raise Violation(f"{'lost' if at_ms > last else 'twice or back'}: tick {at_ms} stands after {last}")
        self._judge_early(at_ms)
        self.ticks.append(at_ms)
        self.partitions_ticked = sum(topic["partitions"] for topic in wire["state"]["topics"].values())

    def _judge_early(self, at_ms: int) -> None:
        if at_ms > self._world.hub.now_ms + self._world.store_skew_ms:
            raise Violation(f"early: tick {at_ms} before the store's clock has passed it")
        if self.writer not in self._world.described:
            raise Violation(f"early: tick {at_ms} by {self.writer}, which has not read the metadata")
        for partition in self._world.described[self.writer]:
            reached = self._world.processed.get(partition)
            if reached is None or reached < at_ms + OUT_OF_ORDERNESS_MS:
                raise Violation(f"early: tick {at_ms} while {partition} was processed up to {reached}")

    def _check_stream(self) -> None:
        known = set(self.ticks)
        state = [tick.at_ms for tick in self._world.store._state.ticks]
        for tick in state[-3:]:
            if tick not in known:
                raise Violation(f"early: the store's stream shows {tick}, which is not committed")
        if any(later <= earlier for earlier, later in itertools.pairwise(state)):
            raise Violation(f"the store's stream is out of order: {state}")
