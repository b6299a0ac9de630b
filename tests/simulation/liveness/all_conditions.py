"""All conditions, and how often each comes."""

import random

from tests.simulation.liveness import (
    clock_skew_conditions,
    component_conditions,
    loss_conditions,
    partition_conditions,
    process_conditions,
)
from tests.simulation.liveness.expectation import LivenessCondition

WEIGHTS: dict[LivenessCondition, float] = {
    partition_conditions.partition_cut: 3,
    partition_conditions.reported_in_seconds: 1.5,
    partition_conditions.no_consumers: 1,
    partition_conditions.topic_hidden: 1,
    partition_conditions.topics_without_ids: 1,
    partition_conditions.partition_forgotten: 2,
    partition_conditions.roster_rolled_back: 2,
    partition_conditions.topic_recreated: 2,
    partition_conditions.group_changed: 2,
    component_conditions.store_down: 1,
    component_conditions.log_down: 1,
    component_conditions.metadata_down: 1,
    component_conditions.kafka_down: 1,
    component_conditions.commits_unanswered: 2,
    component_conditions.transaction_open: 1.5,
    component_conditions.record_rejected: 1.5,
    component_conditions.log_lost: 2,
    component_conditions.log_unreadable: 1,
    component_conditions.log_misconfigured: 0.5,
    component_conditions.store_of_others: 1,
    component_conditions.log_of_others: 0.5,
    component_conditions.replicas_disagree: 1.5,
    component_conditions.no_replicas: 0.5,
    component_conditions.paused: 1,
    clock_skew_conditions.stores_clock_back: 1,
    clock_skew_conditions.leaders_clock_back: 1,
    clock_skew_conditions.consumers_clock_back: 1,
    loss_conditions.wiped_while_quiet: 1,
    loss_conditions.rolled_back_while_holding: 1,
    loss_conditions.history_restored: 1,
    process_conditions.leader_without_kafka: 1,
    process_conditions.leader_without_store: 1,
    process_conditions.leader_asleep: 1,
    process_conditions.partition_excluded: 1,
    process_conditions.second_installation: 1,
    process_conditions.narrower_replica: 1,
    process_conditions.transactions_torn: 1,
    process_conditions.stale_ends: 1,
    process_conditions.better_replica: 0.7,
    process_conditions.timestamp_type_changed: 1.5,
}
_ALL, _FREQUENT = tuple(WEIGHTS), tuple(WEIGHTS.values())


def choose(rng: random.Random) -> LivenessCondition:
    """A condition, by weight."""
    return rng.choices(_ALL, _FREQUENT)[0]
