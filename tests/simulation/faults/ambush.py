"""Catching a process right before or after a certain call: chance alone comes there too rarely."""

from tests.simulation.faults.of_kafka import add_partition, remake_topic
from tests.simulation.faults.of_processes import jump, replace_replica
from tests.simulation.faults.of_the_store import roll_store_back
from tests.simulation.faults.stage import PAUSES_S, Stage
from tests.simulation.hub import Task

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
"""Where somebody may be caught: right before or after these."""


def ambush(stage: Stage) -> None:
    """Whoever comes to a certain call next is caught there."""
    stage.hub.ambushes[stage.rng.choice(CALLS)] = lambda task: _spring(stage, task)


def _spring(stage: Stage, task: Task) -> None:
    _caught(stage, task)
    stage.processes.viewer.quiet_since_ms = stage.hub.now_ms


def _caught(stage: Stage, task: Task) -> None:
    rng, replica = stage.rng, stage.processes.replicas.get(task.process)
    word = rng.choice(("kill", "stop", "stop", "wipe", "back", "cut", "lost", "grow", "jump", "usurp", "remake"))
    stage.hub.say(f"{task.process} is caught: {word}")
    if word == "kill" and replica is not None:
        replace_replica(stage, task.process)
    elif word == "wipe":
        stage.world.wipe_store()
    elif word == "back":
        roll_store_back(stage)
    elif word == "cut" and replica is not None:
        replica.link.kafka_cut = True
        stage.hub.later(rng.choice((1.0, 8.0)), replica.link.heal)
    elif word == "lost" and replica is not None:
        replica.link.answers_lost = 1
    elif word == "grow":
        add_partition(stage)
    elif word == "remake":
        remake_topic(stage)
    elif word == "jump":
        jump(stage)
    elif not task.process.startswith(("later", "viewer", "subscriber")):
        stage.hub.stop(task.process, stage.hub.now_ms + int(rng.choice(PAUSES_S) * 1000))
