"""A clock that loses state while it runs, and the check that it recovers: consumers' notes, tick log, a follower.

Shares no code with the service. What is lost, and how, is up to each test.
"""

from tests import http_client
from tests.system.clock_fixture import WITHIN_S, ClockFixture
from tests.system.evidence import TickWithOffset, broken_links, early_ticks
from tests.system.installation import wall_ms
from tests.system.stream_follower import StreamFollower
from tests.waiting import eventually

PARTITIONS = (0, 1)


class Recovery:
    """A clock of two partitions with one consumer and one producer; from `begin` on, a client follows it too."""

    def __init__(self, clock: ClockFixture) -> None:
        self.clock = clock
        self.consumer = clock.consumer()
        self._producer = clock.producer(*PARTITIONS)
        self._kept: list[TickWithOffset] = []

    def begin(self) -> None:
        """Wait until the clock runs, and follow it."""
        self.clock.until_running()
        self.follower: StreamFollower = self.clock.follow()

    def stop_producing(self) -> None:
        """Write no more records."""
        self._producer.partitions = frozenset()

    def produce(self) -> None:
        """Write records again."""
        self._producer.partitions = frozenset(PARTITIONS)

    def until_processed(self, at_ms: int) -> None:
        """Wait until the consumer is past a time in every partition: it never waits for the clock."""
        eventually(
            lambda: min(self.consumer.reached_ms(number) for number in PARTITIONS) > at_ms,
            within=WITHIN_S,
            what=f"the consumer to be past {at_ms}",
        )

    def until_ticking(self) -> None:
        """Wait until the clock and the follower reach the present."""
        ahead_s = wall_ms() // 1000 + 1
        self.clock.until_reached(ahead_s)
        eventually(
            lambda: self.follower.ticks()[-1] >= ahead_s,
            within=WITHIN_S,
            what=f"the follower to see {ahead_s}, not {self.follower.ticks()[-3:]} {self.follower.errors[-3:]}",
        )

    def keep_log(self) -> None:
        """Remember the tick log, before it loses records."""
        self._kept = self.log()

    def log(self) -> list[TickWithOffset]:
        """The ticks that were remembered, and those in the log after them."""
        last_ms = self._kept[-1].at_ms if self._kept else 0
        return self._kept + [tick for tick in self.clock.log() if tick.at_ms > last_ms]

    def check(self) -> None:
        """The clock ticks again, and nothing was lost, twice, early or back: in the log, in the store, for a client."""
        self.until_ticking()
        seen, listed = self.follower.ticks(), self._listed()
        ticks, notes = self.log(), list(self.consumer.notes)
        logged = {tick.at_ms // 1000 for tick in ticks}
        assert broken_links(ticks, 1_000) == []
        assert early_ticks(ticks, notes, len(PARTITIONS), 0) == []
        assert seen == list(range(seen[0], seen[-1] + 1))
        assert listed == list(range(listed[0], listed[-1] + 1))
        assert set(seen) <= set(listed) <= logged
        assert self.clock.went_back() == []

    def _listed(self) -> list[int]:
        """The recent ticks that the service lists."""
        url = f"{self.clock.installation.url}/v1/clocks/{self.clock.name}/ticks"
        answer = http_client.get(url, params={"limit": 1_000}, timeout=10)
        assert answer.status_code == 200, answer.text
        return [tick["timestamp_seconds"] for tick in answer.json()["ticks"]]
