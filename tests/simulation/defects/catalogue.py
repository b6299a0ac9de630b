"""All deliberate defects, in the order of the table."""

from tests.simulation.defects import (
    of_core,
    of_feed,
    of_heartbeat,
    of_init,
    of_leader,
    of_log,
    of_recovery,
    of_reporter,
    of_roster,
    of_step,
    of_store,
    of_view,
)
from tests.simulation.defects.defect import Defect

MODULES = (
    of_core,
    of_step,
    of_recovery,
    of_roster,
    of_leader,
    of_log,
    of_store,
    of_reporter,
    of_heartbeat,
    of_init,
    of_feed,
    of_view,
)

DEFECTS: dict[str, Defect] = {
    value.name: value for module in MODULES for value in vars(module).values() if isinstance(value, Defect)
}
