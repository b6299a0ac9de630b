"""Under random histories of a partition and its group, no progress is reported that the group has not made."""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from clocksvc.clock.spec import ClockSpec, Source
from clocksvc.committed.rules import READ_AGAIN_S
from clocksvc.memory.committed_offsets import MemoryTransaction
from tests.unit.committed.observed import CLOCK, GROUP, ORDERS, P0, Scene

OUT_OF_ORDERNESS_MS = 2_000
DRAIN_DELAY_MS = 4_000
SPEC = ClockSpec(
    CLOCK,
    (ORDERS,),
    GROUP,
    interval_ms=5_000,
    max_out_of_orderness_ms=OUT_OF_ORDERNESS_MS,
    source=Source.COMMITTED,
    poll_ms=2_000,
    drain_delay_ms=DRAIN_DELAY_MS,
)

ACTIONS = (
    *(
        "append",
        "append",
        "append late",
        "process",
        "process",
        "process one",
        "commit",
        "commit",
        "wait",
        "wait",
        "wait",
    ),
    *("begin", "write", "end", "abort", "stall", "resume", "delete", "compact", "elect", "reset", "expire", "poison"),
    *("restart", "suspend broker", "long wait"),
)


@dataclass
class Record:
    """One record that counts, because its timestamp is right."""

    timestamp_ms: int
    transaction: MemoryTransaction | None
    done_s: float | None = None


@dataclass
class History:
    """A partition, its producers and its group; and what was reported when."""

    scene: Scene
    records: dict[int, Record] = field(default_factory=dict)
    transaction: MemoryTransaction | None = None
    position: int = 0
    committed: int | None = None
    stalled_at: int | None = None
    stalled_s: float = 0.0
    claims: list[tuple[float, int]] = field(default_factory=list)

    def do(self, action: str, number: int) -> None:
        """One action, then a second."""
        now_ms, kafka = self.scene.time.now_ms(), self.scene.kafka
        one = kafka.partition(P0)
        match action:
            case "append" | "append late" | "write":
                late_ms = number * OUT_OF_ORDERNESS_MS // 10 if action == "append late" else 0
                within = self.transaction if action == "write" else None
                self.records[one.end] = Record(now_ms - late_ms, within)
                kafka.append(P0, now_ms - late_ms, transaction=within)
            case "poison":
                kafka.append(P0, now_ms + 3_600_000 * (number + 1))
            case "begin" if self.transaction is None:
                self.transaction = MemoryTransaction()
            case "end" | "abort" if self.transaction is not None:
                kafka.finish(self.transaction, now_ms, commit=action == "end")
                self.transaction = None
            case "process" | "process one":
                self.process(1 if action == "process one" else number + 1)
            case "commit":
                # A client that commits by message has not seen the marker behind its last record.
                self.committed = self.position
                kafka.commit(GROUP, P0, self.position)
            case "reset" if self.committed is not None:
                self.position = max(one.low, self.position - number)
            case "expire":
                kafka.commit(GROUP, P0, None)
            case "stall":
                self.stalled_at = one.end if self.stalled_at is None else self.stalled_at
            case "resume":
                self.stalled_at = None
            case "delete":
                kafka.delete_before(P0, min(one.high, one.low + number))
                self.gone(lambda offset: offset < one.low)
            case "compact" if one.entries:
                offset = sorted(one.entries)[number % len(one.entries)]
                if offset < one.high - 1 and self.transaction is None:
                    kafka.compact(P0, offset)
                    self.gone(lambda at: at == offset)
            case "elect":
                one.epoch += 1
            case "restart":
                self.scene.restart()
            case "suspend broker":
                one.reachable = not one.reachable
            case _:
                pass
        for _ in range(15 if action == "long wait" else 1):
            self.second()

    def gone(self, is_gone: object) -> None:
        """Records that no longer exist need no processing."""
        for offset, record in self.records.items():
            if is_gone(offset) and record.done_s is None:  # type: ignore[operator]
                record.done_s = self.scene.time.monotonic()

    def process(self, most: int) -> None:
        """The group reads visible records in order, and processes them."""
        one = self.scene.kafka.partition(P0)
        stable = min([one.high, *(transaction.began[P0] for transaction in one.open)])
        for _ in range(most):
            following = [
                at for at, entry in sorted(one.entries.items()) if self.position <= at < stable and entry.visible
            ]
            if not following:
                return
            self.position = following[0] + 1
            if following[0] in self.records:
                record = self.records[following[0]]
                record.done_s = self.scene.time.monotonic() if record.done_s is None else record.done_s

    def second(self) -> None:
        """A second passes, then the observer polls."""
        one = self.scene.kafka.partition(P0)
        self.stalled_s = 0.0 if self.stalled_at is None else self.stalled_s + 1
        if self.stalled_s > DRAIN_DELAY_MS / 1000 - 1:
            self.stalled_at = None
        one.unreplicated = 0 if self.stalled_at is None else one.end - self.stalled_at
        self.scene.run(1)
        raw_ms = self.scene.clocks()[P0].raw_ms
        if raw_ms is not None:
            self.claims.append((self.scene.time.monotonic(), raw_ms - OUT_OF_ORDERNESS_MS))

    def early(self) -> list[tuple[float, int, int]]:
        """Claims of progress that the group had not made."""
        return [
            (claimed_s, passed_ms, offset)
            for claimed_s, passed_ms in self.claims
            for offset, record in self.records.items()
            if record.timestamp_ms < passed_ms
            and (record.transaction is None or record.transaction.committed)
            and (record.done_s is None or record.done_s > claimed_s)
        ]


actions = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 9)), min_size=20, max_size=80)


def run(steps: list[tuple[str, int]]) -> History:
    """All actions; at the end, the open transaction is committed, so that its records count."""
    history = History(Scene(specs=(SPEC,), partitions=1, out_of_orderness_ms=OUT_OF_ORDERNESS_MS))
    for action, number in steps:
        history.do(action, number)
    if history.transaction is not None:
        history.scene.kafka.finish(history.transaction, history.scene.time.now_ms())
    return history


@settings(max_examples=60, deadline=None)
@given(actions)
def test_no_progress_is_early(steps: list[tuple[str, int]]) -> None:
    assert run(steps).early() == []


@settings(max_examples=15, deadline=None)
@given(actions)
def test_a_group_that_has_processed_everything_passes(steps: list[tuple[str, int]]) -> None:
    """Once a record that was found above the committed offset, and is compacted now, is looked for again."""
    history = run(steps)
    one = history.scene.kafka.partition(P0)
    one.unreplicated, one.reachable = 0, True
    history.stalled_at = None
    history.process(10_000)
    history.scene.kafka.commit(GROUP, P0, history.position)
    history.scene.run(READ_AGAIN_S + 20)
    raw_ms = history.scene.clocks()[P0].raw_ms
    assert raw_ms is not None
    assert history.scene.time.now_ms() - raw_ms < 20_000
