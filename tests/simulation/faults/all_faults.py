"""All faults, and how often each comes."""

import random

from tests.simulation.faults import (
    kafka_faults,
    operator_faults,
    process_faults,
    report_faults,
    store_faults,
    tick_log_faults,
)
from tests.simulation.faults.at_call import catch_at_call
from tests.simulation.faults.fault_context import Fault

WEIGHTS: dict[Fault, float] = {
    process_faults.crash_leader: 3,
    process_faults.terminate_leader: 1,
    process_faults.add_replica: 0.5,
    process_faults.pause_leader: 3,
    process_faults.crash_step_of_leader: 0.5,
    process_faults.crash_consumer: 1.5,
    process_faults.pause_consumer: 1.5,
    process_faults.rebalance: 1.5,
    process_faults.jump: 1.5,
    process_faults.lose_a_long_night: 0.04,
    catch_at_call: 12,
    store_faults.wipe_store: 2,
    store_faults.wipe_store_twice: 0.8,
    store_faults.roll_store_back: 2,
    store_faults.roll_store_back_soon: 2,
    store_faults.lose_a_tick_before_the_next: 1.5,
    store_faults.trim_notices: 0.7,
    store_faults.break_store: 1,
    store_faults.cut_store: 1.5,
    store_faults.lose_answers: 2,
    store_faults.lose_notification: 0.7,
    report_faults.delay_reports: 2.5,
    report_faults.watch_from_the_end: 0.7,
    report_faults.poison: 2,
    report_faults.mute: 2,
    report_faults.cut_partition: 2,
    report_faults.lose_heartbeats: 0.7,
    report_faults.skew: 2,
    kafka_faults.break_metadata: 1,
    kafka_faults.cut_kafka: 2,
    kafka_faults.hide_topic: 2,
    kafka_faults.add_partition: 2,
    kafka_faults.lag_after_growth: 2,
    kafka_faults.recreate_topic: 1,
    kafka_faults.recreate_topic_behind_a_broker: 1,
    kafka_faults.change_timestamp_type: 1.5,
    kafka_faults.lose_topic_ids: 0.8,
    tick_log_faults.break_log: 1,
    tick_log_faults.lose_commit_answer: 3,
    tick_log_faults.leave_commits_unanswered: 0.7,
    tick_log_faults.tear_transaction: 2.5,
    tick_log_faults.answer_stale_end: 1.5,
    tick_log_faults.reject_records: 1.5,
    tick_log_faults.compact_snapshot: 1,
    tick_log_faults.open_transaction: 1.5,
    tick_log_faults.commit_foreign: 0.7,
    tick_log_faults.truncate_log: 1,
    tick_log_faults.lose_log: 0.8,
    operator_faults.run_init: 0.8,
    operator_faults.run_init_alone: 0.4,
    operator_faults.skip_ticks: 1,
    operator_faults.ask_the_leader: 4,
    operator_faults.change_interval: 0.8,
    operator_faults.change_group: 1.2,
    operator_faults.change_topics: 0.8,
    operator_faults.widen_configuration: 0.5,
    operator_faults.narrow_configuration: 0.5,
    operator_faults.start_second_installation: 0.5,
}
FAULTS, _FREQUENT = tuple(WEIGHTS), tuple(WEIGHTS.values())


def choose(rng: random.Random) -> Fault:
    """A fault, by weight."""
    return rng.choices(FAULTS, _FREQUENT)[0]
