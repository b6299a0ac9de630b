"""All faults, and how often each comes."""

import random

from tests.simulation.faults import of_kafka, of_people, of_processes, of_reports, of_the_log, of_the_store
from tests.simulation.faults.ambush import ambush
from tests.simulation.faults.stage import Fault

WEIGHTS: dict[Fault, float] = {
    of_processes.crash_leader: 3,
    of_processes.terminate_leader: 1,
    of_processes.pause_leader: 3,
    of_processes.blow_leader_up: 0.5,
    of_processes.crash_consumer: 1.5,
    of_processes.pause_consumer: 1.5,
    of_processes.rebalance: 1.5,
    of_processes.jump: 1.5,
    of_processes.lose_a_long_night: 0.04,
    ambush: 12,
    of_the_store.wipe_store: 2,
    of_the_store.roll_store_back: 2,
    of_the_store.roll_store_back_soon: 2,
    of_the_store.lose_a_tick_before_the_next: 1.5,
    of_the_store.break_store: 1,
    of_the_store.cut_store: 1.5,
    of_the_store.lose_answers: 2,
    of_the_store.lose_wake_up: 0.7,
    of_reports.delay_reports: 2.5,
    of_reports.watch_from_the_end: 0.7,
    of_reports.poison: 2,
    of_reports.mute: 2,
    of_reports.cut_partition: 2,
    of_reports.lose_heartbeats: 0.7,
    of_reports.skew: 2,
    of_the_log.break_log: 1,
    of_kafka.break_metadata: 1,
    of_kafka.cut_kafka: 2,
    of_the_log.lose_commit_answer: 3,
    of_the_log.open_transaction: 1.5,
    of_kafka.hide_topic: 2,
    of_kafka.add_partition: 2,
    of_kafka.lag_after_growth: 2,
    of_kafka.remake_topic: 1,
    of_the_log.truncate_log: 1,
    of_the_log.lose_log: 0.8,
    of_people.run_init: 0.8,
    of_people.ask_the_leader: 4,
    of_people.reconfigure: 1,
}
FAULTS, _FREQUENT = tuple(WEIGHTS), tuple(WEIGHTS.values())


def choose(rng: random.Random) -> Fault:
    """A fault, by weight."""
    return rng.choices(FAULTS, _FREQUENT)[0]
