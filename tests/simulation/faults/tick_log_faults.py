"""A tick log that can't be reached, loses records, or is written by others."""

import json
from collections.abc import Callable
from time import gmtime, strftime

from clocksvc.clock.log_record import Message
from tests.faulty.commits import CommitFault
from tests.faulty.tick_log import FaultyLog
from tests.simulation.environment import CLOCK, Environment
from tests.simulation.faults.fault_context import FaultContext, for_a_while
from tests.simulation.faults.process_faults import crash_leader


def break_log(context: FaultContext) -> None:
    """The tick log does not answer for a while."""
    for_a_while(context, context.environment.log, "unavailable")


def lose_commit_answer(context: FaultContext) -> None:
    """The outcome of the next commit is unknown: it has landed, or it has not, or it lands later."""
    log, fate = context.environment.log, context.rng.choice((*CommitFault, None))
    log.commit_faults.append(fate or CommitFault.LOST)
    if fate is None:
        _land_later(context)


def _land_later(context: FaultContext) -> None:
    log = context.environment.log

    def watch() -> None:
        own = log._own
        while own is None:
            context.scheduler.wait(0.2, lambda: log._own is not None)
            own = log._own
        context.scheduler.wait(context.rng.choice((0.05, 0.5, 2.0)))
        if own and log._own is own and not own.hangs and not log.commit_faults:
            context.scheduler.say("the commit lands after all")
            log.end_own(committed=True)

    context.scheduler.spawn("later", watch)


def open_transaction(context: FaultContext) -> None:
    """Another client opens a transaction on the tick log, with a forged tick, and aborts it in the end."""
    environment = context.environment
    if environment.log._foreign is not None:
        return
    begin_foreign(environment)

    def end() -> None:
        environment.log.end_foreign(committed=False)

    context.scheduler.later(context.rng.choice((1.0, 6.0, 15.0)), end)


def begin_foreign(environment: Environment) -> None:
    """A foreign transaction with copies of what could be the clock's next ticks."""
    written = [
        entry.message for entry in environment.log.entries if entry.message is not None and entry.message.type == "tick"
    ]
    fake = []
    if written and written[-1].value:
        body = json.loads(written[-1].value)
        body["timestamp_seconds"] += 120
        body["time"] = body["state"]["last_tick"] = _rfc3339(body["timestamp_seconds"])
        fake = [Message(CLOCK.encode(), json.dumps(body).encode(), "tick")]
    environment.log.begin_foreign(*fake)
    assert environment.log._foreign is not None
    environment.foreign.append(environment.log._foreign)


def _rfc3339(seconds: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(seconds))


def truncate_log(context: FaultContext) -> None:
    """Old records of the tick log are deleted."""
    log = context.environment.log
    kept = [entry.offset for entry in log.entries if entry.message is not None]
    if len(kept) > 2 and log._own is None:
        log.truncate_before(context.rng.choice(kept[:-2]))
        context.oracle.log_lost()


def lose_log(context: FaultContext) -> None:
    """The tick log loses its end, or all records, or is recreated, or a broker forgets that the last ticks were
    committed; the store may lose its data as well."""
    log = context.environment.log
    if log._own is not None or log._foreign is not None or not context.oracle.ticks:
        return
    losses: tuple[Callable[[], None], ...] = (
        lambda: log.lose_tail(context.rng.randrange(2, 7)),
        lambda: log.truncate_before(log.end),
        log.recreate,
    )
    lose = context.rng.choice(losses)
    # chosen by the time and not by another random number: other seeds stay as they were
    forgotten = _last_ticks(log) if context.scheduler.now_ms % 3 == 0 else []
    if forgotten:
        context.scheduler.say("the end of the last commit is forgotten")
        log.forget_end()
        context.oracle.log_forgot(forgotten)
    else:
        lose()
        context.oracle.log_lost()
    if context.rng.random() < 0.2:
        context.environment.wipe_store()
    if context.rng.random() < 0.7 or forgotten:
        crash_leader(context)


def _last_ticks(log: FaultyLog) -> list[Message]:
    """The ticks of the transaction at the end of the log. Control records are never forgotten: their answers are sent
    once their marker is in the log."""
    if not log.entries or log.entries[-1].message is not None:
        return []
    last = log.entries[-1].transaction
    found = [entry.message for entry in log.entries if entry.transaction is last and entry.message is not None]
    return found if last is not None and all(one.type == "tick" for one in found) else []
