"""Which groups have no ordered offsets, and how long the answer may take."""

from typing import cast

from clocksvc.errors import MetadataUnavailable
from clocksvc.kafka.admin import Admin
from clocksvc.kafka.group_kinds import CHECKED_EVERY_S, UNORDERED, GroupKinds
from clocksvc.testing.manual_time import ManualTime


class Brokers:
    """What an Admin answers about groups. One that does not answer takes its timeout."""

    def __init__(self, time: ManualTime) -> None:
        self.time, self.asked, self.answer = time, list[str](), True

    def group_state(self, group: str, timeout_s: float) -> str | None:
        self.asked.append(group)
        if not self.answer:
            self.time.advance(timeout_s)
            raise MetadataUnavailable("no answer")
        return "Dead" if group == "share" else "Empty"


def test_groups_without_ordered_offsets() -> None:
    """Each is asked for once in a minute."""
    time = ManualTime()
    brokers = Brokers(time)
    kinds, admin = GroupKinds(time), cast(Admin, brokers)

    first = list(kinds.unsuitable(admin, ["plain", "share"]))
    again = list(kinds.unsuitable(admin, ["plain", "share"]))
    time.advance(CHECKED_EVERY_S)
    list(kinds.unsuitable(admin, ["share"]))

    assert first == again == [("share", UNORDERED)]
    assert brokers.asked == ["plain", "share", "share"]


def test_a_broker_that_does_not_answer_costs_one_timeout() -> None:
    """Not one for each group: the poll of all clocks would be so long that no leader is known to be alive."""
    time = ManualTime()
    brokers = Brokers(time)
    kinds, admin = GroupKinds(time), cast(Admin, brokers)
    list(kinds.unsuitable(admin, ["share"]))
    time.advance(CHECKED_EVERY_S)
    brokers.answer, began_s = False, time.monotonic()

    found = list(kinds.unsuitable(admin, [f"group-{number}" for number in range(20)] + ["share"]))

    assert time.monotonic() - began_s == 1.0
    assert found == [("share", UNORDERED)]
