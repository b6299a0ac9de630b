"""One seed of an exploration: random steps with failures between any two of them, then steps without failures."""

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any

from clocksvc.clock.partition import Partition
from clocksvc.testing.consumer.draw import Draw
from clocksvc.testing.consumer.interleaving import Interleaving
from clocksvc.testing.consumer.log import Log
from clocksvc.testing.consumer.policy import Answer, Commit
from clocksvc.testing.consumer.record import Record

if TYPE_CHECKING:
    from clocksvc.testing.consumer.process import Process
    from clocksvc.testing.consumer.run import ConsumerRun

FEWEST_STEPS = 30
MOST_STEPS = 90


class InjectedFailure(Exception):
    """What a flush raises if the exploration makes it fail."""


class Storm:
    """Random steps with one run. Also the policy of its world.

    Args:
        run: a new run.
        records: what is fed, in this order for each partition.
        seed: decides how often each action comes.
    """

    def __init__(self, run: "ConsumerRun", records: Sequence[Record | bytes], seed: int) -> None:
        self.run, self.world = run, run.world
        self.world.policy = self
        draw, partitions = Draw(seed), sorted({partition.number for partition in self.world.logs})
        self._records, self._fed = [_record(record, draw, partitions) for record in records], 0
        self._draw = draw
        actions: list[Callable[[], None]] = []
        for action, weight, rare in _ACTIONS:
            # In one seed, some failures are frequent, and others never come. So rare combinations need fewer seeds.
            factor = draw.pick(_FACTORS) if rare else 1
            actions += [getattr(self, action)] * (weight * factor)
        self._actions = actions
        self._failures_left = 0
        self._ahead: Collection[Partition] = ()
        self._answers = draw.pick((30, 90, 100))
        self._ends = draw.chance(50)
        self._steps = FEWEST_STEPS + draw.below(MOST_STEPS - FEWEST_STEPS)
        self._number = draw.number()
        options = run.process.plan.options
        self._age_s, self._slots = options.machine.batch.age_s, options.machine.slots

    def steps(self) -> Sequence[int]:
        """Return a number for each step. A subset of them can be given to `play`, too."""
        draw = Draw(self._number)
        return [draw.number() for _ in range(self._steps)]

    def play(self, steps: Sequence[int]) -> None:
        """Do the steps, then let everything succeed.

        Raises:
            BrokenPromise: the consumer did what it must never do.
        """
        for number in steps:
            self._draw = draw = Draw(number)
            if not self.run.process.alive:
                self._start()
            draw.pick(self._actions)()
        if self.run.process.alive and self._ends:
            self.run.stop()
        self.feed(len(self._records))
        self.run.finish_all()

    # -- the policy ---------------------------------------------------------------------------------------------------

    def records(self, logs: Sequence[Log], count: int) -> Sequence[Log]:
        draw, chosen = self._draw, list[Log]()
        for log in draw.some(logs):
            here = min(count - len(chosen), len(log.records) - log.next, 1 + draw.below(6))
            chosen += [log] * (min(here, log.fetched) if log.paused else here)
        return chosen

    def fetched(self) -> int:
        return self._draw.pick((0, 0, 1, 2))

    def answer(self, commit: Commit) -> Answer:
        if self._draw.chance(70):
            return Answer.ACCEPTED
        return Answer.REJECTED if self._draw.chance(50) else Answer.UNKNOWN

    def answers_commit(self, commit: Commit) -> bool:
        return self._draw.chance(self._answers)

    def answers_dead_letter(self) -> bool:
        return self._draw.chance(self._answers)

    def processed(self, runs: int) -> int:
        return self._draw.below(runs + 1)

    def ahead(self) -> Collection[Partition]:
        return self._ahead

    def waits(self, process: "Process", timeout_s: float) -> None:
        if process.executor.running and self._draw.chance(60):
            self.finish()
        elif process.executor.running and self._draw.chance(20):
            self.fail()
        else:
            self.world.time.advance(max(timeout_s, self._draw.pick((0.02, 0.5, 4.0))))

    # -- actions ------------------------------------------------------------------------------------------------------

    def feed(self, most: int = 0) -> None:
        """Records arrive."""
        count = most or 1 + self._draw.below(6)
        found = self._records[self._fed : self._fed + count]
        self._fed += len(found)
        if found:
            self.world.tell(lambda: f"{len(found)} record{'s arrive' if len(found) > 1 else ' arrives'}")
            self.world.append(found)

    def step(self) -> None:
        """The consumer's loop makes one or two passes."""
        process = self.run.process
        for _ in range(1 + self._draw.below(2)):
            if process.alive:
                process.step()

    def wait(self) -> None:
        """Time passes."""
        seconds = self._draw.pick((0.05, 0.3, 1.1, self._age_s, 2.5, 6.0))
        self._advance(seconds)

    def wait_long(self) -> None:
        """More time passes than the timeout of a commit."""
        self._advance(61.0)

    def _advance(self, seconds: float) -> None:
        world, process = self.world, self.run.process
        world.tell(lambda: f"{seconds} s pass")
        world.time.advance(seconds)
        if len(process.executor.running) >= self._slots:
            before = world.time.monotonic() - self._age_s
            if any(found.buffered and found.at <= before for log in world.assigned() for found in log.open.values()):
                world.judge.hits[Interleaving.AGE_WITHOUT_SLOT] += 1

    def drift(self) -> None:
        """The partitions that run ahead of the clock change."""
        self._ahead = () if self._ahead else self._draw.some(list(self.world.logs))
        self.world.tell(lambda: f"ahead of the clock: {', '.join(map(str, self._ahead)) or 'no partition'}")

    def effect(self) -> None:
        """A flush has its effect, and its result does not arrive yet."""
        executor = self.run.process.executor
        if executor.running:
            executor.take_effect(self._draw.pick(list(executor.running)))

    def break_sink(self) -> None:
        """The next 5 to 24 flushes fail, because the sink does not work."""
        self._failures_left = 5 + self._draw.below(20)

    def finish(self) -> None:
        """A flush finishes."""
        executor = self.run.process.executor
        if executor.running and self._failures_left:
            self._failures_left -= 1
            self.fail()
        elif executor.running:
            executor.finish(self._draw.pick(list(executor.running)))

    def fail(self) -> None:
        """A flush fails, with or without an effect."""
        executor = self.run.process.executor
        if executor.running:
            flush_id = self._draw.pick(list(executor.running))
            if self._draw.chance(30):
                executor.take_effect(flush_id)
            executor.finish(flush_id, InjectedFailure("injected"))

    def apply_commit(self) -> None:
        """Kafka receives a commit, and its answer does not arrive yet."""
        if commits := self.run.process.member.commits:
            self.run.process.member.apply(commits[0])

    def fail_commit(self) -> None:
        """A commit is rejected."""
        member = self.run.process.member
        if (commit := self._unanswered()) is not None and not commit.applied:
            member.reject(commit, "REQUEST_TIMED_OUT")

    def lose_answer(self) -> None:
        """The answer to a commit does not arrive."""
        if (commit := self._unanswered()) is not None:
            commit.lost = True
            self.world.judge.hits[Interleaving.COMMIT_UNANSWERED] += 1
            self.world.tell(lambda: f"the commit of {commit} is never answered")

    def _unanswered(self) -> Commit | None:
        return next((commit for commit in self.run.process.member.commits if not commit.lost), None)

    def fail_dead_letter(self) -> None:
        """A dead letter is not delivered."""
        letters = self.run.process.letters
        if letters.sent:
            letters.answer(self._draw.pick(list(letters.sent)), "is not delivered")

    def revoke(self) -> None:
        """Some partitions are revoked, as in a cooperative rebalance."""
        if (found := self._assigned()) is not None:
            self.run.process.member.will_revoke(self._draw.some(found))
            self._count_rebalance()

    def revoke_all(self) -> None:
        """All partitions are revoked and assigned again, as in an eager rebalance."""
        if (found := self._assigned()) is not None:
            member = self.run.process.member
            member.will_revoke(found)
            member.will_assign(found)
            self._count_rebalance()

    def lose(self) -> None:
        """The session times out."""
        if (found := self._assigned()) is not None:
            self.run.process.member.will_lose(found)
            self._count_rebalance()

    def assign(self) -> None:
        """Partitions are assigned."""
        logs = [log.partition for log in self.world.logs.values() if not log.epoch]
        member = self.run.process.member
        if logs and not member.waiting:
            member.will_assign(self._draw.some(logs))

    def _assigned(self) -> list[Any] | None:
        found = [log.partition for log in self.world.assigned()]
        return found if found and not self.run.process.member.waiting else None

    def _count_rebalance(self) -> None:
        if self.run.process.draining:
            self.world.judge.hits[Interleaving.DRAIN_WITH_REBALANCE] += 1

    def another_member(self) -> None:
        """Another member of the group processes and commits records of a partition that is not assigned here."""
        logs = [
            log for log in self.world.logs.values() if not log.epoch and log.index_at(log.committed) < len(log.records)
        ]
        if logs:
            self.run.another_member(self._draw.pick(logs).partition, 1 + self._draw.below(5))

    def crash(self) -> None:
        """SIGKILL."""
        self.run.process.crash(lambda: self._draw.chance(50))

    def drain(self) -> None:
        """SIGTERM."""
        if not self.run.process.draining:
            self.run.process.drain()

    def _start(self) -> None:
        self.run.begin_process()
        logs = [log.partition for log in self.world.logs.values()]
        self.run.process.member.will_assign(self._draw.some(logs))


def _record(record: Record | bytes, draw: Draw, partitions: Sequence[int]) -> Record:
    return Record(record, draw.pick(partitions)) if isinstance(record, bytes) else record


_FACTORS = (0, 0, 1, 1, 3)
_ACTIONS = (
    # the action, its weight, and whether the seed decides how often it comes
    ("feed", 8, False),
    ("step", 24, False),
    ("wait", 8, False),
    ("finish", 10, False),
    ("drift", 1, True),
    ("effect", 2, True),
    ("fail", 3, True),
    ("break_sink", 1, True),
    ("apply_commit", 2, True),
    ("fail_commit", 1, True),
    ("lose_answer", 1, True),
    ("wait_long", 1, True),
    ("fail_dead_letter", 2, True),
    ("revoke", 2, True),
    ("revoke_all", 1, True),
    ("lose", 1, True),
    ("assign", 3, False),
    ("another_member", 1, True),
    ("crash", 1, True),
    ("drain", 1, True),
)
