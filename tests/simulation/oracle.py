"""The judge of what is committed and shown: reads the tick log's bytes, the store's stream and the truth, and shares no
code with the product. Each violation says what went wrong."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from clocksvc.clock.log_record import Message
from clocksvc.clock.roster import TopicMetadata
from clocksvc.clock.spec import ClockSpec
from clocksvc.clock.tick import Tick
from tests.faulty.tick_log import Entry
from tests.simulation.environment import CLOCK, MAX_FUTURE_MS, Environment, Truth
from tests.simulation.expected_overrides import ExpectedOverrides
from tests.simulation.scheduler import SimulatedTime
from tests.simulation.violation import Violation

Shown = tuple[int | None, int, tuple[tuple[str, int], ...]]
"""A tick's previous, interval and excluded partitions."""


@dataclass
class Witness:
    """What is known of one process that may lead.

    Attributes:
        out_of_orderness_ms: what its configuration resolves to.
        store_ms: the store's time when it last read a minimum.
        minimum_at, described_at: the moments at which it last read a minimum, and began to read metadata.
        disagreed: the store knew replicas with several configurations when it read its minimum.
        known: topic ids and partition counts that its metadata readings have shown.
        missing: configured topics that the last one did not show.
    """

    spec: ClockSpec
    time: SimulatedTime
    out_of_orderness_ms: int
    store_ms: int = 0
    minimum_at: int = -1
    described_at: int = -1
    disagreed: bool = False
    known: dict[str, TopicMetadata] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)

    def read(self, began: int, shapes: Mapping[str, TopicMetadata]) -> None:
        """It got metadata for a request that began at a moment."""
        self.described_at = began
        self.missing = set(self.spec.topics) - set(shapes)
        merge(self.known, shapes)


def merge(known: dict[str, TopicMetadata], shapes: Mapping[str, TopicMetadata]) -> None:
    """Add a later reading: the most partitions under one id; another id replaces what was known."""
    for name, shape in shapes.items():
        before = known.get(name)
        if before is None or before.id != shape.id or before.partitions < shape.partitions:
            known[name] = shape


