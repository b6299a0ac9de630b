"""All deliberate defects, in the order of the table."""

from tests.simulation.defects import (
    audit_defects,
    clock_view_defects,
    core_defects,
    feed_defects,
    heartbeat_defects,
    leader_defects,
    recovery_defects,
    reporter_defects,
    roster_defects,
    round_defects,
    store_defects,
    tick_log_defects,
)
from tests.simulation.defects.defect import Defect

MODULES = (
    core_defects,
    round_defects,
    recovery_defects,
    roster_defects,
    leader_defects,
    tick_log_defects,
    store_defects,
    reporter_defects,
    heartbeat_defects,
    feed_defects,
    clock_view_defects,
    audit_defects,
)

DEFECTS: dict[str, Defect] = {
    value.name: value for module in MODULES for value in vars(module).values() if isinstance(value, Defect)
}
