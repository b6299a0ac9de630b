"""A log that can't be reached, loses records, tears transactions, or is written by others."""

import json
from collections.abc import Callable
from time import gmtime, strftime

from clocksvc.clock.log_record import Message
from tests.faulty.commits import CommitFault, TornTransaction
from tests.faulty.tick_log import FaultyLog
from tests.simulation.faults.fault_context import FaultContext, for_a_while
from tests.simulation.faults.process_faults import crash_leader, lose_store

FORGED = {"tick", "control"}


def break_log(context: FaultContext) -> None:
    """A log does not answer for a while."""
    for_a_while(context, context.faulty_log(), "unavailable")


def lose_commit_answer(context: FaultContext) -> None:
    """The outcome of the next commit is unknown: it has landed, or it has not, or it lands later."""
    log, fault = context.faulty_log(), context.rng.choice((*CommitFault, None))
    log.commit_faults.append(fault or CommitFault.UNANSWERED)
    if fault is None:
        _land_later(context, log)


def _land_later(context: FaultContext, log: FaultyLog) -> None:
    def watch() -> None:
        own = log._own
        while own is None:
            context.scheduler.wait(0.2, lambda: log._own is not None)
            own = log._own
        context.scheduler.wait(context.rng.choice((0.05, 0.5, 2.0)))
        if own and log._own is own and not own.hangs and not log.commit_faults and not log.torn:
            context.scheduler.say("the commit lands after all")
            log.end_own(committed=True)

    context.scheduler.spawn("later", watch)


def leave_commits_unanswered(context: FaultContext) -> None:
    """Commits stay unanswered for a while: the leader must give up within seconds."""
    context.faulty_log().commit_faults += [CommitFault.UNANSWERED] * context.rng.randrange(2, 5)


def tear_transaction(context: FaultContext) -> None:
    """A delayed EndTxn of the previous transaction ends half of the next one."""
    log, rng = context.faulty_log(), context.rng
    for _ in range(rng.choice((1, 1, 2))):
        log.torn.append(
            TornTransaction(rng.randrange(1, 4), committed=rng.random() < 0.75, answered=rng.random() < 0.5)
        )


def answer_stale_end(context: FaultContext) -> None:
    """A deposed partition leader answers with an older end, and a new leader of the log comes."""
    log = context.faulty_log()
    log.stale_ends += [context.rng.randrange(1, 4) for _ in range(context.rng.choice((1, 2, 3)))]
    if context.rng.random() < 0.8:
        crash_leader(context)


def reject_records(context: FaultContext) -> None:
    """Brokers reject the records of one clock for a while, or until the storm ends."""
    clock = context.clock()
    log = context.environment.log_of(clock)
    key = clock.encode()
    log.rejected_keys.add(key)
    if context.rng.random() < 0.6:
        context.scheduler.later(context.rng.choice((1.0, 4.0, 12.0)), lambda: log.rejected_keys.discard(key))


def compact_snapshot(context: FaultContext) -> None:
    """Compaction removes copies of the newest snapshots: they are not complete any more. A new leader comes.

    Compaction never removes the newest record of a key.
    """
    log = context.faulty_log()
    if log._own is not None or log._foreign is not None:
        return
    newest = {entry.message.key: entry.offset for entry in log.entries if entry.message is not None}
    copies = [
        entry.offset
        for entry in log.entries
        if entry.message is not None and entry.message.type == "snapshot" and newest[entry.message.key] != entry.offset
    ]
    if copies:
        log.compact(set(copies[-context.rng.randrange(1, len(copies) + 1) :]))
        if context.rng.random() < 0.7:
            crash_leader(context)


def open_transaction(context: FaultContext) -> None:
    """Another client opens a transaction on a log, with a forged tick, and aborts it in the end."""
    number = context.log()
    log = context.environment.logs[number]
    if log._foreign is not None:
        return
    begin_foreign(context, number)
    context.scheduler.later(context.rng.choice((1.0, 6.0, 15.0)), lambda: log.end_foreign(committed=False))


def commit_foreign(context: FaultContext) -> None:
    """Another client commits a record of a type that clocksvc does not know."""
    number = context.log()
    log = context.environment.logs[number]
    if log._foreign is not None:
        return
    log.begin_foreign(Message(b"_other", b"{}", "other"))
    assert log._foreign is not None
    context.environment.commits[number].foreign.append(log._foreign)
    seconds = context.rng.choice((0.01, 0.5, 3.0))
    context.scheduler.later(seconds, lambda: log.end_foreign(committed=True))


def begin_foreign(context: FaultContext, number: int) -> None:
    """A foreign transaction with copies of what could be a clock's next tick."""
    log = context.environment.logs[number]
    written = [entry.message for entry in log.entries if entry.message is not None and entry.message.type == "tick"]
    forged = []
    if written and written[-1].value:
        body = json.loads(written[-1].value)
        body["timestamp_seconds"] += 120
        body["time"] = _rfc3339(body["timestamp_seconds"])
        forged = [Message(written[-1].key, json.dumps(body).encode(), "tick")]
    log.begin_foreign(*forged)
    assert log._foreign is not None
    context.environment.commits[number].foreign.append(log._foreign)


def _rfc3339(seconds: int) -> str:
    return strftime("%Y-%m-%dT%H:%M:%SZ", gmtime(seconds))


def truncate_log(context: FaultContext) -> None:
    """Old records of a log are deleted."""
    number = context.log()
    log = context.environment.logs[number]
    kept = [entry.offset for entry in log.entries if entry.message is not None]
    if len(kept) > 2 and log._own is None:
        kill_guests(context)
        log.truncate_before(context.rng.choice(kept[:-2]))
        context.judge.log_lost(number)


def lose_log(context: FaultContext) -> None:
    """A log loses its end, or all records, or is recreated, or a broker forgets the last marker; the store may lose its
    data as well. The leader dies, or goes on over the gap."""
    number = context.log()
    log = context.environment.logs[number]
    if (
        log._own is not None
        or log._foreign is not None
        or not any(clock.ticks for clock in context.judge.clocks.values())
    ):
        return
    kill_guests(context)
    losses: tuple[Callable[[], None], ...] = (
        lambda: log.lose_tail(context.rng.randrange(2, 7)),
        lambda: log.lose_tail(context.rng.randrange(1, 4)),
        lambda: log.truncate_before(log.end),
        log.recreate,
    )
    context.rng.choice(losses)()
    context.judge.log_lost(number)
    if context.rng.random() < 0.2:
        lose_store(context)
    if context.rng.random() < 0.6:
        crash_leader(context)


def kill_guests(context: FaultContext) -> None:
    """No other installation runs when a log loses records: it may not name its installation any more."""
    for name in list(context.processes.guests):
        context.processes.kill_replica(name)
