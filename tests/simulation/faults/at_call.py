"""Faults for a process right before or after a certain call: random faults hit these moments too rarely."""

from tests.simulation.faults.fault_context import PAUSES_S, FaultContext
from tests.simulation.faults.kafka_faults import add_partition, recreate_topic
from tests.simulation.faults.process_faults import jump, lose_store, replace_replica
from tests.simulation.faults.store_faults import roll_store_back
from tests.simulation.world.scheduler import Task

CALLS = (
    *("leader.acquire done", "leader.read_round done", "leader.read_round done", "leader.claim done"),
    *("leader.publish", "leader.publish done", "leader.begin", "leader.begin done", "leader.write_roster"),
    *("leader.write_roster done", "leader.bounds", "leader.bounds done", "leader.publish_statuses"),
    *("leader.stage done", "leader.finish_restoring", "leader.finish_restoring done", "leader.announce done"),
    *("leader.read_lease done", "leader.release", "leader.write_request_results", "leader.roster_topics done"),
    *("topics.describe", "topics.describe done", "topics.describe done", "log.ensure_topic", "log.fence"),
    *("log.fence.done", "log.bounds", "log.read", "log.append", "log.append", "log.append.sent", "log.append.sent"),
    *("log.append.committed", "log.append.done", "log.append.torn", "log.bounds.open", "log.bounds.hanging"),
    *("reporter.report", "reporter.report done", "handle", "commit", "kafka_ready", "notices.read"),
    *("feed.newest_ticks", "feed.newest_ticks done", "feed.ticks_after", "feed.ticks_after done", "feed.bounds"),
    *("feed.bounds done", "topics.put_heartbeats", "leader.lagging_partitions", "topics.timestamp_types"),
)
"""The calls before or after which a process may be hit."""


def catch_at_call(context: FaultContext) -> None:
    """Hit the process that comes to a certain call next."""
    context.scheduler.traps[context.rng.choice(CALLS)] = lambda task: _spring(context, task)


def _spring(context: FaultContext, task: Task) -> None:
    _hit(context, task)
    context.processes.quiet()


def _hit(context: FaultContext, task: Task) -> None:
    rng, replica = context.rng, context.processes.replicas.get(task.process)
    word = rng.choice(("kill", "stop", "stop", "wipe", "back", "cut", "lost", "grow", "jump", "recreate"))
    context.scheduler.say(f"{task.process} is hit: {word}")
    if word == "kill" and replica is not None:
        replace_replica(context, task.process)
    elif word == "wipe":
        lose_store(context)
    elif word == "back":
        roll_store_back(context)
    elif word == "cut" and replica is not None:
        replica.link.kafka_cut = True
        context.scheduler.later(rng.choice((1.0, 8.0)), replica.link.heal)
    elif word == "lost" and replica is not None:
        replica.link.answers_lost = 1
    elif word == "grow":
        add_partition(context)
    elif word == "recreate":
        recreate_topic(context)
    elif word == "jump":
        jump(context)
    elif not task.process.startswith(("later", "viewer", "subscriber")):
        context.scheduler.stop(task.process, context.scheduler.now_ms + int(rng.choice(PAUSES_S) * 1000))
