"""One clock whose state is taken away while it runs, and its judge: consumers' notes, the tick log, a following client.

Shares no code with the product. It takes nothing away itself: that is each test's own part.
"""

from typing import Any

import httpx2
from confluent_kafka import KafkaException, Message

from tests.system.path.doors import Follower
from tests.system.path.installation import wall_ms
from tests.system.path.member import Member
from tests.system.path.notes import (
    TickWithOffset,
    broken_links,
    early_ticks,
)
from tests.system.path.scene import (
    PATIENCE_S,
    Scene,
)
from tests.waiting import eventually

PARTITIONS = (0, 1)


class SturdyMember(Member):
    """One that outlives its broker: what it could not commit is committed and reported with what comes next."""

    def _handle(self, messages: list[Message]) -> None:
        try:
            super()._handle(messages)
        except KafkaException:
            return


class WatchedScene(Scene):
    """A scene that remembers each global clock that it was shown."""

    def __init__(self, run: str, clock: str) -> None:
        super().__init__(run, clock, len(PARTITIONS))
        self.shown: list[int] = []

    def state(self) -> dict[str, Any]:
        """`GET /v1/clocks/{clock}`."""
        state = super().state()
        if state["timestamp_seconds"] is not None:
            self.shown.append(state["timestamp_seconds"])
        return state

    def sturdy_member(self) -> Member:
        """A consumer that reports to the store."""
        member = SturdyMember(self.bootstrap, self.topic, self.group, self.redis_url, self.clock, "earliest")
        self._guests.callback(member.close)
        return member


class Loss:
    """A clock with one consumer and one producer, until the scene ends; `begin` lets a client follow it too."""

    def __init__(self, scene: WatchedScene) -> None:
        self.scene = scene
        self.member = scene.sturdy_member()
        self.writer = scene.writer(*PARTITIONS)
        self._kept: list[TickWithOffset] = []

    def begin(self) -> None:
        """The clock runs, and a client follows it."""
        self.scene.until_running()
        self.follower: Follower = self.scene.follow()

    # -- what happens to it ---------------------------------------------------------------------------------------

    def fall_silent(self) -> None:
        """No more records come."""
        self.writer.partitions = frozenset()

    def be_loud(self) -> None:
        """Records come again."""
        self.writer.partitions = frozenset(PARTITIONS)

    def until_processed(self, at_ms: int) -> None:
        """The consumer is past a time in every partition: it never waits for the clock."""
        eventually(
            lambda: min(self.member.reached_ms(number) for number in PARTITIONS) > at_ms,
            within=PATIENCE_S,
            what=f"the consumer to be past {at_ms}",
        )

    def ticks_again(self) -> int:
        """The clock reaches the present, for whoever asks and for who follows; the time that it reached at least."""
        ahead_s = wall_ms() // 1000 + 1
        self.scene.until_reached(ahead_s)
        eventually(
            lambda: self.follower.ticks()[-1] >= ahead_s,
            within=PATIENCE_S,
            what=f"the client to see {ahead_s}, not {self.follower.ticks()[-3:]} {self.follower.trouble[-3:]}",
        )
        return ahead_s

    # -- what the judge sees --------------------------------------------------------------------------------------

    def keep_log(self) -> None:
        """Remember what the tick log holds, before it loses that."""
        self._kept = self.log()

    def log(self) -> list[TickWithOffset]:
        """The tick log, behind what was remembered of it."""
        last_ms = self._kept[-1].at_ms if self._kept else 0
        return self._kept + [tick for tick in self.scene.log() if tick.at_ms > last_ms]

    def goes_on(self) -> None:
        """The clock ticks again; nothing was lost, twice, early or back: in the log, in the store, for the client."""
        self.ticks_again()
        seen, listed = self.follower.ticks(), self._listed()
        ticks, notes = self.log(), list(self.member.notes)
        logged = {tick.at_ms // 1000 for tick in ticks}
        assert broken_links(ticks, 1_000) == []
        assert early_ticks(ticks, notes, len(PARTITIONS), 0) == []
        assert seen == list(range(seen[0], seen[-1] + 1))
        assert listed == list(range(listed[0], listed[-1] + 1))
        assert set(seen) <= set(listed) <= logged
        assert self.scene.shown == sorted(self.scene.shown)

    def _listed(self) -> list[int]:
        """The recent ticks that the service lists."""
        url = f"{self.scene.installation.url}/v1/clocks/{self.scene.clock}/ticks"
        answer = httpx2.get(url, params={"limit": 1_000}, timeout=10)
        assert answer.status_code == 200, answer.text
        return [tick["timestamp_seconds"] for tick in answer.json()["ticks"]]
