"""A tick log that is out of reach, loses what it had, or is written by others."""

import json
from collections.abc import Callable
from time import gmtime, strftime

from clocksvc.clock.log_record import Message
from clocksvc.memory.tick_log import (
    CommitFault,
    MemoryLog,
)
from tests.simulation.faults.of_processes import crash_leader
from tests.simulation.faults.stage import Stage, for_a_while
from tests.simulation.world import CLOCK, World


def break_log(stage: Stage) -> None:
    """The tick log does not answer for a while."""
    for_a_while(stage, stage.world.log, "unavailable")


def lose_commit_answer(stage: Stage) -> None:
    """The answer to the next commit never comes: it has landed, or it has not, or it lands later."""
    log, fate = stage.world.log, stage.rng.choice((*CommitFault, None))
    log.commit_faults.append(fate or CommitFault.LOST)
    if fate is None:
        _land_later(stage)


def _land_later(stage: Stage) -> None:
    log = stage.world.log

    def watch() -> None:
        own = log._own
        while own is None:
            stage.hub.wait(0.2, lambda: log._own is not None)
            own = log._own
        stage.hub.wait(stage.rng.choice((0.05, 0.5, 2.0)))
        if own and log._own is own and not own.hangs and not log.commit_faults:
            stage.hub.say("the commit lands after all")
            log.end_own(committed=True)

    stage.hub.spawn("later", watch)


def open_transaction(stage: Stage) -> None:
    """Somebody else opens a transaction on the tick log, with what looks like a tick, and aborts it at last."""
    world = stage.world
    if world.log._foreign is not None:
        return
    begin_foreign(world)

    def end() -> None:
        world.log.end_foreign(committed=False)

    stage.hub.later(stage.rng.choice((1.0, 6.0, 15.0)), end)


def begin_foreign(world: World) -> None:
    """A foreign transaction that holds what could be the clock's next ticks."""
    written = [
        entry.message for entry in world.log.entries if entry.message is not None and entry.message.type == "tick"
    ]
    fake = []
    if written and written[-1].value:
        body = json.loads(written[-1].value)
        body["timestamp_seconds"] += 120
        body["time"] = body["state"]["last_tick"] = _rfc3339(body["timestamp_seconds"])
        fake = [Message(CLOCK.encode(), json.dumps(body).encode(), "tick")]
    world.log.begin_foreign(*fake)
    assert world.log._foreign is not None
    world.foreign.append(world.log._foreign)


def _rfc3339(seconds: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(seconds))


def truncate_log(stage: Stage) -> None:
    """What is old in the tick log is deleted."""
    log = stage.world.log
    kept = [entry.offset for entry in log.entries if entry.message is not None]
    if len(kept) > 2 and log._own is None:
        log.truncate_before(stage.rng.choice(kept[:-2]))
        stage.oracle.log_lost()


def lose_log(stage: Stage) -> None:
    """The tick log loses its end, or all that it has, or is made anew, or a broker forgets how the last ticks were
    committed; the store may lose what it knows as well."""
    log = stage.world.log
    if log._own is not None or log._foreign is not None or not stage.oracle.ticks:
        return
    losses: tuple[Callable[[], None], ...] = (
        lambda: log.lose_tail(stage.rng.randrange(2, 7)),
        lambda: log.truncate_before(log.end),
        log.recreate,
    )
    lose = stage.rng.choice(losses)
    # By the time and not by another number: so the other worlds of the same seeds stay what they were.
    forgotten = _last_ticks(log) if stage.hub.now_ms % 3 == 0 else []
    if forgotten:
        stage.hub.say("the end of the last commit is forgotten")
        log.forget_end()
        stage.oracle.log_forgot(forgotten)
    else:
        lose()
        stage.oracle.log_lost()
    if stage.rng.random() < 0.2:
        stage.world.wipe_store()
    if stage.rng.random() < 0.7 or forgotten:
        crash_leader(stage)


def _last_ticks(log: MemoryLog) -> list[Message]:
    """The ticks of the transaction with which the log ends. Of control records nothing is forgotten: whoever is told of
    them is told once their end stands in the log."""
    if not log.entries or log.entries[-1].message is not None:
        return []
    last = log.entries[-1].transaction
    found = [entry.message for entry in log.entries if entry.transaction is last and entry.message is not None]
    return found if last is not None and all(one.type == "tick" for one in found) else []
