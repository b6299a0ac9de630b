"""Faults for a process right before or after a certain call: random faults hit these moments too rarely."""

from tests.simulation.faults.fault_context import PAUSES_S, FaultContext
from tests.simulation.faults.kafka_faults import add_partition, remake_topic
from tests.simulation.faults.process_faults import jump, replace_replica
from tests.simulation.faults.store_faults import roll_store_back
from tests.simulation.scheduler import Task

CALLS = (
    *("store.acquire_lease done", "store.read_progress done", "store.read_progress done", "store.claim done"),
    *("store.publish", "store.publish done", "store.rebuild", "store.rebuild done", "store.write_roster"),
    *(
        "store.write_roster done",
        "store.last_tick",
        "store.last_tick done",
        "store.publish_status",
        "store.announce done",
    ),
    *(
        "topics.describe",
        "topics.describe done",
        "topics.describe done",
        "log.ensure_topic",
        "log.fence",
        "log.fence.done",
    ),
    *("log.tail", "log.backwards", "log.append", "log.append", "log.append.sent", "log.append.sent", "log.append.done"),
    *("log.tail.open", "reporter.report", "reporter.report done", "handle", "commit"),
    *("feed.newest_ticks", "feed.newest_ticks done", "feed.follow", "feed.follow done", "feed.last_tick done"),
    *("feed.first_tick", "feed.ticks_after", "feed.ticks_after done", "feed.snapshot done", "topics.put_heartbeats"),
    *("init.last_tick done", "store.lagging_partitions", "store.release_lease"),
)
"""The calls before or after which a process may be hit."""


def catch_at_call(context: FaultContext) -> None:
    """Hit the process that comes to a certain call next."""
    context.scheduler.traps[context.rng.choice(CALLS)] = lambda task: _spring(context, task)


def _spring(context: FaultContext, task: Task) -> None:
    _caught(context, task)
    context.processes.viewer.quiet_since_ms = context.scheduler.now_ms


def _caught(context: FaultContext, task: Task) -> None:
    rng, replica = context.rng, context.processes.replicas.get(task.process)
    word = rng.choice(("kill", "stop", "stop", "wipe", "back", "cut", "lost", "grow", "jump", "usurp", "remake"))
    context.scheduler.say(f"{task.process} is hit: {word}")
    if word == "kill" and replica is not None:
        replace_replica(context, task.process)
    elif word == "wipe":
        context.environment.wipe_store()
    elif word == "back":
        roll_store_back(context)
    elif word == "cut" and replica is not None:
        replica.link.kafka_cut = True
        context.scheduler.later(rng.choice((1.0, 8.0)), replica.link.heal)
    elif word == "lost" and replica is not None:
        replica.link.answers_lost = 1
    elif word == "grow":
        add_partition(context)
    elif word == "remake":
        remake_topic(context)
    elif word == "jump":
        jump(context)
    elif not task.process.startswith(("later", "viewer", "subscriber")):
        context.scheduler.stop(task.process, context.scheduler.now_ms + int(rng.choice(PAUSES_S) * 1000))
