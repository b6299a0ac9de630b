"""Judges one clock: its chain of ticks in the log, whether each tick was early, and what of it is shown."""

from collections.abc import Sequence

from clocksvc.clock.log_record import Message
from clocksvc.clock.tick import Tick
from tests.faulty.fenced_log import Transaction
from tests.simulation.judge.expected_overrides import ExpectedOverrides
from tests.simulation.judge.log_bytes import Wire, body, last_tick_ms, request_ids, tick_parts, time_of
from tests.simulation.judge.violation import Violation
from tests.simulation.judge.witness import ClockReading, Witness
from tests.simulation.sometimes import Path, Sometimes
from tests.simulation.world.clock_plan import MAX_FUTURE_MS
from tests.simulation.world.environment import Environment, Truth

Shown = tuple[int | None, int, tuple[tuple[str, int], ...]]
"""A tick's previous, interval and excluded partitions."""

FAR_BEHIND = 20
"""A clock that is this many intervals behind catches up."""
LARGEST_SKEW_MS = 301_000
"""No leader's clock is further behind."""
TYPE_READ_MS = 45_000
"""After this, every leader has read a topic's new timestamp type."""


class ClockJudge:
    """Watches one clock.

    Attributes:
        ticks: the present chain, ascending. last: its end, or what `init` set.
        given: everything that was ever committed, by time: a log that was lost may be written again.
        transactions: the transaction of each tick.
        committed_at_ms: when the last tick was committed.
        standing: the expected exclusions and pause.
        lost_for_good: how often log and store have both lost ticks, so that they may be given again.
        corrections: how often `init` has set an earlier time than before.
        stream_changes: how often the store's stream was seen to change.
        rostered: for each topic and id, the most partitions that any leader put on a roster, in the log or the store.
        log_topics, log_group: the roster and the group of the newest record.
        log_lost_at: the moment at which the log has last lost records; -1 before.
        changed_type_at_ms: when each topic's timestamp type was changed.
        create_time_reported: the topics of which the clock's group has reported a CreateTime record since then.
    """

    def __init__(self, name: str, environment: Environment, sometimes: Sometimes) -> None:
        self.name = name
        self._environment, self._sometimes = environment, sometimes
        self.ticks: list[int] = []
        self.given: dict[int, set[Shown]] = {}
        self.transactions: dict[int, Transaction] = {}
        self.last: int | None = None
        self.committed_at_ms = environment.scheduler.now_ms
        self.standing = ExpectedOverrides()
        self.inits = self.lost_for_good = self.corrections = 0
        self.stream_changes = 0
        self.rostered: dict[tuple[str, str], int] = {}
        self.log_topics: dict[str, tuple[str, int]] = {}
        self.log_group: str | None = None
        self.log_lost_at = -1
        self.changed_type_at_ms: dict[str, int] = {}
        self.create_time_reported: set[str] = set()
        self._heads: list[int | None] = [None]
        self._newest_ids: dict[str, str] = {}
        self._replaced: dict[tuple[str, str], str] = {}
        self._surviving: int | None = None
        self._in_log: list[tuple[int, int | None, int]] = []
        self._is_lost = self._shows_loss = self._begins_again = False
        self._floor = 0
        self._stream: list[Tick] = []
        self._stream_end = (0, 0)

    @property
    def limit_ms(self) -> int:
        """The store has rejected everything above this so far."""
        return self._environment.time.peak_ms + MAX_FUTURE_MS

    @property
    def is_lost(self) -> bool:
        """True while the log lacks the clock's last tick."""
        return self._is_lost

    @property
    def is_far_behind(self) -> bool:
        """True if the clock catches up."""
        if self.last is None:
            return False
        return self._environment.scheduler.now_ms - self.last > FAR_BEHIND * self._spec_interval_ms

    @property
    def _spec_interval_ms(self) -> int:
        return self._environment.clocks[self.name].spec.interval_ms

    def honest_record(self, name: tuple[str, int], truth: Truth, timestamp_ms: int) -> None:
        """An honest record was handled for the first time: no tick above its timestamp that waited for its partition
        may have been given."""
        automatic = self._environment.clocks[self.name].spec.max_out_of_orderness_ms is None
        if timestamp_ms >= truth.waited_ms or truth.lied(self.limit_ms) or (truth.retyped and automatic):
            return
        raise Violation(
            f"early: a record of {name[0]}:{name[1]} with timestamp {timestamp_ms} was processed for the first "
            f"time after tick {truth.waited_ms} of {self.name}"
        )

    def needed_out_of_orderness_ms(self) -> int:
        """Return the least that a leader must subtract in a round that it begins now."""
        environment = self._environment
        spec = environment.clocks[self.name].spec
        if spec.max_out_of_orderness_ms is not None:
            return spec.max_out_of_orderness_ms
        for topic in spec.topics:
            if environment.append_time(topic):
                continue
            changed_ms = self.changed_type_at_ms.get(topic)
            long_ago = changed_ms is None or environment.scheduler.now_ms - changed_ms > TYPE_READ_MS
            if long_ago or topic in self.create_time_reported:
                return 10_000
        return 0

    # -- the log ------------------------------------------------------------------------------------------------------

    def log_lost(self, kept: Sequence[Message], newest: Wire | None, *, shows_it: bool) -> None:
        """The log has just lost records. A process that knows no better may go on from what remains.

        `shows_it`: it shows that it had records, so a clock without a record must hold.
        """
        wires = [body(message) for message in kept if message.type in ("tick", "control", "snapshot")]
        self.log_lost_at = self._environment.scheduler.moment()
        self._surviving = None if newest is None else last_tick_ms(newest)
        self._shows_loss = newest is None and shows_it
        self._in_log = [tick_parts(body(message)) for message in kept if message.type == "tick"]
        self._is_lost = self._surviving != self.last
        recorded = {id for wire in wires for id in request_ids(wire)}
        self.standing.log_lost(None if newest is None else newest["state"], recorded)
        self.rostered, self._newest_ids, self._replaced = {}, {}, {}
        for wire in wires:
            self._note_roster(wire["state"]["topics"])
        state = None if newest is None else newest["state"]
        self.log_topics = {} if state is None else _topics(state)
        self.log_group = None if state is None else state["group"]

    def judge_record(
        self, wire: Wire, is_tick: bool, writer: str, witness: Witness | None, *, by_command: bool
    ) -> None:
        """A tick or a control record was committed."""
        if self._is_lost:
            self.look_at_the_loss()
        reading = None if witness is None else witness.reading(self.name)
        self.standing.judge(wire, None if reading is None else reading.store_ms)
        state = wire["state"]
        if witness is not None and state["group"] != witness.specs[self.name].group:
            raise Violation(
                f"group: {writer} wrote the group {state['group']}, it has {witness.specs[self.name].group}"
            )
        self._note_changes(state, is_tick)
        if is_tick:
            assert witness is not None
            assert reading is not None
            at_ms = wire["timestamp_seconds"] * 1000
            self._judge_chain(wire, at_ms, witness)
            self._judge_early(at_ms, wire, witness, reading)
            self.standing.judge_tick(wire, at_ms)
            self._add(wire, at_ms)
        else:
            self._judge_control(wire, writer, by_command=by_command)
        self._note_roster(state["topics"])
        # A topic that left the configuration begins again if it comes back.
        self.rostered = {key: count for key, count in self.rostered.items() if key[0] in state["topics"]}
        self.log_topics, self.log_group = _topics(state), state["group"]

    def _note_changes(self, state: Wire, is_tick: bool) -> None:
        took, topics = self._sometimes.took, _topics(state)
        if self.log_group is not None and state["group"] != self.log_group and not is_tick:
            took(Path.GROUP_CHANGED)
        for name, (id, count) in topics.items():
            before = self.log_topics.get(name)
            if before is None or is_tick:
                continue
            if before[0] != id:
                took(Path.TOPIC_ID_CHANGED)
            elif count > before[1]:
                took(Path.GROWTH_COMMITTED)
            elif count < before[1]:
                raise Violation(f"early: a record of {self.name} has {count} partitions of {name}, {before[1]} before")

    def _note_roster(self, topics: Wire) -> None:
        for name, item in topics.items():
            self.note_rostered(name, item["id"], item["partitions"])

    def note_rostered(self, topic: str, id: str, partitions: int) -> None:
        """A leader put partitions on a roster."""
        newest = self._newest_ids.get(topic)
        if newest != id and (topic, id) not in self.rostered:
            if newest is not None:
                self._replaced[topic, newest] = id
            self._newest_ids[topic] = id
        self.rostered[topic, id] = max(partitions, self.rostered.get((topic, id), 0))

    def _add(self, wire: Wire, at_ms: int) -> None:
        excluded = tuple(sorted((item["topic"], item["partition"]) for item in wire["excluded"]))
        shown = (time_of(wire["previous"]), wire["interval_seconds"] * 1000, excluded)
        self.given.setdefault(at_ms, set()).add(shown)
        while self.ticks and self.ticks[-1] >= at_ms:
            self.ticks.pop()  # what was lost in both is given again
        self.ticks.append(at_ms)
        self._in_log.append(tick_parts(wire))
        self._floor, self._begins_again = at_ms, False
        self._go_on(at_ms)
        self.committed_at_ms = self._environment.scheduler.now_ms

    def look_at_the_loss(self) -> None:
        """If log and store have both lost a tick, no process can know it: what is left is the truth from now on.

        Called when the store may have changed: a loss for a moment is enough.
        """
        if not self._is_lost:
            return
        known = self._environment.access.ticks(self.name)
        if self._shows_loss:
            return
        if self._surviving not in self._heads and (not known or known[-1].at_ms <= (self._surviving or 0)):
            self._heads.append(self._surviving)
            self.lost_for_good += 1

    def restore(self, wire: Wire) -> None:
        """A leader that had read the log before the loss has copied the lost record in a snapshot."""
        self.standing.restored(request_ids(wire))
        if last_tick_ms(wire) == self.last:
            self._go_on(self.last)
            self.log_topics, self.log_group = _topics(wire["state"]), wire["state"]["group"]

    def _go_on(self, last: int | None) -> None:
        self.last, self._heads, self._is_lost = last, [last], False

    def _judge_control(self, wire: Wire, writer: str, *, by_command: bool) -> None:
        last = last_tick_ms(wire)
        asked = [request for request in wire.get("requests", ()) if request["kind"] == "init"]
        if not asked:
            if last not in self._heads and not (self._is_lost and last == self._surviving):
                raise Violation(
                    f"lost: a control record of {writer} says that the last tick is {last}, it is {self.last}"
                )
            return
        if last != time_of(asked[-1]["last_tick"]):
            raise Violation(f"back: init was asked for {asked[-1]['last_tick']}, the record has {last}")
        self._begins_again = self._begins_again or len(asked) > 1  # one record can skip ticks and take that back
        self._judge_init(last, by_command=by_command, skips=asked[-1].get("skip_ticks") is True)
        self._begins_again = True

    def _judge_init(self, last: int | None, *, by_command: bool, skips: bool) -> None:
        took, known = self._sometimes.took, (self._surviving if self._is_lost else self.last) or 0
        if not self._is_lost and (self._begins_again or skips):
            known = self._floor  # a correction before the next tick, or a skip: never before a tick that was emitted
        if self._in_log and not self._is_lost and last != known:
            if not skips:
                raise Violation(f"lost: init set the last tick to {last} in a log that has lost nothing since {known}")
            took(Path.TICKS_SKIPPED)
        if self._in_log and not self._is_lost and not self._begins_again and last == known:
            raise Violation(f"lost: init set the last tick to {last}, which is the last tick already")
        if not self.ticks and not self._is_lost:
            known = 0  # `init` again after a wrong beginning
        if self._environment.scheduler.calm and self._stream:
            known = max(known, self._stream[-1].at_ms)
        if last is None or last < known:
            raise Violation(f"back: init set the last tick to {last} although {known} is known")
        self.inits += 1
        took(Path.INIT_WITHOUT_LEADER if by_command else Path.INIT_BY_REQUEST)
        if self._is_lost:
            took(Path.INIT_AFTER_TRUNCATION)
        if not self._is_lost and last < (self.last or 0):
            self.corrections += 1
        if self._is_lost and last < (self.last or 0):
            self.lost_for_good += 1  # only operators can know, and they went back
        if self._is_lost:
            self._floor = max(self._floor if self.lost_for_good == 0 else 0, known)
        self._go_on(last)

    def _judge_chain(self, wire: Wire, at_ms: int, witness: Witness) -> None:
        previous, interval_ms = time_of(wire["previous"]), wire["interval_seconds"] * 1000
        if wire["clock"] != self.name or interval_ms != witness.specs[self.name].interval_ms:
            raise Violation(f"interval: tick {at_ms} of {wire['clock']} has an interval of {interval_ms} ms")
        if last_tick_ms(wire) != at_ms:
            raise Violation(f"chain: tick {at_ms} of {self.name} has the state of {wire['state']['last_tick']}")
        if previous not in self._heads:
            if self.last is not None and at_ms <= self.last:
                raise Violation(f"twice or back: tick {at_ms} of {self.name} follows {self.last}")
            if self._is_lost:
                raise Violation(
                    f"lost: tick {at_ms} of {self.name} follows {previous} in a log that lost ticks up to {self.last}"
                )
            raise Violation(f"chain: tick {at_ms} of {self.name} names {previous} after {self.last}")
        if previous is not None and at_ms != (previous // interval_ms + 1) * interval_ms:
            word = "lost" if at_ms > previous else "twice or back"
            raise Violation(f"{word}: tick {at_ms} of {self.name} follows {previous}, the interval is {interval_ms} ms")
        if at_ms % interval_ms:
            raise Violation(f"interval: tick {at_ms} of {self.name} is no multiple of {interval_ms} ms")

    def _judge_early(self, at_ms: int, wire: Wire, witness: Witness, reading: ClockReading) -> None:
        tick, environment = f"tick {at_ms} of {self.name}", self._environment
        for which, time in (("store", environment.time), ("leader", witness.time)):
            if at_ms > time.peak_ms:
                raise Violation(f"early: {tick} before the {which}'s clock has passed it")
        if reading.disagreed:
            raise Violation(f"conflict: {tick} while replicas with other configurations were announced")
        spec, topics = witness.specs[self.name], _topics(wire["state"])
        if wire["previous"] is None and at_ms < reading.store_ms - spec.max_past_ms - LARGEST_SKEW_MS:
            raise Violation(f"early: {tick}, the first one, is more than {spec.max_past_ms} ms in the past")
        for topic in spec.topics:
            if witness.described_at.get(topic, -1) <= reading.at:
                raise Violation(f"early: {tick} by {witness.name} with metadata from before the minimum was taken")
            listed = witness.topics.get(topic)
            if listed is None:
                raise Violation(f"early: {tick} while Kafka does not list {topic}")
            if topic not in topics or topics[topic][0] != listed.id or not listed.id:
                raise Violation(f"early: {tick} has {topics.get(topic)} as {topic}, Kafka lists {tuple(listed)}")
            if self._replaced.get((topic, listed.id), listed.id) != listed.id:
                raise Violation(f"early: {tick} with the old id of {topic}, which a later roster had replaced")
            count = max(listed.partitions, self.rostered.get((topic, listed.id), 0))
            self._judge_topic(at_ms, topic, listed.id, count, spec.group, reading)

    def _judge_topic(self, at_ms: int, topic: str, id: str, count: int, group: str, reading: ClockReading) -> None:
        for number in range(count):
            if (topic, number) in self.standing.excluded:
                continue
            # Reports carry no topic id. While a broker still gives a deleted topic, reports of those after it count.
            ids = self._environment.topic_ids_since(topic, id)
            truths = [self._environment.truths.get((group, each, number)) for each in ids]
            reached_ms = max((-1 if truth is None else truth.reached_ms(self.limit_ms)) for truth in truths)
            if truths[0] is not None:
                truths[0].waited_ms = at_ms
            if reached_ms < at_ms + reading.out_of_orderness_ms:
                raise Violation(
                    f"early: tick {at_ms} of {self.name} while {group} has processed {topic}:{number} up to "
                    f"{reached_ms}, and {reading.out_of_orderness_ms} ms must be subtracted"
                )

    # -- what is shown ------------------------------------------------------------------------------------------------

    def judge_shown(self, tick: Tick, where: str) -> None:
        """A tick is visible: it must have been committed, unchanged."""
        shown = (tick.previous_ms, tick.interval_ms, tuple(sorted((p.topic, p.number) for p in tick.excluded)))
        given = self.given.get(tick.at_ms)
        if given is None:
            raise Violation(f"early: {where} shows {tick.at_ms} of {self.name}, which is not committed")
        if shown not in given:
            raise Violation(f"chain: {where} shows {tick.at_ms} of {self.name} as {shown}, committed was {given}")

    def judge_history(self, recent_ms: int) -> None:
        """In a calm moment: the stream has the log's ticks of the last `recent_ms`, in one chain up to its end."""
        stream = self._environment.access.ticks(self.name)
        expected, oldest = self.last, None
        for at_ms, previous_ms, emitted_ms in reversed(self._in_log):
            if at_ms != expected or emitted_ms < self._environment.time.peak_ms - recent_ms:
                break
            expected, oldest = previous_ms, at_ms
        if oldest is not None and (not stream or stream[0].at_ms > oldest):
            raise Violation(f"lost: the log has {oldest} of {self.name}, the store's stream begins with {stream[:1]}")

    def check_stream(self) -> None:
        """Check the store's stream, if it has changed."""
        stream = self._environment.access.ticks(self.name)
        if stream is self._stream and (len(stream), stream[-1].at_ms if stream else 0) == self._stream_end:
            return
        seen = self._stream_end[1] if stream is self._stream else -1
        self._stream, self._stream_end = stream, (len(stream), stream[-1].at_ms if stream else 0)
        self.stream_changes += 1
        self.look_at_the_loss()
        later: Tick | None = None
        for tick in reversed(stream):
            if later is not None and (later.previous_ms != tick.at_ms or later.at_ms <= tick.at_ms):
                raise Violation(f"broken stream: {later.at_ms} of {self.name} follows {tick.at_ms}")
            if tick.at_ms <= seen:
                break
            self.judge_shown(tick, "the store's stream")
            later = tick


def _topics(state: Wire) -> dict[str, tuple[str, int]]:
    return {name: (item["id"], item["partitions"]) for name, item in state["topics"].items()}
