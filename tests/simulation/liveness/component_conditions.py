"""Faults that last of the store, a log, Kafka or the replicas."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from clocksvc.clock.log_owner import Installation, LogOwner
from clocksvc.clock.log_record import Message
from clocksvc.clock.request import RequestKind
from clocksvc.interfaces.progress import StoreIdentity
from clocksvc.kafka.tick_log_topic import TickLogTopic
from tests.faulty.commits import CommitFault
from tests.faulty.fenced_log import Entry
from tests.simulation.faults.fault_context import FaultContext
from tests.simulation.faults.process_faults import lose_store
from tests.simulation.faults.tick_log_faults import begin_foreign
from tests.simulation.judge.log_bytes import body
from tests.simulation.liveness.expectation import (
    Expectation,
    all_clocks,
    clocks_of_log,
    holds,
    others,
    restart,
    start_replicas,
)

STUCK_SHOWN_MS = 10_000
"""A stuck leader publishes the hold within this time."""


def store_down(context: FaultContext) -> Expectation:
    """The store does not answer."""
    return holds(all_clocks(context), "store_unavailable", end=_switch(context.environment.access, "broken"))


def log_down(context: FaultContext) -> Expectation:
    """A log does not answer. The clocks of other logs go on."""
    number = context.log()
    concerned = clocks_of_log(context, number)
    end = _switch(context.environment.logs[number], "unavailable")
    return holds(concerned, "ticklog_unavailable", end=end, others=others(context, *concerned))


def metadata_down(context: FaultContext) -> Expectation:
    """Kafka does not answer metadata requests."""
    return holds(all_clocks(context), "metadata_unavailable", end=_switch(context.environment.topics, "unavailable"))


def kafka_down(context: FaultContext) -> Expectation:
    """No broker answers."""
    parts = [_switch(log, "unavailable") for log in context.environment.logs.values()]
    parts.append(_switch(context.environment.topics, "unavailable"))

    def end() -> None:
        for part in parts:
            part()

    return holds(all_clocks(context), "ticklog_unavailable", "metadata_unavailable", end=end)


def _switch(part: object, name: str) -> Callable[[], None]:
    setattr(part, name, True)
    return lambda: setattr(part, name, False)


def commits_unanswered(context: FaultContext) -> Expectation:
    """No commit on a log is ever answered: `leader_stuck` is shown within 10 s, and the leases go round."""
    number = context.log()
    log = context.environment.logs[number]
    log.commit_faults += [CommitFault.UNANSWERED] * 1_000
    concerned = clocks_of_log(context, number)
    expected = holds(concerned, "leader_stuck", end=log.commit_faults.clear, others=others(context, *concerned))
    interval_ms = max(context.environment.clocks[name].spec.interval_ms for name in concerned)
    return replace(expected, within_ms=STUCK_SHOWN_MS + interval_ms)


def transaction_open(context: FaultContext) -> Expectation:
    """Another client's transaction on a log is open, and a new leader comes, or the present one stays."""
    number = context.log()
    begin_foreign(context, number)
    if context.rng.random() < 0.5:
        restart(context)
    concerned = clocks_of_log(context, number)
    log = context.environment.logs[number]
    return holds(concerned, "ticklog_open_transaction", end=lambda: log.end_foreign(committed=False))


def record_rejected(context: FaultContext) -> Expectation:
    """Brokers reject the records of one clock for ever. All others go on, also those of its log."""
    clock = context.clock()
    log = context.environment.log_of(clock)
    log.rejected_keys.add(clock.encode())
    return holds((clock,), "ticklog_unavailable", end=log.rejected_keys.clear, others=others(context, clock))


def log_lost(context: FaultContext) -> Expectation:
    """A log lost what the store knows, and a new leader comes, or the present one notices it. Operators run
    `clocksvc init`: see `run.py`."""
    number = context.log()
    log, concerned = context.environment.logs[number], clocks_of_log(context, number)
    losses: tuple[Callable[[], None], ...] = (
        partial(log.lose_tail, _from_the_last_shown(context, number)),
        partial(log.truncate_before, log.end),
        log.recreate,
    )
    lost = context.rng.randrange(3)
    losses[lost]()
    context.judge.log_lost(number)
    if lost == 1 and log.first_offset == log.end > 0 and context.rng.random() < 0.5:
        lose_store(context)  # the log itself shows that it had records
    if lost == 1 or context.rng.random() < 0.7:
        restart(context)  # old records that are deleted do not concern a leader that has read them
    return holds(concerned, "ticklog_truncated", end=lambda: None)


