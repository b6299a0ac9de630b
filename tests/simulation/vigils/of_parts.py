"""A store, a tick log or a Kafka that lasts in its trouble, and replicas that do."""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from clocksvc.clock.log_record import Message
from clocksvc.clock.request import RequestKind
from clocksvc.clock.time_format import parse_timestamp
from clocksvc.interfaces.store import StoreIdentity
from clocksvc.interfaces.tick_log_topic import TickLogTopic
from clocksvc.memory.tick_log import Entry
from tests.simulation.faults.of_the_log import begin_foreign
from tests.simulation.faults.stage import Stage
from tests.simulation.vigils.expected import Expected, holds, restart, start_replicas
from tests.simulation.world import World


def store_down(stage: Stage) -> Expected:
    """The store answers nobody."""
    return holds("store_unavailable", end=_switch(stage.world.store, "broken"))


def log_down(stage: Stage) -> Expected:
    """The tick log answers nobody."""
    return holds("ticklog_unavailable", end=_switch(stage.world.log, "unavailable"))


def metadata_down(stage: Stage) -> Expected:
    """Kafka answers no question about topics."""
    return holds("metadata_unavailable", end=_switch(stage.world.topics, "unavailable"))


def kafka_down(stage: Stage) -> Expected:
    """No broker answers."""
    log, topics = _switch(stage.world.log, "unavailable"), _switch(stage.world.topics, "unavailable")
    return holds("ticklog_unavailable", "metadata_unavailable", end=lambda: (log(), topics())[0])


def _switch(part: object, name: str) -> Callable[[], None]:
    setattr(part, name, True)
    return lambda: setattr(part, name, False)


def transaction_open(stage: Stage) -> Expected:
    """Somebody's transaction on the tick log is open, and a new leader comes."""
    begin_foreign(stage.world)
    restart(stage)
    return holds("ticklog_open_transaction", end=lambda: stage.world.log.end_foreign(committed=False))


def log_lost(stage: Stage) -> Expected:
    """The tick log lost what the store knows, and a new leader comes. People run `clocksvc init`: see `run.py`."""
    log = stage.world.log
    losses: tuple[Callable[[], None], ...] = (
        partial(log.lose_tail, _from_the_last_shown(stage.world)),
        partial(log.truncate_before, log.end),
        log.recreate,
    )
    stage.rng.choice(losses)()
    stage.oracle.log_lost()
    if log.first_offset == log.end > 0 and stage.rng.random() < 0.5:
        stage.world.wipe_store()  # the log itself says that there was something
    restart(stage)
    return holds("ticklog_truncated", end=lambda: None)


def _from_the_last_shown(world: World) -> int:
    """How many offsets the log must lose to lose a tick that the store shows: behind the last one there may be aborted
    ones, and one whose commit nobody was answered."""
    shown = world.store._state.ticks
    last_ms = shown[-1].at_ms if shown else 0
    ticks = (entry.offset for entry in reversed(world.log.entries) if _is_tick_up_to(last_ms, entry))
    return world.log.end - next(ticks, world.log.end - 2)


def _is_tick_up_to(last_ms: int, entry: Entry) -> bool:
    committed = entry.transaction is not None and entry.transaction.committed is True
    if not committed or entry.message is None or entry.message.type != "tick":
        return False
    return parse_timestamp("time", json.loads(entry.message.value or b"")["time"]) <= last_ms


def log_unreadable(stage: Stage) -> Expected:
    """Somebody wrote into the tick log what no version reads. People make the log anew, and run `clocksvc init`."""
    log = stage.world.log
    log.write_foreign(Message(b"sim", b"{}", stage.rng.choice(("tick", None))))
    restart(stage)

    def make_anew() -> None:
        log.recreate()
        stage.oracle.log_lost()
        restart(stage)

    return holds("ticklog_unavailable", end=make_anew)


def log_misshapen(stage: Stage) -> Expected:
    """The tick log's topic could lose ticks."""
    log = stage.world.log
    log.shape = TickLogTopic("sim-ticks", partitions=2)
    restart(stage)

    def mend() -> None:
        log.shape = TickLogTopic("sim-ticks")

    return holds("ticklog_unavailable", end=mend)


def store_of_others(stage: Stage) -> Expected:
    """The store belongs to another environment."""
    state = stage.world.store._state
    state.identity = StoreIdentity("somebody-elses")
    restart(stage)
    return holds("store_mismatch", end=stage.world.wipe_store)


def replicas_disagree(stage: Stage) -> Expected:
    """A replica with another configuration stays."""
    world = stage.world
    interval_ms = 5_000 if world.spec.interval_ms == 1_000 else 1_000
    other = stage.processes.start_replica(replace(world.spec, interval_ms=interval_ms))
    if stage.rng.random() < 0.7:
        for seconds in (4.0, 8.3, 12.9):  # what they announced is lost, and they still disagree
            stage.hub.later(seconds, world.wipe_store)
    return holds("config_conflict", end=lambda: stage.processes.kill_replica(other), word="conflict")


def nobody_leads(stage: Stage) -> Expected:
    """No replica is left."""
    for name in sorted(stage.processes.replicas):
        stage.processes.kill_replica(name)
    return holds("no_leader", end=lambda: start_replicas(stage))


def paused(stage: Stage) -> Expected:
    """Somebody pauses the clock. People let it go on at last: see `run.py`."""
    stage.processes.ask(RequestKind.PAUSE)
    return holds("paused", end=lambda: None)