class Oracle:
    """Watches one simulation; `check` is called after every step.

    Attributes:
        ticks: the present chain, ascending. last: its end, or what `init` set.
        given: everything that was ever committed, by time: a log that was lost may be written again.
        committed_at_ms: when the last tick was committed.
        operators: processes that may write a control record.
        standing: the expected exclusions and pause.
        lost_for_good: how often log and store have both lost ticks, so that they may be given again.
        stream_changes: how often the store's stream was seen to change.
        repeated: how many ticks were committed again, because a broker forgot that they had been.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self.witnesses: dict[str, Witness] = {}
        self.operators: set[str] = set()
        self.ticks: list[int] = []
        self.given: dict[int, set[Shown]] = {}
        self.last: int | None = None
        self.committed_at_ms = environment.scheduler.now_ms
        self.standing = ExpectedOverrides()
        self.inits = self.lost_for_good = 0
        self._heads: list[int | None] = [None]
        self._surviving: int | None = None
        self._in_log: list[tuple[int, int | None, int]] = []
        self._is_lost = False
        self._forgotten: list[Message] = []
        self.repeated = 0
        self._log_knows: dict[str, TopicMetadata] = {}
        self._next_offset = 0
        self.stream_changes = 0
        self._stream: list[Tick] = []
        self._stream_end = (0, 0)

    # -- after every step ---------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Check what the log and the stream show now."""
        if self._environment.log.end != self._next_offset:
            self._check_log()
        stream = self._environment.store._state.ticks
        if stream is not self._stream or (len(stream), stream[-1].at_ms if stream else 0) != self._stream_end:
            self._check_stream(stream)

    @property
    def limit_ms(self) -> int:
        """The store has rejected everything above this so far."""
        return self._environment.time.peak_ms + MAX_FUTURE_MS

    def honest_record(self, name: tuple[str, int], truth: Truth, timestamp_ms: int) -> None:
        """An honest record was handled for the first time: no tick above its timestamp that waited for its partition
        may have been given."""
        if timestamp_ms < truth.waited_ms and not truth.lied(self.limit_ms):
            raise Violation(
                f"early: a record of {name[0]}:{name[1]} with timestamp {timestamp_ms} was processed for the first "
                f"time after tick {truth.waited_ms}"
            )

    # -- the tick log -------------------------------------------------------------------------------------------------

    def log_lost(self) -> None:
        """The tick log has just lost records: a process that knows no better may go on from what remains.

        Called after the loss, before any process acts.
        """
        log = self._environment.log
        kept = [entry for entry in log.entries if self._counts(entry)]
        self._next_offset = log.end
        left = _wire(kept[-1])["state"] if kept else None
        self._surviving = None if left is None else _time(left["last_tick"])
        self._in_log = [_brief(_wire(entry)) for entry in kept if entry.message and entry.message.type == "tick"]
        self._is_lost = self._surviving != self.last
        self.standing.log_lost(left)
        if self._is_lost:
            self._log_knows = {}

    def log_forgot(self, ticks: Sequence[Message]) -> None:
        """A broker has just forgotten that ticks were committed: a leader that knows better commits the same ticks
        again."""
        self._forgotten = list(ticks)
        self.log_lost()

    def _check_log(self) -> None:
        log = self._environment.log
        if self._is_lost:
            self._forgive()
        first = log.entries[0].offset if log.entries else log.end
        for entry in log.entries[max(0, self._next_offset - first) :]:
            transaction = entry.transaction
            if transaction is log._own:
                return
            self._next_offset = entry.offset + 1
            if self._counts(entry):
                self._judge(entry)

    def _counts(self, entry: Entry) -> bool:
        transaction = entry.transaction
        if entry.message is None or transaction is None or not transaction.committed:
            return False
        return not any(transaction is foreign for foreign in self._environment.foreign)

    def _forgive(self) -> None:
        """If log and store have both lost a tick, no process can know it: what is left is the truth from now on."""
        known = self._environment.store._state.ticks
        if self._surviving is None and self._environment.log.first_offset > 0:
            return  # an empty log that begins above 0 shows that it had records
        if self._surviving not in self._heads and (not known or known[-1].at_ms <= (self._surviving or 0)):
            self._heads.append(self._surviving)
            self.lost_for_good += 1

    def _is_committed_again(self, entry: Entry) -> bool:
        """Byte for byte what was committed and forgotten, in that order."""
        again = bool(self._forgotten) and entry.message == self._forgotten[0]
        self._forgotten = self._forgotten[1:] if again else []
        self.repeated += again
        return again

    def look_at_the_loss(self) -> None:
        """Called when the store may have changed: a loss for a moment is enough."""
        if self._is_lost:
            self._forgive()

    def _judge(self, entry: Entry) -> None:
        writer, wire, kind = self._environment.writing, _wire(entry), entry.message and entry.message.type
        if writer != self._environment.fenced_by:
            raise Violation(
                f"twice: {writer} committed to the tick log although {self._environment.fenced_by} fenced it"
            )
        if self._is_committed_again(entry):
            self._in_log.append(_brief(wire))
            self._go_on(wire["timestamp_seconds"] * 1000)
            return
        state, witness = wire["state"], self.witnesses.get(writer)
        self.standing.judge(wire, None if witness is None else witness.store_ms)
        if kind == "control":
            self._judge_control(_time(state["last_tick"]), writer)
            return
        at_ms = wire["timestamp_seconds"] * 1000
        self._judge_chain(wire, at_ms, self.witnesses[writer])
        self._judge_early(at_ms, writer, self.witnesses[writer])
        self.standing.judge_tick(wire, at_ms)
        excluded = tuple(sorted((item["topic"], item["partition"]) for item in wire["excluded"]))
        shown = (_time(wire["previous"]), wire["interval_seconds"] * 1000, excluded)
        self.given.setdefault(at_ms, set()).add(shown)
        merge(self._log_knows, {name: TopicMetadata(**shape) for name, shape in state["topics"].items()})
        while self.ticks and self.ticks[-1] >= at_ms:
            self.ticks.pop()  # what was lost in both is given again
        self.ticks.append(at_ms)
        self._in_log.append(_brief(wire))
        self._go_on(at_ms)
        self.committed_at_ms = self._environment.scheduler.now_ms

    def _go_on(self, last: int | None) -> None:
        self.last, self._heads, self._is_lost = last, [last], False

    def _judge_control(self, last: int | None, writer: str) -> None:
        if writer not in self.operators:
            if last not in self._heads:
                raise Violation(
                    f"lost: a control record of {writer} says that the last tick is {last}, it is {self.last}"
                )
            return
        known = (self._surviving if self._is_lost else self.last) or 0
        if self._environment.scheduler.calm and self._stream:
            known = max(known, self._stream[-1].at_ms)
        if last is None or last < known:
            raise Violation(f"back: init set the last tick to {last} although {known} is known")
        if self._in_log and not self._is_lost:
            raise Violation(f"lost: init set the last tick to {last} in a log that has lost nothing since {self.last}")
        self.inits += 1
        if last < (self.last or 0):
            self.lost_for_good += 1  # only operators can know, and they went back
        self._go_on(last)

    def _judge_chain(self, wire: dict[str, Any], at_ms: int, witness: Witness) -> None:
        previous, interval_ms = _time(wire["previous"]), wire["interval_seconds"] * 1000
        if wire["clock"] != CLOCK or interval_ms != witness.spec.interval_ms:
            raise Violation(f"interval: tick {at_ms} of {wire['clock']} has an interval of {interval_ms} ms")
        if previous not in self._heads:
            if self.last is not None and at_ms <= self.last:
                raise Violation(f"twice or back: tick {at_ms} follows {self.last}")
            if self._is_lost:
                raise Violation(f"lost: tick {at_ms} follows {previous} in a log that lost what came up to {self.last}")
            raise Violation(f"chain: tick {at_ms} names {previous} after {self.last}")
        if previous is not None and at_ms != (previous // interval_ms + 1) * interval_ms:
            word = "lost" if at_ms > previous else "twice or back"
            raise Violation(f"{word}: tick {at_ms} follows {previous}, the interval is {interval_ms} ms")
        if at_ms % interval_ms:
            raise Violation(f"interval: tick {at_ms} is no multiple of {interval_ms} ms")

    def _judge_early(self, at_ms: int, writer: str, witness: Witness) -> None:
        for whose, time in (("store", self._environment.time), ("leader", witness.time)):
            if at_ms > time.peak_ms:
                raise Violation(f"early: tick {at_ms} before the {whose}'s clock has passed it")
        if witness.described_at <= witness.minimum_at:
            raise Violation(f"early: tick {at_ms} by {writer} with metadata from before the minimum was taken")
        if witness.missing:
            raise Violation(f"early: tick {at_ms} while Kafka does not list {sorted(witness.missing)}")
        if witness.disagreed:
            raise Violation(f"conflict: tick {at_ms} while replicas with other configurations were announced")
        for name, number in self._required(witness):
            truth = self._environment.truths[name[1], number]
            truth.waited_ms, reached_ms = at_ms, truth.reached_ms(self.limit_ms)
            if reached_ms < at_ms + witness.out_of_orderness_ms:
                raise Violation(f"early: tick {at_ms} while {name[0]}:{number} was processed up to {reached_ms}")

    def _required(self, witness: Witness) -> list[tuple[tuple[str, str], int]]:
        known = dict(witness.known)
        for name, shape in self._log_knows.items():
            if name in known and known[name].id == shape.id and known[name].partitions < shape.partitions:
                known[name] = shape
        return [
            ((name, shape.id), number)
            for name, shape in known.items()
            if name in witness.spec.topics
            for number in range(shape.partitions)
            if (name, number) not in self.standing.excluded
        ]

    # -- what is shown ------------------------------------------------------------------------------------------------

    def judge_shown(self, tick: Tick, where: str) -> None:
        """A tick is visible: it must have been committed, unchanged."""
        shown = (tick.previous_ms, tick.interval_ms, tuple(sorted((p.topic, p.number) for p in tick.excluded)))
        given = self.given.get(tick.at_ms)
        if given is None:
            raise Violation(f"early: {where} shows {tick.at_ms}, which is not committed")
        if shown not in given:
            raise Violation(f"chain: {where} shows {tick.at_ms} as {shown}, it was committed as {given}")

    def judge_history(self, recent_ms: int) -> None:
        """In a calm moment: the stream has the log's ticks of the last `recent_ms`, in one chain up to its end."""
        stream = self._environment.store._state.ticks
        expected, oldest = self.last, None
        for at_ms, previous_ms, emitted_ms in reversed(self._in_log):
            if at_ms != expected or emitted_ms < self._environment.time.peak_ms - recent_ms:
                break
            expected, oldest = previous_ms, at_ms
        if oldest is not None and (not stream or stream[0].at_ms > oldest):
            raise Violation(f"lost: the tick log has {oldest}, the store's stream begins with {stream[:1]}")

    def _check_stream(self, stream: list[Tick]) -> None:
        seen = self._stream_end[1] if stream is self._stream else -1
        self._stream, self._stream_end = stream, (len(stream), stream[-1].at_ms if stream else 0)
        self.stream_changes += 1
        self.look_at_the_loss()
        later: Tick | None = None
        for tick in reversed(stream):
            if later is not None and (later.previous_ms != tick.at_ms or later.at_ms <= tick.at_ms):
                raise Violation(f"the store's stream is broken: {later.at_ms} follows {tick.at_ms}")
            if tick.at_ms <= seen:
                break
            self.judge_shown(tick, "the store's stream")
            later = tick


def _wire(entry: Entry) -> dict[str, Any]:
    assert entry.message is not None
    wire: dict[str, Any] = json.loads(entry.message.value or b"")
    return wire


def _brief(wire: dict[str, Any]) -> tuple[int, int | None, int]:
    """A tick's time, previous, and when it was emitted."""
    emitted_ms = _time(wire["emitted_at"])
    assert emitted_ms is not None
    return wire["timestamp_seconds"] * 1000, _time(wire["previous"]), emitted_ms


def _time(text: str | None) -> int | None:
    return None if text is None else round(datetime.fromisoformat(text).timestamp() * 1000)
