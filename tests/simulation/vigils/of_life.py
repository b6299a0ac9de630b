"""The clock must go on all the same."""

from clocksvc.clock.request import RequestKind
from tests.simulation.faults.of_the_log import begin_foreign
from tests.simulation.faults.stage import Stage
from tests.simulation.vigils.expected import Expected, bring_consumers_back, goes_on, some_waited_for


def leader_without_kafka(stage: Stage) -> Expected:
    """The leader alone does not reach Kafka: another one must take over."""
    return _without(stage, "kafka_cut")


def leader_without_store(stage: Stage) -> Expected:
    """The leader alone does not reach the store: another one must take over."""
    return _without(stage, "store_cut")


def _without(stage: Stage, what: str) -> Expected:
    name = stage.leading()
    assert name is not None
    link = stage.processes.replicas[name].link
    setattr(link, what, True)
    return goes_on(link.heal)


def leader_asleep(stage: Stage) -> Expected:
    """The leader is stopped and does not come back."""
    name = stage.leading()
    assert name is not None
    stage.hub.stop(name, stage.hub.now_ms + 3_600_000)
    return goes_on(lambda: stage.hub.stop(name, 0))


def partition_excluded(stage: Stage) -> Expected:
    """A partition's consumer never comes back, and the night shift excludes it, where it is not the only one."""
    standing, partition = stage.oracle.standing, some_waited_for(stage)
    if len(set(stage.world.partitions()) - set(standing.excluded)) < 2:
        return goes_on(lambda: None)
    stage.world.cut.add(partition)
    stage.processes.rebalance()
    stage.hub.later(5.0, lambda: stage.processes.ask(RequestKind.EXCLUDE, partition))

    def take_back_in() -> None:
        bring_consumers_back(stage)
        stage.processes.ask(RequestKind.INCLUDE, partition)

    return goes_on(take_back_in)


def transaction_of_others(stage: Stage) -> Expected:
    """Somebody's transaction on the tick log is open, and the leader needs not read it."""
    begin_foreign(stage.world)
    return goes_on(lambda: stage.world.log.end_foreign(committed=False))