def _from_the_last_shown(context: FaultContext, number: int) -> int:
    """How many offsets the log must lose so that each of its clocks loses a tick that the store shows."""
    log, first = context.environment.logs[number], context.environment.logs[number].end
    for clock in clocks_of_log(context, number):
        shown = context.environment.access.ticks(clock)
        last_ms = shown[-1].at_ms if shown else 0
        ticks = (entry.offset for entry in reversed(log.entries) if _is_tick_up_to(clock, last_ms, entry))
        first = min(first, next(ticks, log.end - 2))
    return log.end - first


def _is_tick_up_to(clock: str, last_ms: int, entry: Entry[Message]) -> bool:
    committed = entry.transaction is not None and entry.transaction.committed is True
    message = entry.message
    if not committed or message is None or message.type != "tick" or message.key != clock.encode():
        return False
    return bool(body(message)["timestamp_seconds"] * 1000 <= last_ms)


def log_unreadable(context: FaultContext) -> Expectation:
    """The newest record of a clock is one that no version reads. Operators recreate the log, and run `init`."""
    clock = context.clock()
    number = context.judge.log(clock).number
    log = context.environment.logs[number]
    log.write_foreign(Message(clock.encode(), b"{}", "tick"))
    restart(context)

    def recreate() -> None:
        log.recreate()
        context.judge.log_lost(number)
        restart(context)

    return holds((clock,), "ticklog_unavailable", end=recreate)


def log_misconfigured(context: FaultContext) -> Expectation:
    """The settings of the tick log's topic could lose ticks."""
    for log in context.environment.logs.values():
        log.shape = TickLogTopic("clocksvc-ticks", partitions=2)
    restart(context)

    def mend() -> None:
        for log in context.environment.logs.values():
            log.shape = TickLogTopic("clocksvc-ticks")

    return holds(all_clocks(context), "ticklog_unavailable", end=mend)


def store_of_others(context: FaultContext) -> Expectation:
    """The store of a clock belongs to another cluster. The other clocks go on."""
    clock = context.clock()
    context.environment.access.clock(clock).identity = StoreIdentity("another-cluster")
    restart(context)
    return holds((clock,), "store_mismatch", end=lambda: lose_store(context), others=others(context, clock))


def log_of_others(context: FaultContext) -> Expectation:
    """A log belongs to another installation."""
    number = context.log()
    log, concerned = context.environment.logs[number], clocks_of_log(context, number)
    log.write_foreign(LogOwner(Installation("elsewhere", "redis:6379"), "another").message())
    restart(context)

    def recreate() -> None:
        log.recreate()
        context.judge.log_lost(number)
        restart(context)

    return holds(concerned, "store_mismatch", end=recreate, others=others(context, *concerned))


def replicas_disagree(context: FaultContext) -> Expectation:
    """A replica with another configuration of one clock stays. The other clocks go on."""
    environment, clock = context.environment, context.clock()
    specs = context.processes.present_specs()
    interval_ms = 5_000 if specs[clock].interval_ms < 5_000 else 1_000
    other = context.processes.start_replica({**specs, clock: replace(specs[clock], interval_ms=interval_ms)})
    if context.rng.random() < 0.7:
        for seconds in (4.0, 8.3, 12.9):  # their announcements are lost, and they still disagree
            context.scheduler.later(seconds, lambda: lose_store(context))
    elif environment.rng.random() < 0.5:
        return holds(
            (clock,),
            "config_conflict",
            end=lambda: context.processes.kill_replica(other),
            others=others(context, clock),
            word="conflict",
        )
    return holds((clock,), "config_conflict", end=lambda: context.processes.kill_replica(other), word="conflict")


def no_replicas(context: FaultContext) -> Expectation:
    """No replica is left."""
    for name in sorted(context.processes.replicas):
        context.processes.kill_replica(name)
    return holds(all_clocks(context), "no_leader", end=lambda: start_replicas(context))


def paused(context: FaultContext) -> Expectation:
    """A clock is paused. Operators resume it in the end: see `run.py`. The other clocks go on."""
    clock = context.clock()
    context.processes.ask(clock, RequestKind.PAUSE)
    return holds((clock,), "paused", end=lambda: None, others=others(context, clock))
