"""Faults that last of the store, the tick log, Kafka or the replicas."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from clocksvc.clock.log_record import Message
from clocksvc.clock.request import RequestKind
from clocksvc.clock.time_format import parse_timestamp
from clocksvc.interfaces.progress import StoreIdentity
from clocksvc.kafka.tick_log_topic import TickLogTopic
from tests.faulty.tick_log import Entry
from tests.simulation.environment import Environment
from tests.simulation.faults.fault_context import FaultContext
from tests.simulation.faults.tick_log_faults import begin_foreign
from tests.simulation.liveness.expectation import Expectation, holds, restart, start_replicas


def store_down(context: FaultContext) -> Expectation:
    """The store does not answer."""
    return holds("store_unavailable", end=_switch(context.environment.store, "broken"))


def log_down(context: FaultContext) -> Expectation:
    """The tick log does not answer."""
    return holds("ticklog_unavailable", end=_switch(context.environment.log, "unavailable"))


def metadata_down(context: FaultContext) -> Expectation:
    """Kafka does not answer metadata requests."""
    return holds("metadata_unavailable", end=_switch(context.environment.topics, "unavailable"))


def kafka_down(context: FaultContext) -> Expectation:
    """No broker answers."""
    log, topics = _switch(context.environment.log, "unavailable"), _switch(context.environment.topics, "unavailable")
    return holds("ticklog_unavailable", "metadata_unavailable", end=lambda: (log(), topics())[0])


def _switch(part: object, name: str) -> Callable[[], None]:
    setattr(part, name, True)
    return lambda: setattr(part, name, False)


def transaction_open(context: FaultContext) -> Expectation:
    """Another client's transaction on the tick log is open, and a new leader comes."""
    begin_foreign(context.environment)
    restart(context)
    return holds("ticklog_open_transaction", end=lambda: context.environment.log.end_foreign(committed=False))


def log_lost(context: FaultContext) -> Expectation:
    """The tick log lost what the store knows, and a new leader comes. Operators run `clocksvc init`: see `run.py`."""
    log = context.environment.log
    losses: tuple[Callable[[], None], ...] = (
        partial(log.lose_tail, _from_the_last_shown(context.environment)),
        partial(log.truncate_before, log.end),
        log.recreate,
    )
    context.rng.choice(losses)()
    context.oracle.log_lost()
    if log.first_offset == log.end > 0 and context.rng.random() < 0.5:
        context.environment.wipe_store()  # the log itself shows that it had records
    restart(context)
    return holds("ticklog_truncated", end=lambda: None)


def _from_the_last_shown(environment: Environment) -> int:
    """How many offsets the log must lose to lose a tick that the store shows: after the last one there may be aborted
    ones, and one whose commit was not answered."""
    shown = environment.store._state.ticks
    last_ms = shown[-1].at_ms if shown else 0
    ticks = (entry.offset for entry in reversed(environment.log.entries) if _is_tick_up_to(last_ms, entry))
    return environment.log.end - next(ticks, environment.log.end - 2)


def _is_tick_up_to(last_ms: int, entry: Entry) -> bool:
    committed = entry.transaction is not None and entry.transaction.committed is True
    if not committed or entry.message is None or entry.message.type != "tick":
        return False
    return parse_timestamp("time", json.loads(entry.message.value or b"")["time"]) <= last_ms


def log_unreadable(context: FaultContext) -> Expectation:
    """A record in the tick log that no version reads. Operators recreate the log, and run `clocksvc init`."""
    log = context.environment.log
    log.write_foreign(Message(b"sim", b"{}", context.rng.choice(("tick", None))))
    restart(context)

    def recreate() -> None:
        log.recreate()
        context.oracle.log_lost()
        restart(context)

    return holds("ticklog_unavailable", end=recreate)


def log_misshapen(context: FaultContext) -> Expectation:
    """The settings of the tick log's topic could lose ticks."""
    log = context.environment.log
    log.shape = TickLogTopic("sim-ticks", partitions=2)
    restart(context)

    def mend() -> None:
        log.shape = TickLogTopic("sim-ticks")

    return holds("ticklog_unavailable", end=mend)


def store_of_others(context: FaultContext) -> Expectation:
    """The store belongs to another environment."""
    state = context.environment.store._state
    state.identity = StoreIdentity("another-cluster")
    restart(context)
    return holds("store_mismatch", end=context.environment.wipe_store)


def replicas_disagree(context: FaultContext) -> Expectation:
    """A replica with another configuration stays."""
    environment = context.environment
    interval_ms = 5_000 if environment.spec.interval_ms == 1_000 else 1_000
    other = context.processes.start_replica(replace(environment.spec, interval_ms=interval_ms))
    if context.rng.random() < 0.7:
        for seconds in (4.0, 8.3, 12.9):  # their announcements are lost, and they still disagree
            context.scheduler.later(seconds, environment.wipe_store)
    return holds("config_conflict", end=lambda: context.processes.kill_replica(other), word="conflict")


def no_replicas(context: FaultContext) -> Expectation:
    """No replica is left."""
    for name in sorted(context.processes.replicas):
        context.processes.kill_replica(name)
    return holds("no_leader", end=lambda: start_replicas(context))


def paused(context: FaultContext) -> Expectation:
    """The clock is paused. Operators resume it in the end: see `run.py`."""
    context.processes.ask(RequestKind.PAUSE)
    return holds("paused", end=lambda: None)
